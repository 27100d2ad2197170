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
import type { BlockMeta, IndexFile } from "./index-file.ts";
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

/** How to come by the file of a block: it may have been closed since. */
export interface BlockFile {
  readonly number: number;
  file(): IndexFile;
}

export class BlockView {
  readonly number: number;
  readonly #file: () => IndexFile;
  readonly meta: BlockMeta;
  readonly places: BlockPlaces;
  #group: { readonly n: number; readonly leaves: readonly StoredLeaf[] } | null = null;

  constructor({ number, file }: BlockFile, meta: BlockMeta) {
    this.number = number;
    this.#file = file;
    this.meta = meta;
    this.places = readPlaces(file().part(meta.n, "places"));
  }

  /** Places in the block that have the terms, ascending. */
  matching(filters: readonly HashedFilter[]): readonly number[] {
    const ids = filters.filter(({ isId }) => isId);
    if (!this.#mayHaveIds(ids)) return [];
    const places = this.#withTerms(filters.filter(({ isId }) => !isId));
    if (ids.length === 0) return places;
    return places.filter((place) => {
      const leaf = asBuffer(this.leafAt(place).leaf);
      return ids.every(({ values }) => values.some((value) => leaf.includes(value, 0, "latin1")));
    });
  }

  #mayHaveIds(ids: readonly HashedFilter[]): boolean {
    if (ids.length === 0) return true;
    const part = this.#file().part(this.meta.n, "ids");
    return ids.every(({ hashes }) => hashes.some((hash) => mayHaveId(part, hash)));
  }

  #withTerms(wanted: readonly HashedFilter[]): readonly number[] {
    const { count } = this.meta;
    if (wanted.length === 0) return Array.from({ length: count }, (_, n) => n);
    const terms = readTerms(this.#file().part(this.meta.n, "terms"), count);
    let bits: Uint16Array | null = null;
    for (const { hashes } of wanted) {
      const any = anyOf(terms, hashes);
      if (any === null) return [];
      bits = bits === null ? any : bits.map((word, n) => word & (any[n] ?? 0));
    }
    return placesOf(bits ?? new Uint16Array(0));
  }

  /** The record at a place; places close to each other cost one reading. */
  leafAt(place: number): StoredLeaf {
    const n = Math.floor(place / groupRecords);
    if (this.#group?.n !== n) this.#group = { n, leaves: readGroup(this.#file().group(this.meta.n, n)) };
    const stored = this.#group.leaves[place % groupRecords];
    if (stored === undefined)
      throw new BlockDamaged(`block ${this.meta.n} of file ${this.number} lacks record ${place}`);
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
