// Promises to know where crossings may be missing because a gateway answered them before their records were durable and then died: never silently.
// Trusts the order of the leaves it is given. Rules: docs/formats/leaf.md "Buffered records".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";

export type EarlyLeaf = Extract<Leaf, { readonly t: "buffered" | "settled" }>;

/** A run that ended while it had promised to answer early. */
export interface EarlyLoss {
  /** `at` of the promise. */
  readonly from: number;
  /** `at` of the `start` leaf that followed; null: the log ends there. */
  readonly until: number | null;
  /** At most so many crossings were answered and have no record. */
  readonly upTo: number;
}

export interface EarlyCounts {
  promises: number;
  /** Crossings that were answered early and are all here. */
  settled: number;
  crashes: number;
  /** The first 100 of them. */
  readonly mayMiss: EarlyLoss[];
}

const lossesMax = 100;

export class EarlyCheck {
  readonly counts: EarlyCounts = { promises: 0, settled: 0, crashes: 0, mayMiss: [] };
  #open: { readonly from: number; readonly upTo: number } | null = null;
  /** What was promised before the first leaf that was read is not known. */
  #isKnown: boolean;

  constructor({ isFromBeginning }: { readonly isFromBeginning: boolean }) {
    this.#isKnown = isFromBeginning;
  }

  /** A text says what is wrong. */
  take(leaf: EarlyLeaf): string | null {
    const open = this.#open;
    const wasKnown = this.#isKnown;
    this.#isKnown = true;
    if (leaf.t === "buffered") {
      this.counts.promises += 1;
      this.#open = { from: leaf.at, upTo: leaf.upTo };
      return open === null ? null : "promises to answer early, which was promised and not ended before";
    }
    this.#open = null;
    this.counts.settled += leaf.early;
    return open === null && wasKnown ? "ends a promise to answer early that nobody gave" : null;
  }

  /** The run is over: at the next `start`, or where the log ends. */
  crashed(until: number | null): void {
    this.#isKnown = true;
    if (this.#open === null) return;
    this.counts.crashes += 1;
    if (this.counts.mayMiss.length < lossesMax) this.counts.mayMiss.push({ ...this.#open, until });
    this.#open = null;
  }
}
