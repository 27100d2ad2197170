// Promises two counts over the last ten seconds, in ten buckets of a second, at the price of one addition each. Trusts the clock it is given.

export const windowMs = 10_000;
const bucketMs = 1_000;
const buckets = windowMs / bucketMs;

/** Two kinds of events, counted together: requests and retries, answers and failures. */
export class SlidingCounts {
  readonly #first = new Float64Array(buckets);
  readonly #second = new Float64Array(buckets);
  #bucket = 0;
  first = 0;
  second = 0;

  addFirst(nowMs: number): void {
    this.turn(nowMs);
    const at = this.#bucket % buckets;
    this.#first[at] = (this.#first[at] ?? 0) + 1;
    this.first++;
  }

  addSecond(nowMs: number): void {
    this.turn(nowMs);
    const at = this.#bucket % buckets;
    this.#second[at] = (this.#second[at] ?? 0) + 1;
    this.second++;
  }

  /** Forgets what is older than the window; a clock that goes back forgets nothing. */
  turn(nowMs: number): void {
    const bucket = Math.floor(nowMs / bucketMs);
    if (bucket <= this.#bucket) return;
    const passed = Math.min(bucket - this.#bucket, buckets);
    for (let i = 1; i <= passed; i++) {
      const at = (this.#bucket + i) % buckets;
      this.first -= this.#first[at] ?? 0;
      this.second -= this.#second[at] ?? 0;
      this.#first[at] = 0;
      this.#second[at] = 0;
    }
    // Where more than the window has passed all are empty, so any place is as good as another.
    this.#bucket = bucket;
  }

  clear(): void {
    this.#first.fill(0);
    this.#second.fill(0);
    this.first = 0;
    this.second = 0;
  }
}
