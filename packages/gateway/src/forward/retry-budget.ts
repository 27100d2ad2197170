// Promises that retries stay a share of the requests of the last ten seconds, so that a failing provider is never asked much more than a healthy one.
// Trusts the clock it is given; no I/O. Specified in docs/resilience.md "Retries".
import { SlidingCounts } from "./sliding-counts.ts";

export interface BudgetRules {
  /** Retries per request, 0 to 1. */
  readonly budget: number;
  /** Retries that ten seconds always have, also without a request. */
  readonly least: number;
}

export class RetryBudget {
  readonly #counts = new SlidingCounts();
  /** Retries that were not made for want of it. */
  refused = 0;

  /** A crossing is forwarded for the first time. */
  request(nowMs: number): void {
    this.#counts.addFirst(nowMs);
  }

  /** Is there one to take? */
  has(rules: BudgetRules, nowMs: number): boolean {
    this.#counts.turn(nowMs);
    const { first: requests, second: retries } = this.#counts;
    return retries < Math.max(rules.least, requests * rules.budget);
  }

  /** Takes one retry, if there is one. */
  take(rules: BudgetRules, nowMs: number): boolean {
    if (!this.has(rules, nowMs)) {
      this.refused++;
      return false;
    }
    this.#counts.addSecond(nowMs);
    return true;
  }
}
