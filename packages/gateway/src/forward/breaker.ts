// Promises when one endpoint is asked and when it is left alone: shut out after failures, tried again by one request at a time, for pauses that grow and
// are bounded. Trusts its caller for the clock and for how attempts ended; no I/O. Specified in docs/resilience.md "Breaker".
import { SlidingCounts } from "./sliding-counts.ts";

export interface BreakerRules {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** Share of the attempts of ten seconds that opens it, above 0 and at most 1; absent: no share does. */
  readonly share?: number;
  /** Attempts that a share is taken of, at least. */
  readonly requests: number;
  readonly openMs: number;
  readonly openMsMax: number;
}

/** How an attempt ended, as far as it says something about the endpoint. */
export type AttemptEnd = "ok" | "failed" | "unknown";

export type BreakerState = "closed" | "open" | "half-open" | "trial";

export class Breaker {
  #rules: BreakerRules | null;
  #inRow = 0;
  readonly #counts = new SlidingCounts();
  #openUntilMs: number | null = null;
  #closedAtMs = Number.NEGATIVE_INFINITY;
  /** Openings without a long enough time closed between them. */
  #times = 0;
  #trial = false;
  /** Grows with each change, so that the end of an attempt that began before says nothing about what came after. */
  #turn = 0;
  /** Openings so far. */
  opened = 0;

  /** Without rules it is always closed. */
  constructor(rules: BreakerRules | null) {
    this.#rules = rules;
  }

  /** A newer snapshot says otherwise; what was counted stays. */
  use(rules: BreakerRules | null): void {
    this.#rules = rules;
    if (rules === null) this.#close();
  }

  state(nowMs: number): BreakerState {
    if (this.#openUntilMs === null) return "closed";
    if (this.#trial) return "trial";
    return nowMs < this.#openUntilMs ? "open" : "half-open";
  }

  mayTry(nowMs: number): boolean {
    return this.#openUntilMs === null || (!this.#trial && nowMs >= this.#openUntilMs);
  }

  /** Milliseconds until it may be tried, at least 1 while it may not. */
  waitMs(nowMs: number): number {
    if (this.mayTry(nowMs)) return 0;
    return Math.max(1, (this.#openUntilMs ?? nowMs) - nowMs);
  }

  /** An attempt begins, where `mayTry` said yes. What it gives back belongs to `ended`. */
  began(): number {
    if (this.#openUntilMs === null) return this.#turn;
    this.#trial = true;
    this.#turn++;
    return this.#turn;
  }

  /** `mayEject`: may it be shut out for its share of failures, or are too many of its siblings out already? */
  ended(end: AttemptEnd, began: number, on: { readonly nowMs: number; readonly mayEject: boolean }): void {
    if (this.#rules === null || began !== this.#turn) return;
    if (this.#trial) {
      this.#trial = false;
      if (end === "failed") this.#open(this.#rules, on.nowMs);
      else if (end === "ok") this.#reclose(on.nowMs);
      return;
    }
    if (end === "ok") {
      this.#inRow = 0;
      if (this.#rules.share !== undefined) this.#counts.addFirst(on.nowMs);
    } else if (end === "failed") this.#failed(this.#rules, on);
  }

  #failed(rules: BreakerRules, { nowMs, mayEject }: { readonly nowMs: number; readonly mayEject: boolean }): void {
    this.#inRow++;
    this.#counts.addFirst(nowMs);
    this.#counts.addSecond(nowMs);
    const isDown = this.#inRow >= rules.failures;
    const { first: all, second: failed } = this.#counts;
    const isIll = rules.share !== undefined && all >= rules.requests && failed >= all * rules.share;
    if (isDown || (isIll && mayEject)) this.#open(rules, nowMs);
  }

  #open(rules: BreakerRules, nowMs: number): void {
    const hasRecovered = this.#openUntilMs === null && nowMs - this.#closedAtMs > rules.openMsMax;
    this.#times = hasRecovered ? 1 : this.#times + 1;
    // The exponent is bounded, so that the product stays a number.
    const openMs = Math.min(rules.openMsMax, rules.openMs * 2 ** Math.min(this.#times - 1, 30));
    this.#openUntilMs = nowMs + openMs;
    this.opened++;
    this.#turn++;
  }

  #reclose(nowMs: number): void {
    this.#closedAtMs = nowMs;
    this.#close();
  }

  #close(): void {
    this.#openUntilMs = null;
    this.#trial = false;
    this.#inRow = 0;
    this.#counts.clear();
    this.#turn++;
  }
}
