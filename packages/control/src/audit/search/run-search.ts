// Promises the newest records that match, in one order whatever order they came in, at a bounded cost: what the bound leaves out is said, and can be asked for.
// Trusts the index to say where to look; every hit is judged by the record. Described in docs/audit-search.md "Bounds".
import { StoreFault } from "@sallyport/kernel/store/fault.ts";
import { BlockView, type HashedFilter, hashFilters } from "./block-view.ts";
import type { BlockMeta, Shelf } from "./index-store.ts";
import { hitOf, matches } from "./read-hit.ts";
import { readLeaf } from "./record-terms.ts";
import type { Indexed, SearchIndex } from "./search-index.ts";
import { comparePositions, type Hit, type Page, type Position, type Search } from "./search-question.ts";

/** A page is answered after so long with what there is, as soon as it got anywhere. */
export const searchMsMax = 2_000;
/** Where records of one moment lie in very many blocks it goes on to here, and then gives up. */
const searchMsEnd = 15_000;
/** Others of the thread get their turn after so long. */
const turnMs = 8;

export class SearchTooWide extends Error {
  readonly code = "search-too-wide";
  constructor() {
    super("the search did not get anywhere within its bound: name a shorter time or one more filter");
    this.name = "SearchTooWide";
  }
}

/** The index could not be read: this shelf and what came after it have to be made again, unless that was done meanwhile. */
export class IndexUnreadable extends Error {
  readonly code = "index-damaged";
  readonly shelf: number;
  /** Restarts of the index when the reading began. */
  readonly restarts: number;
  constructor(at: { readonly shelf: number; readonly restarts: number }, cause: unknown) {
    super("the search index was damaged", { cause });
    this.name = "IndexUnreadable";
    this.shelf = at.shelf;
    this.restarts = at.restarts;
  }
}

export interface SearchPorts {
  readonly monotonic: () => number;
  /** Resolves when others had their turn. */
  readonly turn: () => Promise<void>;
}

interface Candidate extends Position {
  readonly view: BlockView | null;
  readonly place: number;
}

/** What is still to be looked at: shelves that were not opened, and blocks of those that were. */
interface Frontier {
  readonly shelves: Shelf[];
  readonly blocks: { readonly shelf: Shelf; readonly meta: BlockMeta }[];
}

/** Throws SearchTooWide, or IndexUnreadable naming the shelf; what the store itself throws where it cannot be reached. */
export async function runSearch(index: SearchIndex, search: Search, ports: SearchPorts): Promise<Page> {
  const run = new Run(index, search, ports);
  try {
    return await run.page();
  } catch (error) {
    if (error instanceof SearchTooWide || isUnreachable(error)) throw error;
    throw new IndexUnreadable({ shelf: run.reading, restarts: run.restarts }, error);
  }
}

/** The store could not be asked: that says nothing about what it holds. */
export const isUnreachable = (error: unknown): boolean =>
  error instanceof StoreFault && error.code !== "store-corrupt" && error.code !== "bad-statement";

/** Candidates kept beyond what a page still needs: some may turn out not to match. */
const spareCandidates = 1_024;

class Run {
  readonly #index: SearchIndex;
  readonly #search: Search;
  readonly #ports: SearchPorts;
  readonly #hashed: readonly HashedFilter[];
  readonly #began: number;
  readonly #frontier: Frontier = { shelves: [], blocks: [] };
  readonly #hits: Hit[] = [];
  /** As it was when the search began; what waits may become a block meanwhile. */
  #waiting: readonly Indexed[] = [];
  readonly restarts: number;
  /** Last is next: what comes first stands at the end. */
  #candidates: Candidate[] = [];
  /** The first candidate that was let go because a page has no room for it. */
  #dropped: Position | null = null;
  #last: Position | null = null;
  #turned: number;
  /** The shelf that is being read, so that damage can be laid at its door. */
  #reading = 0;

  constructor(index: SearchIndex, search: Search, ports: SearchPorts) {
    this.#index = index;
    this.#search = search;
    this.#ports = ports;
    this.#hashed = hashFilters(search.filters, index.hashes);
    this.#began = ports.monotonic();
    this.#turned = this.#began;
    this.restarts = index.restarts;
  }

  get reading(): number {
    return this.#reading;
  }

  async page(): Promise<Page> {
    const search = this.#search;
    await this.#index.refresh();
    const { waiting, inBlocks } = this.#index;
    this.#waiting = waiting;
    const shelves = await this.#index.store.shelves(inBlocks);
    this.#frontier.shelves.push(...[...shelves].sort((a, b) => a.maxAt - b.maxAt));
    this.#addWaiting();
    for (;;) {
      const reached = this.#reached();
      if (await this.#emit(reached)) return this.#full();
      if (reached < search.from) return { hits: this.#hits, next: null, searchedTo: search.from, bounded: false };
      if (this.#isOver(reached)) return this.#bounded(reached);
      await this.#advance();
      if (this.#ports.monotonic() - this.#turned >= turnMs) {
        await this.#ports.turn();
        if (this.#index.restarts !== this.restarts) throw new Error("given up meanwhile");
        this.#turned = this.#ports.monotonic();
      }
    }
  }

  /** Everything newer than this was looked at; -Infinity: all was. */
  #reached(): number {
    const shelf = this.#frontier.shelves.at(-1);
    const block = this.#frontier.blocks.at(-1);
    return Math.max(shelf?.maxAt ?? Number.NEGATIVE_INFINITY, block?.meta.maxAt ?? Number.NEGATIVE_INFINITY);
  }

  /** Looks at the block, or at the shelf, that may hold the newest. */
  async #advance(): Promise<void> {
    const shelf = this.#frontier.shelves.at(-1);
    const block = this.#frontier.blocks.at(-1);
    if (shelf !== undefined && (block === undefined || shelf.maxAt >= block.meta.maxAt)) {
      this.#frontier.shelves.pop();
      if (this.#isWanted(shelf)) await this.#addBlocks(shelf);
      return;
    }
    this.#frontier.blocks.pop();
    if (block !== undefined) await this.#addBlock(block.shelf, block.meta);
  }

  #isWanted({ minAt, maxAt }: { readonly minAt: number; readonly maxAt: number }): boolean {
    const { from, to, after } = this.#search;
    return maxAt >= from && minAt < to && (after === null || minAt <= after.at);
  }

  /** The blocks of a shelf that may match, put in their place among the others. */
  async #addBlocks(shelf: Shelf): Promise<void> {
    this.#reading = shelf.number;
    let wanted = (await shelf.blocks()).filter((meta) => this.#isWanted(meta));
    for (const { isId, hashes } of this.#hashed) {
      if (isId || wanted.length === 0) continue;
      const blocks = await shelf.blocksOf(hashes);
      wanted = wanted.filter(({ n }) => blocks.has(n));
    }
    this.#frontier.blocks.push(...wanted.map((meta) => ({ shelf, meta })));
    this.#frontier.blocks.sort((a, b) => a.meta.maxAt - b.meta.maxAt);
  }

  async #addBlock(shelf: Shelf, meta: BlockMeta): Promise<void> {
    this.#reading = shelf.number;
    const view = await BlockView.open(shelf, meta);
    const fresh: Candidate[] = [];
    for (const place of await view.matching(this.#hashed)) {
      const at = view.places.at[place] ?? 0;
      if (!this.#isInTime(at)) continue;
      const { origin, index } = view.places.place(place);
      this.#keep(fresh, { at, origin: this.#index.placeOf(origin).origin, index, view, place });
    }
    this.#merge(fresh);
  }

  #addWaiting(): void {
    const fresh: Candidate[] = [];
    for (const [place, { row, read }] of this.#waiting.entries()) {
      if (!this.#isInTime(row.at) || !matches(read, this.#index.placeOf(row.origin), this.#search.filters)) continue;
      const { origin } = this.#index.placeOf(row.origin);
      this.#keep(fresh, { at: row.at, origin, index: row.index, view: null, place });
    }
    this.#merge(fresh);
  }

  #isInTime(at: number): boolean {
    const { from, to, after } = this.#search;
    return at >= from && at < to && (after === null || at <= after.at);
  }

  #keep(fresh: Candidate[], candidate: Candidate): void {
    const { after } = this.#search;
    if (after === null || comparePositions(after, candidate) < 0) fresh.push(candidate);
  }

  #merge(fresh: readonly Candidate[]): void {
    if (fresh.length === 0) return;
    const all = [...this.#candidates, ...fresh].sort((a, b) => comparePositions(b, a));
    const room = this.#search.limit - this.#hits.length + spareCandidates;
    const cut = Math.max(0, all.length - room);
    const dropped = all[cut - 1];
    if (dropped !== undefined && (this.#dropped === null || comparePositions(dropped, this.#dropped) < 0))
      this.#dropped = dropped;
    this.#candidates = all.slice(cut);
  }

  /** Takes over what no block still to be read can come before; true: the page is full. */
  async #emit(reached: number): Promise<boolean> {
    for (let next = this.#candidates.at(-1); next !== undefined; next = this.#candidates.at(-1)) {
      if (this.#hits.length >= this.#search.limit || this.#isBehindDropped(next)) return true;
      if (next.at <= reached) return false;
      this.#candidates.pop();
      this.#last = next;
      const hit = await this.#judge(next);
      if (hit !== null) this.#hits.push(hit);
    }
    return this.#hits.length >= this.#search.limit || (this.#dropped !== null && this.#dropped.at > reached);
  }

  /** Of what was let go nothing may be jumped over: the page ends before it. */
  #isBehindDropped(next: Position): boolean {
    return this.#dropped !== null && comparePositions(this.#dropped, next) < 0;
  }

  async #judge({ view, place, at, index, origin }: Candidate): Promise<Hit | null> {
    if (view === null) return this.#waitingHit(this.#waiting[place], { at, index, origin });
    this.#reading = view.shelf;
    const { origin: number } = view.places.place(place);
    const stored = await view.leafAt(place);
    const read = { leaf: readLeaf(stored.leaf), intent: stored.intent === null ? null : readLeaf(stored.intent) };
    const where = this.#index.placeOf(number);
    return matches(read, where, this.#search.filters) ? hitOf({ ...stored, place: where, index, at }, read) : null;
  }

  #waitingHit(waiting: Indexed | undefined, { at, index }: Position): Hit | null {
    if (waiting === undefined) return null;
    const { row, read } = waiting;
    return hitOf({ ...row, place: this.#index.placeOf(row.origin), index, at }, read);
  }

  #isOver(reached: number): boolean {
    const spent = this.#ports.monotonic() - this.#began;
    const { after, to } = this.#search;
    if (spent > searchMsEnd) throw new SearchTooWide();
    return spent > searchMsMax && reached < (after?.at ?? to);
  }

  #full(): Page {
    const { at, origin, index } = this.#last ?? { at: this.#search.to, origin: "", index: 0 };
    return { hits: this.#hits, next: { at, origin, index }, searchedTo: at, bounded: false };
  }

  #bounded(reached: number): Page {
    // Before every position of that moment: no origin is named by an empty text.
    const next = { at: reached, origin: "", index: 0 };
    return { hits: this.#hits, next, searchedTo: reached, bounded: true };
  }
}
