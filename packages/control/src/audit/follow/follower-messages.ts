// Promises the messages between control and its follower thread. Trusts both ends: they are one program. Used by follower.ts and follower-worker.ts.
import type { FoldStanding } from "./fold.ts";

/** One fold to run: its module exports `makeFold` (a `FoldMaker`). Structured-cloneable. */
export interface FoldOrder {
  /** Unique among orders. */
  readonly id: string;
  /** URL of the module, as `new URL("./x.ts", import.meta.url).href` says it. */
  readonly module: string;
  /** What its maker takes; a changed value restarts the fold. */
  readonly options: unknown;
}

/** What the thread is started with. */
export interface FollowerThreadOptions {
  /** Control's data directory. */
  readonly dataDirectory: string;
}

export type FollowerRequest =
  | { readonly t: "orders"; readonly ticket: number; readonly orders: readonly FoldOrder[] }
  | { readonly t: "ask"; readonly ticket: number; readonly fold: string; readonly question: unknown }
  | { readonly t: "standing"; readonly ticket: number }
  | { readonly t: "close"; readonly ticket: number }
  /** Answers a `call`. */
  | { readonly t: "served"; readonly ticket: number; readonly output: unknown }
  | { readonly t: "unserved"; readonly ticket: number; readonly why: string };

export type FollowerAnswer =
  | { readonly t: "done"; readonly ticket: number; readonly output: unknown }
  | { readonly t: "failed"; readonly ticket: number; readonly why: string }
  /** A fold asks something of control. */
  | { readonly t: "call"; readonly ticket: number; readonly service: string; readonly input: unknown }
  /** Something went wrong that nobody asked for. */
  | { readonly t: "fault"; readonly why: string };

export interface FollowerStanding {
  readonly folds: readonly FoldStanding[];
  /** Why the origins cannot be read at present; null when they can. */
  readonly fault: string | null;
}
