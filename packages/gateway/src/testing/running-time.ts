// Promises how long something took in time in which this process ran: where the machine let it stand still meanwhile, nobody in it could have been faster.
// Trusts the system's count of processor time. For bounds by the clock that are promises of the product.

/** Longest gap between two turns of timers that counts whole, in milliseconds: beyond it, only what was computed in it does. */
const gapMsMax = 50;
const turnMs = 5;

export class RunningTime {
  #lastMs = performance.now();
  #used = process.cpuUsage();
  #ms = 0;
  readonly #timer = setInterval(() => this.#turn(), turnMs);

  /** Ends the count; milliseconds since it was made. */
  end(): number {
    clearInterval(this.#timer);
    this.#turn();
    return this.#ms;
  }

  #turn(): void {
    const nowMs = performance.now();
    const { user, system } = process.cpuUsage(this.#used);
    const gapMs = nowMs - this.#lastMs;
    this.#ms += Math.min(gapMs, Math.max(gapMsMax, (user + system) / 1_000));
    this.#lastMs = nowMs;
    this.#used = process.cpuUsage();
  }
}
