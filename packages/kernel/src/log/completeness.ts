// Promises to count crossings and to say which of them do not add up. Trusts the order of the leaves it is given.
// Rules: docs/formats/leaf.md "Crossings and completeness".
import type { LeafHead } from "@sallyport/protocol/audit/leaf-format.ts";
import { openIntentsMax } from "./open-intents.ts";

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
  /** Outcomes of intents that were not read, each once; null: all were read. */
  readonly #strays: Set<string> | null;

  /** `isFromBeginning`: no origin before the first one read was removed, which may have held intents that end here. */
  constructor({ isFromBeginning } = { isFromBeginning: true }) {
    this.#strays = isFromBeginning ? null : new Set();
  }

  /** Is any intent without an outcome so far? */
  get isAnyOpen(): boolean {
    return this.#open.size > 0;
  }

  /** Takes whole crossings while no intent is open: nothing about them can fail to add up. */
  takeCrossings(count: number): void {
    this.counts.crossings += count;
  }

  /** Takes the next leaf, and whether it says an unknown outcome; a text says what does not add up. */
  take(head: LeafHead, isUnknown: boolean): string | null {
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
        return open || this.#strays !== null ? null : "is progress without an open intent";
      case "outcome":
        this.counts.outcomes += 1;
        if (isUnknown) this.counts.unknown += 1;
        this.#open.delete(head.id);
        return open || this.#isStray(head.id) ? null : "is an outcome without an open intent, or the second one";
      default:
        return null;
    }
  }

  /** As many as a log may leave open at its end, and each once. */
  #isStray(id: string): boolean {
    if (this.#strays === null || this.#strays.has(id) || this.#strays.size >= openIntentsMax) return false;
    this.#strays.add(id);
    return true;
  }

  /** Ids of intents without an outcome so far. */
  open(): string[] {
    return [...this.#open];
  }
}

/** Does the text of an outcome leaf say that it was found at recovery? */
export function saysUnknown(text: string): boolean {
  return text.includes('"outcome":"unknown"');
}
