// Promises an epoch that no other restore has, and that is above every epoch and sequence given out before. Pure.
// Specified in docs/backup.md "The epoch".
const randomRange = 1_024;

/**
 * Milliseconds since 1970 times 1,024, plus chance: two restores of one backup differ, the later one is higher, and sequences of one installation
 * (a revocation, a key: far fewer than a million a second) never reach the next restore's. Below 2^53 until the year 2248.
 */
export function restoreEpoch(nowMs: number, random: Uint8Array, highest: number): number {
  const chance = (((random[0] ?? 0) << 8) | (random[1] ?? 0)) % randomRange;
  return Math.max(highest + 1, nowMs * randomRange + chance);
}
