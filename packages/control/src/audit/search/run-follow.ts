// Promises what matches among the records behind a place, in the order they came, each once, at a bounded cost per call: also when the index was made
// again in another order, because a place says for every origin which record comes next. Trusts the index as run-search.ts does.
import { BlockView, hashFilters } from "./block-view.ts";
import type { BlockMeta, FiledOrigin, Shelf } from "./index-store.ts";
import { hitOf, matches } from "./read-hit.ts";
import { readLeaf } from "./record-terms.ts";
import { IndexUnreadable, isUnreachable } from "./run-search.ts";
import type { Indexed, SearchIndex } from "./search-index.ts";
import type { Follow, Followed, Hit } from "./search-question.ts";

/** Blocks looked at by one call. */
const blocksMax = 8;

/** Throws IndexUnreadable naming the shelf. */
export async function runFollow(index: SearchIndex, follow: Follow): Promise<Followed> {
  const run = new Run(index, follow);
  try {
    return await run.followed();
  } catch (error) {
    if (isUnreachable(error)) throw error;
    throw new IndexUnreadable({ shelf: run.reading, restarts: run.restarts }, error);
  }
}

interface NumberedBlock {
  readonly shelf: Shelf;
  readonly meta: BlockMeta;
}

/** Number of its first record, in the order records came. */
const firstOf = ({ shelf, meta }: NumberedBlock): number => shelf.before + meta.before;

class Run {
  readonly #index: SearchIndex;
  readonly #follow: Follow;
  readonly restarts: number;
  readonly #hits: Hit[] = [];
  /** Number of an origin to its first record that was not seen. */
  readonly #next = new Map<number, number>();
  reading = 0;
  #missing = 0;

  constructor(index: SearchIndex, follow: Follow) {
    this.#index = index;
    this.#follow = follow;
    this.restarts = index.restarts;
  }

  async followed(): Promise<Followed> {
    const index = this.#index;
    await index.refresh();
    const { waiting, inBlocks } = index;
    const filed = index.origins();
    const { after } = this.#follow;
    if (after === null)
      return this.#answer(Object.fromEntries(filed.map(({ origin, next }) => [origin, next])), null, false);
    for (const { no, origin } of filed) this.#next.set(no, Object.hasOwn(after, origin) ? (after[origin] ?? 0) : 0);
    const places = () => ({
      ...after,
      ...Object.fromEntries(filed.map(({ no, origin }) => [origin, this.#next.get(no) ?? 0])),
    });
    if (filed.every(({ no, next }) => (this.#next.get(no) ?? 0) >= next)) return this.#answer(places(), null, false);
    const shelves = await index.store.shelves(inBlocks);
    const start = this.#hinted(shelves) ?? (await this.#search({ filed, shelves, waiting }));
    const reached = await this.#readBlocks(shelves, start);
    if (reached !== null) return this.#answer(places(), { restarts: this.restarts, from: reached }, true);
    const isWhole = this.#readWaiting(waiting);
    return this.#answer(places(), { restarts: this.restarts, from: inBlocks }, !isWhole);
  }

  #answer(places: Followed["places"], hint: Followed["hint"], more: boolean): Followed {
    return { hits: this.#hits, places, hint, missing: this.#missing, more };
  }

  #hinted([oldest]: readonly Shelf[]): number | null {
    const { hint } = this.#follow;
    if (hint === null || hint.restarts !== this.restarts) return null;
    return hint.from < (oldest?.before ?? 0) ? null : hint.from;
  }

  /** The number of the first block that holds something unseen: from the end back, until all that is unseen was met. */
  async #search({
    filed,
    shelves,
    waiting,
  }: {
    readonly filed: readonly FiledOrigin[];
    readonly shelves: readonly Shelf[];
    readonly waiting: readonly Indexed[];
  }): Promise<number> {
    const unseen = new Map<number, number>();
    for (const { no, next } of filed) {
      const left = next - (this.#next.get(no) ?? 0);
      if (left > 0) unseen.set(no, left);
    }
    const met = (origin: number, count: number) => {
      const left = (unseen.get(origin) ?? 0) - count;
      if (left > 0) unseen.set(origin, left);
      else unseen.delete(origin);
    };
    for (const { row } of waiting) if (row.index >= (this.#next.get(row.origin) ?? 0)) met(row.origin, 1);
    let start = Number.POSITIVE_INFINITY;
    for (const shelf of [...shelves].reverse()) {
      if (unseen.size === 0) return start;
      this.reading = shelf.number;
      for (const meta of [...(await shelf.blocks())].reverse()) {
        if (unseen.size === 0) return start;
        const { places } = await BlockView.open(shelf, meta);
        for (const { origin, first, count } of places.runs)
          met(origin, Math.max(0, first + count - Math.max(first, this.#next.get(origin) ?? 0)));
        start = firstOf({ shelf, meta });
      }
    }
    // What is left lies before everything that is kept: the oldest of each origin.
    for (const [origin, left] of unseen) {
      this.#missing += left;
      this.#next.set(origin, (this.#next.get(origin) ?? 0) + left);
    }
    return start;
  }

  /** Null: all blocks were read; else the number to go on at. */
  async #readBlocks(shelves: readonly Shelf[], start: number): Promise<number | null> {
    let read = 0;
    for (const shelf of shelves) {
      if (shelf.before + shelf.records <= start) continue;
      this.reading = shelf.number;
      for (const meta of await shelf.blocks()) {
        const first = firstOf({ shelf, meta });
        if (first + meta.count <= start) continue;
        if (read++ === blocksMax || !(await this.#readBlock(shelf, meta))) return first;
      }
    }
    return null;
  }

  /** False: the page was full before its end. */
  async #readBlock(shelf: Shelf, meta: BlockMeta): Promise<boolean> {
    const { filters, limit } = this.#follow;
    const view = await BlockView.open(shelf, meta);
    for (const place of await view.matching(hashFilters(filters, this.#index.hashes))) {
      const { origin, index } = view.places.place(place);
      if (index < (this.#next.get(origin) ?? 0)) continue;
      if (this.#hits.length >= limit) {
        this.#see(view, place);
        return false;
      }
      const stored = await view.leafAt(place);
      const read = { leaf: readLeaf(stored.leaf), intent: stored.intent === null ? null : readLeaf(stored.intent) };
      const where = this.#index.placeOf(origin);
      if (!matches(read, where, filters)) continue;
      this.#hits.push(hitOf({ ...stored, place: where, index, at: view.places.at[place] ?? 0 }, read));
    }
    this.#see(view, meta.count);
    return true;
  }

  /** The first so many records of a block were seen. */
  #see({ places }: BlockView, records: number): void {
    let left = records;
    for (const { origin, first, count } of places.runs) {
      if (left <= 0) return;
      this.#seen(origin, first + Math.min(left, count));
      left -= count;
    }
  }

  #seen(origin: number, next: number): void {
    this.#next.set(origin, Math.max(next, this.#next.get(origin) ?? 0));
  }

  /** False: the page was full before the end. */
  #readWaiting(waiting: readonly Indexed[]): boolean {
    const { filters, limit } = this.#follow;
    for (const { row, read } of waiting) {
      if (row.index < (this.#next.get(row.origin) ?? 0)) continue;
      const place = this.#index.placeOf(row.origin);
      if (matches(read, place, filters)) {
        if (this.#hits.length >= limit) return false;
        this.#hits.push(hitOf({ ...row, place }, read));
      }
      this.#seen(row.origin, row.index + 1);
    }
    return true;
  }
}
