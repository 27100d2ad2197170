// Promises what is known of second attempts at one system: how many there were, what is left of their budget, and how long first attempts of each operation take.
// Trusts hedging.ts for the counts. Specified in docs/resilience.md "Hedging".
import { Latencies } from "./latencies.ts";
import { RetryBudget } from "./retry-budget.ts";

/** Beyond it all are forgotten: operations come and go with snapshots. */
const operationsMax = 4_096;

export class HedgeTraffic {
  readonly budget = new RetryBudget();
  readonly #latencies = new Map<string, Latencies>();
  made = 0;
  /** Those that were answered first. */
  won = 0;
  /** For want of budget or room. */
  refused = 0;

  latenciesOf(operation: string): Latencies {
    const known = this.#latencies.get(operation);
    if (known !== undefined) return known;
    if (this.#latencies.size >= operationsMax) this.#latencies.clear();
    const fresh = new Latencies();
    this.#latencies.set(operation, fresh);
    return fresh;
  }
}
