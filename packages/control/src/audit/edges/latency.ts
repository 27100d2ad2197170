// Promises quantiles from counts in fixed buckets, the same buckets for ever, so that figures of minutes add up to those of days. Pure.

/** Upper bounds in milliseconds; what is slower falls into one last bucket. */
export const latencyBoundsMs = [
  0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 25, 50, 75, 100, 150, 250, 500, 750, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
] as const;
export const bucketCount = latencyBoundsMs.length + 1;

export function bucketOf(us: number): number {
  const ms = us / 1_000;
  const found = latencyBoundsMs.findIndex((bound) => ms <= bound);
  return found < 0 ? latencyBoundsMs.length : found;
}

/** Milliseconds below which a share of the counts lies, straight between the bounds of its bucket; null: nothing was counted. */
export function quantile(counts: ArrayLike<number>, share: number): number | null {
  let total = 0;
  for (let n = 0; n < bucketCount; n++) total += counts[n] ?? 0;
  if (total === 0) return null;
  const rank = share * total;
  let below = 0;
  for (let n = 0; n < bucketCount; n++) {
    const count = counts[n] ?? 0;
    if (count > 0 && below + count >= rank) {
      const low = n === 0 ? 0 : (latencyBoundsMs[n - 1] ?? 0);
      // Slower than the last bound: that is all that is known.
      const high = latencyBoundsMs[n] ?? low;
      return low + (high - low) * ((rank - below) / count);
    }
    below += count;
  }
  return latencyBoundsMs.at(-1) ?? null;
}
