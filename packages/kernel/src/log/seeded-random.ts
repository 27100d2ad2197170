// Promises numbers in [0, 1) that are the same for the same seed, for suites that must fail again as they failed. Trusts nothing; hides nothing either.

/** mulberry32: small, seeded, good enough to choose where the power goes. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
