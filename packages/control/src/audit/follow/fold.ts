// Promises the one form of everything that is derived from records: a fold takes them in order, keeps its own place, and can be made again from the log.
// Trusts the follower (follower.ts) to hand it each record once after its place. Described in docs/audit.md "What follows the log".
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { readLeaf } from "../search/record-terms.ts";

/** Consecutive records of one origin; at least one. */
export interface FoldBatch {
  readonly origin: HeldOrigin;
  readonly records: readonly FoundRecord[];
  /** The leaf of each record, parsed once for all folds, which must not change it; null: bytes that are no leaf. Absent: nobody parsed them yet. */
  readonly leaves?: readonly (Leaf | null)[];
}

/** The leaf of each record of a batch. */
export const leavesOf = ({ records, leaves }: FoldBatch): readonly (Leaf | null)[] =>
  leaves ?? records.map(({ leaf }) => readLeaf(leaf));

export interface Fold {
  /** One word: names it in status, metrics and questions. */
  readonly id: string;
  /** Whether it takes records of an origin, which never changes; absent: of every one. */
  wants?(origin: HeldOrigin): boolean;
  /** How often its places went back; when it has grown they are asked for again. Absent: they never do. */
  readonly restarts?: number;
  /** Per origin, the index of the first record that was not taken. Asked at the start, and when `restarts` has grown; what is not named begins at 0. */
  places(): Promise<ReadonlyMap<string, number>>;
  /**
   * Takes records. What they led to and the place behind them become durable together, or, where the receiver is another system, it has them and
   * then the place is durable (at least once); a fold may put that off for a bounded number of records, which after a crash come again. Throws when
   * they could not be taken: they come again after a pause.
   */
  take(batch: FoldBatch): Promise<void>;
  /** Answers a question of an operator; the form is the fold's own (structured-cloneable). Absent: it has no answers. */
  answer?(question: unknown): Promise<unknown>;
  close(): Promise<void>;
}

/** How far a fold is. */
export interface FoldStanding {
  readonly id: string;
  /** Records that may be read and were not taken. */
  readonly behind: number;
  /** Milliseconds since the epoch of the oldest such record's checkpoint being seen; null when nothing is behind. */
  readonly behindSince: number | null;
  /** Why the last try failed; null when it did not. */
  readonly fault: string | null;
}

/** What a fold may use of the thread it runs in. */
export interface FoldHost {
  /** Control's data directory: a fold keeps its files in a folder of its own there. */
  readonly dataDirectory: string;
  /** Every record that may be read, for what a fold has to look up besides what it is handed. */
  readonly records: Pick<HeldRecords, "origins" | "read">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Asks control for what only it has, for example its store; input and output are structured-cloneable. Rejects with what went wrong there. */
  readonly call: (service: string, input: unknown) => Promise<unknown>;
  /** Tells the operator's log of what nobody waits for. */
  readonly fault: (error: unknown) => void;
}

/** Exported as `makeFold` by the module a fold order names. Rejects when the options are not to be used: the order is tried again when it changes. */
export type FoldMaker = (id: string, options: unknown, host: FoldHost) => Promise<Fold>;
