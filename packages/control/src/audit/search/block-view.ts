// Promises which records of one block have the terms of a search, newest first, and each of them as it was stored. Trusts block.ts for checksums.
import {
  BlockDamaged,
  type BlockPlaces,
  type BlockTerms,
  groupRecords,
  mayHaveId,
  readGroup,
  readPlaces,
  readTerms,
  type StoredLeaf,
} from "./block.ts";
import type { BlockMeta, Shelf } from "./index-store.ts";
import type { Filter } from "./search-question.ts";
import { type TermHashes, termHash, termText } from "./term-hash.ts";

/** A filter as hashes. */
export interface HashedFilter {
  readonly isId: boolean;
  readonly hashes: readonly number[];
  readonly values: readonly string[];
}

export function hashFilters(filters: readonly Filter[], hashes: TermHashes): readonly HashedFilter[] {
  return filters.map(({ field, values }) => ({
    isId: field === "id",
    values,
    hashes: values.map((value) => (field === "id" ? termHash(termText(field, value)) : hashes.of(field, value))),
  }));
}

export class BlockView {
  readonly #shelf: Shelf;
  readonly meta: BlockMeta;
  readonly places: BlockPlaces;
  #group: { readonly n: number; readonly leaves: readonly StoredLeaf[] } | null = null;

  private constructor(shelf: Shelf, meta: BlockMeta, places: BlockPlaces) {
    this.#shelf = shelf;
    this.meta = meta;
    this.places = places;
  }

  static async open(shelf: Shelf, meta: BlockMeta): Promise<BlockView> {
    return new BlockView(shelf, meta, readPlaces(await shelf.part(meta.n, "places")));
  }

  /** Number of the shelf it lies on. */
  get shelf(): number {
    return this.#shelf.number;
  }

  /** Places in the block that have the terms, ascending. */
  async matching(filters: readonly HashedFilter[]): Promise<readonly number[]> {
    const ids = filters.filter(({ isId }) => isId);
    if (!(await this.#mayHaveIds(ids))) return [];
    const places = await this.#withTerms(filters.filter(({ isId }) => !isId));
    if (ids.length === 0) return places;
    const found: number[] = [];
    for (const place of places) {
      const leaf = asBuffer((await this.leafAt(place)).leaf);
      if (ids.every(({ values }) => values.some((value) => leaf.includes(value, 0, "latin1")))) found.push(place);
    }
    return found;
  }

  async #mayHaveIds(ids: readonly HashedFilter[]): Promise<boolean> {
    if (ids.length === 0) return true;
    const part = await this.#shelf.part(this.meta.n, "ids");
    return ids.every(({ hashes }) => hashes.some((hash) => mayHaveId(part, hash)));
  }

  async #withTerms(wanted: readonly HashedFilter[]): Promise<readonly number[]> {
    const { count } = this.meta;
    if (wanted.length === 0) return Array.from({ length: count }, (_, n) => n);
    const terms = readTerms(await this.#shelf.part(this.meta.n, "terms"), count);
    let bits: Uint16Array | null = null;
    for (const { hashes } of wanted) {
      const any = anyOf(terms, hashes);
      if (any === null) return [];
      bits = bits === null ? any : bits.map((word, n) => word & (any[n] ?? 0));
    }
    return placesOf(bits ?? new Uint16Array(0));
  }

  /** The record at a place; places close to each other cost one reading. */
  async leafAt(place: number): Promise<StoredLeaf> {
    const n = Math.floor(place / groupRecords);
    if (this.#group?.n !== n) this.#group = { n, leaves: readGroup(await this.#shelf.group(this.meta.n, n)) };
    const stored = this.#group.leaves[place % groupRecords];
    if (stored === undefined)
      throw new BlockDamaged(`block ${this.meta.n} of shelf ${this.shelf} lacks record ${place}`);
    return stored;
  }
}

function anyOf(terms: BlockTerms, hashes: readonly number[]): Uint16Array | null {
  let bits: Uint16Array | null = null;
  for (const hash of hashes) {
    const found = terms.find(hash);
    if (found === null) continue;
    bits = bits === null ? found : bits.map((word, n) => word | (found[n] ?? 0));
  }
  return bits;
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function placesOf(bits: Uint16Array): number[] {
  const places: number[] = [];
  for (const [n, word] of bits.entries())
    for (let bit = 0; word >> bit !== 0; bit++) if (((word >> bit) & 1) === 1) places.push(n * 16 + bit);
  return places;
}
