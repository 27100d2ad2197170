// Promises what each stage of one crossing took, for `Server-Timing` and for traces; nothing is kept where nobody asked for it.
// Trusts the pipeline to call `mark` in order. Format: Server Timing (W3C), milliseconds.

export interface StageTime {
  /** A stage of the pipeline; the two `record` rows are `intent` and `outcome`. */
  readonly name: string;
  /** Monotonic milliseconds. */
  readonly startMs: number;
  readonly endMs: number;
}

export class StageTimes {
  readonly #stages: StageTime[] = [];
  #lastMs: number;

  /** `startMs`: when the crossing began, monotonic milliseconds. */
  constructor(startMs: number) {
    this.#lastMs = startMs;
  }

  /** The stage that ends now began where the one before it ended. */
  mark(name: string, nowMs: number): void {
    this.#stages.push({ name, startMs: this.#lastMs, endMs: nowMs });
    this.#lastMs = nowMs;
  }

  /** In the order they ran. */
  get stages(): readonly StageTime[] {
    return this.#stages;
  }

  /** Value of a `Server-Timing` field: the stages so far, then everything together. */
  serverTiming(totalMs: number): string {
    const metrics = this.#stages.map(({ name, startMs, endMs }) => `${name};dur=${(endMs - startMs).toFixed(2)}`);
    return [...metrics, `total;dur=${totalMs.toFixed(2)}`].join(", ");
  }
}
