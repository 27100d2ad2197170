// Promises a time that goes with the wall clock as long as that goes steadily: a clock that is set anew while a gateway runs ends no key early and lets
// nobody have an effect twice. Trusts the monotonic clock. Specified in docs/idempotency.md "Time".
import type { Clock } from "@sallyport/kernel/ports.ts";

/** A correction up to this size is followed; what is larger was set by hand, or wrongly. */
export const followedMsMax = 60_000;

export class SteadyClock {
  readonly #clock: Clock;
  #wallMs: number;
  #monotonicMs: number;
  /** How far the wall clock is from this one now, milliseconds; 0 while it is followed. */
  jumpedMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wallMs = clock.now();
    this.#monotonicMs = clock.monotonic();
  }

  /** Milliseconds since the epoch. */
  now(): number {
    const monotonicMs = this.#clock.monotonic();
    const expectedMs = this.#wallMs + (monotonicMs - this.#monotonicMs);
    const wallMs = this.#clock.now();
    const isFollowed = Math.abs(wallMs - expectedMs) <= followedMsMax;
    this.jumpedMs = isFollowed ? 0 : wallMs - expectedMs;
    // The anchor moves on all the same: what is remembered is a step, not how far the two have drifted in a year.
    this.#wallMs = isFollowed ? wallMs : expectedMs;
    this.#monotonicMs = monotonicMs;
    return Math.floor(this.#wallMs);
  }
}
