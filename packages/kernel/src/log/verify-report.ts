// Promises the shapes of what verification is given and what it says. Trusts nothing: it is data. What each answer means: docs/audit.md "Verifying".
import type { Checkpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import type { NoteVerifier } from "@sallyport/protocol/audit/note.ts";
import type { Completeness } from "./completeness.ts";
import type { Disk } from "./disk.ts";
import type { TallyCheck } from "./tally-check.ts";
import type { Crew } from "./verify-crew.ts";

export type ProblemKind =
  | "checkpoint"
  | "root"
  | "truncated"
  | "frame"
  | "leaf"
  | "reference"
  | "tile"
  | "bundle"
  | "derived"
  | "chain"
  | "crossing"
  | "missing"
  | "missing-origin"
  | "unexpected"
  | "key";

/** One thing that is wrong, where it is, and what it means. */
export interface LogProblem {
  readonly kind: ProblemKind;
  readonly origin: string;
  /** Path of the file that is wrong, when it is one file. */
  readonly file: string | null;
  /** Index of the first leaf concerned. */
  readonly index: number | null;
  /** Offset in the file of the first wrong byte that could be named. */
  readonly offset: number | null;
  readonly message: string;
  /** A log that is being written looks so too: asked with `live`, it would not have been said. */
  readonly whileRunning?: true;
}

/** Problems listed per run; the first ones are what matters. */
export const problemsMax = 100;

/** A signed size and root that the log must have had. */
export interface SignedRoot extends Checkpoint {
  readonly from: string;
}

export interface OriginRules {
  /** A copy without derived files and without `head`, as an archive keeps it. */
  readonly isBare: boolean;
  readonly disk: Disk;
  readonly directory: string;
  readonly origin: string;
  readonly key: NoteVerifier;
  /** Older checkpoints of this origin. */
  readonly kept: readonly SignedRoot[];
  readonly completeness: Completeness;
  readonly tallies: TallyCheck;
  /** Who judges the chunks. */
  readonly crew: Crew;
  /** A copy of a running log: leaves beyond the checkpoint and a half-written last frame are expected. */
  readonly live: boolean;
  readonly onLeaves: (count: number) => void;
}

export interface OriginReport {
  readonly origin: string;
  /** Leaves that were judged: those in the write-ahead log, or those of the part that was asked for. */
  readonly leaves: number;
  /** Size of the published checkpoint; null when it is not believed. */
  readonly size: number | null;
  readonly root: string | null;
  /** SHA-256 of the last checkpoint's body, which the next origin names. */
  readonly checkpoint: Checkpoint | null;
  readonly problems: readonly LogProblem[];
  /** First and last leaf as text, for the chain of origins. */
  readonly firstLeaf: string | null;
  /** Retention removed its records: nothing but the checkpoint was judged. */
  readonly removed?: true;
  /** Only these leaves were judged, `to` exclusive; absent: all. */
  readonly checked?: { readonly from: number; readonly to: number };
  /** No leaf of it was asked for: nothing but the checkpoint's signature was judged. */
  readonly unread?: true;
  /** A copy without derived files. */
  readonly bare?: true;
}
