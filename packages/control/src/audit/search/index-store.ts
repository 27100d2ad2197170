// Promises the one form of where an index lies: blocks of records in the order they came, the few that wait, and behind them the place of every origin,
// each change one transaction. Trusts nothing; sqlite-index.ts and postgres-index.ts keep it. Described in docs/audit-search.md "How it is kept".
import type { BlockParts } from "./block.ts";

export interface BlockMeta {
  /** Number in its shelf. */
  readonly n: number;
  /** Records before it in its shelf, in the order they came. */
  readonly before: number;
  readonly count: number;
  readonly minAt: number;
  readonly maxAt: number;
}

/** A record that waits to become part of a block. */
export interface WaitingRow {
  readonly origin: number;
  readonly index: number;
  readonly at: number;
  readonly leaf: Uint8Array;
  readonly intent: Uint8Array | null;
}

export interface OpenIntentChange {
  readonly opened: readonly { readonly key: string; readonly leaf: Uint8Array }[];
  readonly ended: readonly string[];
}

export interface FiledOrigin {
  readonly no: number;
  readonly origin: string;
  /** JSON of its place: what terms say of where a record was written. */
  readonly place: string;
  readonly next: number;
}

export interface NewBlock {
  readonly count: number;
  readonly minAt: number;
  readonly maxAt: number;
  readonly parts: BlockParts;
  /** Of all terms, ascending. */
  readonly hashes: Float64Array;
}

/** What of one `take` becomes durable together. */
export interface Commit {
  readonly origin: FiledOrigin;
  /** Takes everything that waited. */
  readonly block: NewBlock | null;
  readonly waiting: readonly WaitingRow[];
  readonly intents: OpenIntentChange;
}

/** Everything but the blocks, as of one version. */
export interface IndexState {
  readonly version: number;
  readonly origins: readonly FiledOrigin[];
  readonly waiting: readonly WaitingRow[];
  readonly intents: OpenIntentChange["opened"];
  /** Records ever taken, in blocks: the first that waits has this number. */
  readonly inBlocks: number;
}

/** Blocks that lie together. What it holds does not change after it was given out. */
export interface Shelf {
  readonly number: number;
  /** Records of all shelves before it. */
  readonly before: number;
  readonly records: number;
  readonly minAt: number;
  readonly maxAt: number;
  blocks(): Promise<readonly BlockMeta[]>;
  /** Numbers of the blocks that may hold one of these terms. */
  blocksOf(hashes: readonly number[]): Promise<ReadonlySet<number>>;
  /** These throw BlockDamaged where there is no such part. */
  part(n: number, part: "places" | "terms" | "ids"): Promise<Uint8Array>;
  group(n: number, group: number): Promise<Uint8Array>;
}

export interface IndexStore {
  load(): Promise<IndexState>;
  /** False: it is not as it was loaded any more, somebody else wrote; nothing was written. */
  commit(version: number, commit: Commit): Promise<boolean>;
  /** Whether it has to be loaded again to be up to date. */
  changedSince(version: number): Promise<boolean>;
  /** In the order they came, without blocks behind so many records: what was written since is not among them. */
  shelves(inBlocks: number): Promise<readonly Shelf[]>;
  /** Gives up this shelf and what came after it; 0: everything. */
  giveUp(shelf: number): Promise<void>;
  /** Grows each time records were given up, by whomever. */
  readonly restarts: number;
  close(): Promise<void>;
}
