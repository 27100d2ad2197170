// Promises who would gain or lose access, grouped by caller and operation with counts, times and an example, and how many records could not be decided
// again and why; in bounded room. Pure. Specified in docs/policy.md "Replay".
import type { DecidedAgain } from "./decide-again.ts";
import type { Recorded } from "./recorded.ts";

export interface ReplayGroup {
  readonly environment: string;
  readonly caller: string;
  readonly operation: string;
  readonly change: "loses" | "gains";
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** Id of the newest crossing. */
  readonly example: string;
  /** Of the newest: the policies that decide now, or why nothing permits it. */
  readonly why: string;
}

export interface ReplayReport {
  /** Decisions in the period, of the integrations asked for. */
  readonly records: number;
  readonly same: number;
  readonly loses: number;
  readonly gains: number;
  /** The most frequent first. */
  readonly groups: readonly ReplayGroup[];
  /** Changes that found no room in a group. */
  readonly ungrouped: number;
  /** Why not -> how many; the most frequent first. */
  readonly undecided: readonly { readonly why: string; readonly count: number; readonly example: string }[];
  /** Logs that could not be read, or not to their end. */
  readonly faults: readonly string[];
}

const groupsMax = 10_000;
const reasonsMax = 256;
const whyCharactersMax = 500;

type Group = { -readonly [Name in keyof ReplayGroup]: ReplayGroup[Name] };

export class ReplayTally {
  readonly #groups = new Map<string, Group>();
  readonly #undecided = new Map<string, { count: number; example: string }>();
  readonly #faults: string[] = [];
  #same = 0;
  #loses = 0;
  #gains = 0;
  #ungrouped = 0;
  #notDecided = 0;

  get records(): number {
    return this.#same + this.#loses + this.#gains + this.#notDecided;
  }

  undecided(why: string, example: string): void {
    this.#notDecided++;
    const key = this.#undecided.has(why) || this.#undecided.size < reasonsMax ? why : "other reasons";
    const known = this.#undecided.get(key);
    if (known === undefined) this.#undecided.set(key, { count: 1, example });
    else known.count++;
  }

  fault(text: string): void {
    if (this.#faults.length < reasonsMax && !this.#faults.includes(text)) this.#faults.push(text);
  }

  decided({ leaf, operation, allowed }: Recorded, again: Exclude<DecidedAgain, { kind: "unknown" }>): void {
    if (allowed === (again.kind === "allow")) {
      this.#same++;
      return;
    }
    const change = allowed ? "loses" : "gains";
    if (allowed) this.#loses++;
    else this.#gains++;
    const { environment, at, id } = leaf;
    const key = JSON.stringify([environment, again.caller, operation, change]);
    const known = this.#groups.get(key);
    const why = again.why.slice(0, whyCharactersMax);
    if (known === undefined && this.#groups.size >= groupsMax) this.#ungrouped++;
    else if (known === undefined)
      this.#groups.set(key, {
        ...{ environment, caller: again.caller, operation, change, count: 1 },
        ...{ firstMs: at, lastMs: at, example: id, why },
      });
    else {
      known.count++;
      known.firstMs = Math.min(known.firstMs, at);
      if (at >= known.lastMs) Object.assign(known, { lastMs: at, example: id, why });
    }
  }

  report(): ReplayReport {
    const groups = [...this.#groups.values()].sort((a, b) => b.count - a.count || (keyOf(a) < keyOf(b) ? -1 : 1));
    const undecided = [...this.#undecided].map(([why, { count, example }]) => ({ why, count, example }));
    return {
      records: this.records,
      same: this.#same,
      loses: this.#loses,
      gains: this.#gains,
      groups,
      ungrouped: this.#ungrouped,
      undecided: undecided.sort((a, b) => b.count - a.count || (a.why < b.why ? -1 : 1)),
      faults: this.#faults,
    };
  }
}

const keyOf = ({ environment, caller, operation, change }: ReplayGroup): string =>
  JSON.stringify([environment, caller, operation, change]);
