// Promises that records given in order can be found by their terms and their time, durably together with the place behind them; twice given is once kept.
// Trusts its directory no further than checksums go: what is damaged is given up and asked for again. Described in docs/audit-search.md.
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { type BlockRecord, blockRecordsMax, writeBlock } from "./block.ts";
import type { FiledOrigin, OpenIntentChange, WaitingRow } from "./index-file.ts";
import { IndexFiles } from "./index-files.ts";
import { OpenIntents } from "./open-intents.ts";
import { type OriginPlace, type ReadRecord, readLeaf, visitTerms } from "./record-terms.ts";
import { TermHashes } from "./term-hash.ts";

/** So many records together are a block; fewer wait, so that a quiet log does not make a block per second. */
const blockRecordsMin = 2_048;
/** A clock may be ahead by so much; a leaf that claims more is sorted as if it came now. */
const clockAheadMsMax = 5 * 60_000;

export interface SearchIndexOptions {
  readonly directory: string;
  /** Names this installation: files of another one are not taken for its own. */
  readonly owner: string;
  readonly now: () => number;
  /** All sealed files together; older ones are removed. */
  readonly bytesMax: number;
  /** Files whose newest record is older are removed. */
  readonly keepMs: number;
}

/** A record that is not part of a block yet. */
export interface Indexed {
  readonly row: WaitingRow;
  readonly read: ReadRecord;
}

export class SearchIndex {
  readonly #options: SearchIndexOptions;
  readonly files: IndexFiles;
  readonly hashes = new TermHashes();
  #origins = new Map<string, FiledOrigin>();
  #places: OriginPlace[] = [];
  #waiting: Indexed[] = [];
  #intents = new OpenIntents();

  constructor(options: SearchIndexOptions) {
    this.#options = options;
    this.files = new IndexFiles(options.directory, options.owner);
    this.#load();
  }

  #load(): void {
    const { current } = this.files;
    const filed = current.origins();
    this.#origins = new Map(filed.map((origin) => [origin.origin, origin]));
    this.#places = [];
    // Written below from this shape.
    for (const { no, place } of filed) this.#places[no] = JSON.parse(place) as OriginPlace;
    this.#intents = new OpenIntents(current.openIntents());
    this.#waiting = current.waiting().map((row) => ({
      row,
      read: { leaf: readLeaf(row.leaf), intent: row.intent === null ? null : readLeaf(row.intent) },
    }));
  }

  /** Per origin, the index of the first record that was not taken. */
  places(): ReadonlyMap<string, number> {
    return new Map([...this.#origins].map(([origin, { next }]) => [origin, next]));
  }

  get waiting(): readonly Indexed[] {
    return this.#waiting;
  }

  /** Records ever taken: the number of the next one, in the order they came. */
  get taken(): number {
    const { head, blocks } = this.files.current;
    return head.before + blocks.reduce((sum, { count }) => sum + count, 0) + this.#waiting.length;
  }

  /** Where the origin of this number stands. */
  placeOf(origin: number): OriginPlace {
    const place = this.#places[origin];
    if (place === undefined) throw new Error(`the index knows no origin ${origin}`);
    return place;
  }

  take(origin: HeldOrigin, records: readonly FoundRecord[]): void {
    const filed = this.#filed(origin);
    const fresh = records.filter(({ index }) => index >= filed.next);
    const [first] = fresh;
    const last = fresh.at(-1);
    if (first === undefined || last === undefined) return;
    if (first.index !== filed.next)
      throw new Error(`the index is at record ${filed.next} of ${origin.origin}, not at ${first.index}`);
    try {
      const change = this.#intents.begin();
      const indexed = fresh.map((record) => this.#index(record, filed.no));
      this.#commit({ ...filed, next: last.index + 1 }, indexed, change.end());
    } catch (error) {
      // Nothing was committed: what memory says must be what the file says.
      this.#load();
      throw error;
    }
    if (this.files.current.isFull()) this.files.turn();
    this.files.trim(this.#options.bytesMax, this.#options.now() - this.#options.keepMs);
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

  #index({ index, leaf: bytes }: FoundRecord, origin: number): Indexed {
    const leaf = readLeaf(bytes);
    const { node } = this.placeOf(origin);
    const intent = leaf === null ? null : this.#intents.follow(node, leaf, bytes);
    const now = this.#options.now();
    const at = leaf === null || leaf.at > now + clockAheadMsMax ? now : leaf.at;
    return {
      row: { origin, index, at, leaf: bytes, intent: intent?.bytes ?? null },
      read: { leaf, intent: intent?.leaf ?? null },
    };
  }

  #commit(origin: FiledOrigin, indexed: readonly Indexed[], intents: OpenIntentChange): void {
    const all = [...this.#waiting, ...indexed];
    const { current } = this.files;
    if (all.length < blockRecordsMin) {
      current.commit({ origin, block: null, waiting: indexed.map(({ row }) => row), intents });
      this.#waiting = all;
    } else {
      this.#commitBlock(origin, all, intents);
      this.#waiting = [];
    }
    this.#origins.set(origin.origin, origin);
  }

  #commitBlock(origin: FiledOrigin, all: readonly Indexed[], intents: OpenIntentChange): void {
    if (all.length > blockRecordsMax) throw new Error(`a block of ${all.length} records`);
    const { current } = this.files;
    const { hashes, ...parts } = writeBlock(all.map((one) => this.#blockRecord(one)));
    const last = current.blocks.at(-1);
    const meta = {
      n: current.blocks.length,
      before: last === undefined ? 0 : last.before + last.count,
      count: all.length,
      minAt: all.reduce((least, { row }) => Math.min(least, row.at), Number.POSITIVE_INFINITY),
      maxAt: all.reduce((most, { row }) => Math.max(most, row.at), 0),
    };
    current.commit({ origin, block: { meta, parts, hashes }, waiting: [], intents });
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
  rebuild(): void {
    this.giveUp(0);
  }

  /** A file was found damaged: it and what came after it are asked for again. */
  giveUp(number: number): void {
    this.files.giveUp(number);
    this.#load();
  }

  close(): void {
    this.files.close();
  }
}
