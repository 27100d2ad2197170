// Promises an index in SQLite files of this node's own, each the next of the one before; old ones go when there is no more room for them.
// Trusts index-files.ts for the chain. Described in docs/audit-search.md "How it is kept".
import type { IndexFile } from "./index-file.ts";
import { IndexFiles } from "./index-files.ts";
import type { BlockMeta, Commit, IndexState, IndexStore, Shelf } from "./index-store.ts";

export interface SqliteIndexOptions {
  readonly directory: string;
  /** Names this installation: files of another one are not taken for its own. */
  readonly owner: string;
  readonly now: () => number;
  /** All sealed files together; older ones are removed. */
  readonly bytesMax: number;
  /** Files whose newest record is older are removed. */
  readonly keepMs: number;
}

export class SqliteIndex implements IndexStore {
  readonly #options: SqliteIndexOptions;
  readonly files: IndexFiles;

  constructor(options: SqliteIndexOptions) {
    this.#options = options;
    this.files = new IndexFiles(options.directory, options.owner);
  }

  get restarts(): number {
    return this.files.restarts;
  }

  async load(): Promise<IndexState> {
    const { current } = this.files;
    return {
      version: 0,
      origins: current.origins(),
      waiting: current.waiting(),
      intents: current.openIntents(),
      inBlocks: current.head.before + recordsOf(current.blocks),
    };
  }

  /** Nobody else writes these files. */
  async changedSince(): Promise<boolean> {
    return false;
  }

  async commit(_version: number, { block, ...rest }: Commit): Promise<boolean> {
    const { current } = this.files;
    current.commit({ ...rest, block: block === null ? null : { ...block, meta: metaOf(current, block) } });
    if (current.isFull()) this.files.turn();
    this.files.trim(this.#options.bytesMax, this.#options.now() - this.#options.keepMs);
    return true;
  }

  async shelves(inBlocks: number): Promise<readonly Shelf[]> {
    const { sealed, current } = this.files;
    const growing = { head: current.head, records: recordsOf(current.blocks), ...timesOf(current.blocks) };
    return [...sealed, growing]
      .filter(({ head, records }) => records > 0 && head.before < inBlocks)
      .map(({ head, records, minAt, maxAt }) => ({
        ...{ number: head.number, before: head.before, minAt, maxAt },
        records: Math.min(records, inBlocks - head.before),
        ...readsOf(() => this.files.file(head.number), inBlocks - head.before),
      }));
  }

  async giveUp(shelf: number): Promise<void> {
    // Removed because it was old, while somebody still read it: nothing is damaged.
    if (shelf > 0 && shelf < this.files.current.floor()) return;
    this.files.giveUp(shelf);
  }

  async close(): Promise<void> {
    this.files.close();
  }
}

/** A file may have been closed since, so it is asked for each time. */
function readsOf(file: () => IndexFile, records: number): Pick<Shelf, "blocks" | "blocksOf" | "part" | "group"> {
  return {
    blocks: async () => file().blocks.filter(({ before }) => before < records),
    blocksOf: async (hashes) => new Set(hashes.flatMap((hash) => [...file().blocksOf(hash)])),
    part: async (n, part) => file().part(n, part),
    group: async (n, group) => file().group(n, group),
  };
}

function metaOf(file: IndexFile, { count, minAt, maxAt }: Pick<BlockMeta, "count" | "minAt" | "maxAt">): BlockMeta {
  return { n: file.blocks.length, before: recordsOf(file.blocks), count, minAt, maxAt };
}

function recordsOf(blocks: readonly BlockMeta[]): number {
  const last = blocks.at(-1);
  return last === undefined ? 0 : last.before + last.count;
}

const timesOf = (blocks: readonly BlockMeta[]) => ({
  minAt: Math.min(...blocks.map(({ minAt }) => minAt)),
  maxAt: Math.max(...blocks.map(({ maxAt }) => maxAt)),
});
