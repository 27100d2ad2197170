// Promises to count crossings and to say which of them do not add up. Trusts the order of the leaves it is given.
// Rules: docs/formats/leaf.md "Crossings and completeness".
import type { LeafHead } from "@sallyport/protocol/audit/leaf-format.ts";

export interface CrossingCounts {
  /** Whole crossings plus intents: what was decided, one each. */
  crossings: number;
  intents: number;
  outcomes: number;
  /** Outcomes written at recovery. */
  unknown: number;
}

/** Follows every intent to its outcome, through all origins of a directory. */
export class Completeness {
  readonly counts: CrossingCounts = { crossings: 0, intents: 0, outcomes: 0, unknown: 0 };
  readonly #open = new Set<string>();

  /** Takes the next leaf; a text says what does not add up. */
  take(head: LeafHead, text: string): string | null {
    if (head.id === null) return null;
    const open = this.#open.size > 0 && this.#open.has(head.id);
    switch (head.t) {
      case "crossing":
        this.counts.crossings += 1;
        return open ? "is a whole crossing, but an intent with its id is open" : null;
      case "intent":
        this.counts.crossings += 1;
        this.counts.intents += 1;
        this.#open.add(head.id);
        return open ? "is a second intent of the same id" : null;
      case "progress":
        return open ? null : "is progress without an open intent";
      case "outcome":
        this.counts.outcomes += 1;
        if (text.includes('"outcome":"unknown"')) this.counts.unknown += 1;
        this.#open.delete(head.id);
        return open ? null : "is an outcome without an open intent, or the second one";
      default:
        return null;
    }
  }

  /** Ids of intents without an outcome so far. */
  open(): string[] {
    return [...this.#open];
  }
}
