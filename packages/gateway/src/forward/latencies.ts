// Promises how long attempts took in the last minute or so, to within a tenth, in a few hundred counts that never grow. Trusts the clock it is given; no I/O.
// Specified in docs/resilience.md "Hedging".

/** Fewer say nothing about the slowest of them. */
export const samplesMin = 100;
const windowMs = 30_000;
/** Eight counts for each doubling, from a quarter of a millisecond up to ten minutes. */
const perDoubling = 8;
const shortest = -2 * perDoubling;
const counts = 22 * perDoubling;

export class Latencies {
  #now = new Uint32Array(counts);
  #before = new Uint32Array(counts);
  #inNow = 0;
  #inBefore = 0;
  #turnMs = Number.NEGATIVE_INFINITY;

  /** One took so long, or at least so long where it was given up. */
  add(ms: number, nowMs: number): void {
    this.#turn(nowMs);
    const exact = Math.ceil(Math.log2(Math.max(ms, Number.MIN_VALUE)) * perDoubling) - shortest;
    const at = Math.min(counts - 1, Math.max(0, exact));
    this.#now[at] = (this.#now[at] ?? 0) + 1;
    this.#inNow++;
  }

  /** Milliseconds within which that share of them ended, rounded up; null: there are too few. */
  quantile(share: number, nowMs: number): number | null {
    this.#turn(nowMs);
    const all = this.#inNow + this.#inBefore;
    if (all < samplesMin) return null;
    let left = Math.ceil(all * share);
    for (let at = 0; at < counts; at++) {
      left -= (this.#now[at] ?? 0) + (this.#before[at] ?? 0);
      if (left <= 0) return 2 ** ((at + shortest) / perDoubling);
    }
    return null;
  }

  #turn(nowMs: number): void {
    const passedMs = nowMs - this.#turnMs;
    if (passedMs < windowMs) return;
    const hasGap = passedMs >= 2 * windowMs;
    const spent = this.#before;
    this.#before = this.#now;
    this.#inBefore = hasGap ? 0 : this.#inNow;
    if (hasGap) this.#before.fill(0);
    this.#now = spent.fill(0);
    this.#inNow = 0;
    this.#turnMs = nowMs;
  }
}
