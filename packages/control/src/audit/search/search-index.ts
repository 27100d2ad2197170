// Promises that records given in order can be found by their terms and their time, durably together with the place behind them; twice given is once kept.
// Trusts its store no further than checksums go: what is damaged is given up and asked for again. Described in docs/audit-search.md.
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { type BlockRecord, blockRecordsMax, writeBlock } from "./block.ts";
import type { FiledOrigin, IndexStore, NewBlock, OpenIntentChange, WaitingRow } from "./index-store.ts";
import { OpenIntents } from "./open-intents.ts";
import { type OriginPlace, type ReadRecord, readLeaf, visitTerms } from "./record-terms.ts";
import { TermHashes } from "./term-hash.ts";

/** So many records together are a block; fewer wait, so that a quiet log does not make a block per second. */
const blockRecordsMin = 2_048;
/** A clock may be ahead by so much; a leaf that claims more is sorted as if it came now. */
const clockAheadMsMax = 5 * 60_000;

/** A record that is not part of a block yet. */
export interface Indexed {
  readonly row: WaitingRow;
  readonly read: ReadRecord;
}

/** One `take` that others keep coming before is given up for a while. */
const commitTriesMax = 8;

export class SearchIndex {
  readonly store: IndexStore;
  readonly #now: () => number;
  readonly hashes = new TermHashes();
  /** Null: nothing was loaded yet. */
  #version: number | null = null;
  #origins = new Map<string, FiledOrigin>();
  #places: OriginPlace[] = [];
  #waiting: Indexed[] = [];
  #intents = new OpenIntents();
  #inBlocks = 0;
  /** Its own restarts, beside those of the store. */
  #restarts = 0;
  /** What changes what was loaded is done one after the other. */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(store: IndexStore, now: () => number) {
    this.store = store;
    this.#now = now;
  }

  static async open(store: IndexStore, now: () => number): Promise<SearchIndex> {
    const index = SearchIndex.later(store, now);
    await index.#load();
    return index;
  }

  /** Loads when it is first used, and tries again where that failed. */
  static later(store: IndexStore, now: () => number): SearchIndex {
    return new SearchIndex(store, now);
  }

  async #load(): Promise<void> {
    const { version, origins, waiting, intents, inBlocks } = await this.store.load();
    this.#version = version;
    this.#origins = new Map(origins.map((origin) => [origin.origin, origin]));
    this.#places = [];
    // Written below from this shape.
    for (const { no, place } of origins) this.#places[no] = JSON.parse(place) as OriginPlace;
    this.#intents = new OpenIntents(intents);
    this.#inBlocks = inBlocks;
    this.#waiting = waiting.map((row) => ({
      row,
      read: { leaf: readLeaf(row.leaf), intent: row.intent === null ? null : readLeaf(row.intent) },
    }));
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  /** Takes up what others wrote since. */
  refresh(): Promise<void> {
    return this.#alone(async () => {
      if (this.#version === null || (await this.store.changedSince(this.#version))) await this.#load();
    });
  }

  /** Grows when records were given up and have to come again. */
  get restarts(): number {
    return this.store.restarts + this.#restarts;
  }

  origins(): readonly FiledOrigin[] {
    return [...this.#origins.values()];
  }

  /** Per origin, the index of the first record that was not taken. */
  places(): ReadonlyMap<string, number> {
    return new Map([...this.#origins].map(([origin, { next }]) => [origin, next]));
  }

  get waiting(): readonly Indexed[] {
    return this.#waiting;
  }

  /** Records ever taken, in the order they came, that are in blocks: the number of the first that waits. */
  get inBlocks(): number {
    return this.#inBlocks;
  }

  /** Where the origin of this number stands. */
  placeOf(origin: number): OriginPlace {
    const place = this.#places[origin];
    if (place === undefined) throw new Error(`the index knows no origin ${origin}`);
    return place;
  }

  /** `leaves` are those of the records, where somebody parsed them already. */
  take(
    origin: HeldOrigin,
    records: readonly FoundRecord[],
    leaves: readonly (Leaf | null)[] = records.map(({ leaf }) => readLeaf(leaf)),
  ): Promise<void> {
    return this.#alone(async () => {
      for (let tries = 0; tries < commitTriesMax; tries++) {
        if (await this.#take(origin, records, leaves)) return;
        await this.#load();
      }
      throw new Error("other control nodes kept writing the index first");
    });
  }

  /** False: somebody else wrote since this was loaded. */
  async #take(origin: HeldOrigin, records: readonly FoundRecord[], leaves: readonly (Leaf | null)[]): Promise<boolean> {
    const version = this.#version;
    if (version === null) return false;
    const filed = this.#filed(origin);
    // They follow one another: what was taken already stands first.
    const known = Math.max(0, Math.min(records.length, filed.next - (records[0]?.index ?? 0)));
    const first = records[known];
    const last = records.at(-1);
    if (first === undefined || last === undefined) return true;
    if (first.index !== filed.next) {
      if (await this.store.changedSince(version)) return false;
      this.#restarts += 1;
      this.#version = null;
      throw new Error(`the index is at record ${filed.next} of ${origin.origin}, not at ${first.index}`);
    }
    try {
      const change = this.#intents.begin();
      const now = this.#now();
      const indexed: Indexed[] = [];
      for (let n = known; n < records.length; n++) {
        const record = records[n];
        if (record !== undefined) indexed.push(this.#index(record, leaves[n] ?? null, { filed, now }));
      }
      return await this.#commit(version, { ...filed, next: last.index + 1 }, { indexed, intents: change.end() });
    } catch (error) {
      // Nothing was committed, or nobody knows: what memory says must be what the store says, as soon as it can be asked.
      this.#version = null;
      throw error;
    }
  }

  #filed(origin: HeldOrigin): FiledOrigin {
    const known = this.#origins.get(origin.origin);
    if (known !== undefined) return known;
    const { tenant, environment, node, role } = origin;
    const place: OriginPlace = { origin: origin.origin, tenant, environment, node, role };
    const fresh = { no: this.#places.length, origin: origin.origin, place: JSON.stringify(place), next: 0 };
    this.#places.push(place);
    this.#origins.set(origin.origin, fresh);
    return fresh;
  }

  #index(
    { index, leaf: bytes }: FoundRecord,
    leaf: Leaf | null,
    { filed: { no: origin }, now }: { readonly filed: FiledOrigin; readonly now: number },
  ): Indexed {
    const intent = leaf === null ? null : this.#intents.follow(this.placeOf(origin).node, leaf, bytes);
    const at = leaf === null || leaf.at > now + clockAheadMsMax ? now : leaf.at;
    return {
      row: { origin, index, at, leaf: bytes, intent: intent?.bytes ?? null },
      read: { leaf, intent: intent?.leaf ?? null },
    };
  }

  async #commit(
    version: number,
    origin: FiledOrigin,
    { indexed, intents }: { readonly indexed: readonly Indexed[]; readonly intents: OpenIntentChange },
  ): Promise<boolean> {
    const all = [...this.#waiting, ...indexed];
    const isBlock = all.length >= blockRecordsMin;
    const written = await this.store.commit(version, {
      ...{ origin, intents },
      block: isBlock ? this.#blockOf(all) : null,
      waiting: isBlock ? [] : indexed.map(({ row }) => row),
    });
    if (!written) return false;
    this.#version = version + 1;
    this.#waiting = isBlock ? [] : all;
    if (isBlock) this.#inBlocks += all.length;
    this.#origins.set(origin.origin, origin);
    return true;
  }

  #blockOf(all: readonly Indexed[]): NewBlock {
    if (all.length > blockRecordsMax) throw new Error(`a block of ${all.length} records`);
    const { hashes, ...parts } = writeBlock(all.map((one) => this.#blockRecord(one)));
    return {
      ...{ count: all.length, parts, hashes },
      minAt: all.reduce((least, { row }) => Math.min(least, row.at), Number.POSITIVE_INFINITY),
      maxAt: all.reduce((most, { row }) => Math.max(most, row.at), 0),
    };
  }

  #blockRecord({ row, read }: Indexed): BlockRecord {
    const terms: number[] = [];
    let id: number | null = null;
    visitTerms(read, this.placeOf(row.origin), (field, value) => {
      const hash = this.hashes.of(field, value);
      if (field === "id") id = hash;
      else terms.push(hash);
    });
    return { ...row, terms, id };
  }

  /** Forgets everything; it is asked for again. */
  rebuild(): Promise<void> {
    return this.giveUp(0);
  }

  /** A shelf was found damaged: it and what came after it are asked for again. */
  giveUp(shelf: number): Promise<void> {
    return this.#alone(async () => {
      await this.store.giveUp(shelf);
      await this.#load();
    });
  }

  close(): Promise<void> {
    return this.store.close();
  }
}
