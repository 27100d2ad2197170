// Promises up to 4,096 records in three parts that are read apart: where and when, which record has which term, and the leaves themselves in groups.
// Trusts a checksum before every part, and nothing read without it. The layout is described in docs/audit-search.md "How it is kept".
import { crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";

export const blockRecordsMax = 4_096;
/** Leaves compressed together: one hit costs the reading of one group. */
export const groupRecords = 256;
/** A part that claims to be longer is damaged: 4,096 records of 30 terms of their own stay below. */
const partBytesMax = 64 * 1024 * 1024;
const bloomBits = 32_768;
const bloomProbes = 5;

/** A part whose checksum does not fit, or which cannot be what it says. */
export class BlockDamaged extends Error {
  readonly code = "index-damaged";
  constructor(why: string) {
    super(`the search index is damaged: ${why}`);
    this.name = "BlockDamaged";
  }
}

/** Records that follow one another in one origin. */
export interface Run {
  readonly origin: number;
  readonly first: number;
  readonly count: number;
}

export interface BlockRecord {
  /** Number of its origin in the file. */
  readonly origin: number;
  readonly index: number;
  /** Milliseconds since the epoch it is sorted by. */
  readonly at: number;
  readonly leaf: Uint8Array;
  readonly intent: Uint8Array | null;
  /** Hashes of its terms, without its id. */
  readonly terms: readonly number[];
  /** Hash of its id; null: it has none. */
  readonly id: number | null;
}

export interface BlockParts {
  readonly places: Uint8Array;
  readonly terms: Uint8Array;
  readonly ids: Uint8Array;
  readonly groups: readonly Uint8Array[];
}

export function writeBlock(records: readonly BlockRecord[]): BlockParts & { readonly hashes: Float64Array } {
  const terms = postingsOf(records);
  const groups: Uint8Array[] = [];
  for (let at = 0; at < records.length; at += groupRecords)
    groups.push(writeGroup(records.slice(at, at + groupRecords)));
  return { places: writePlaces(records), ...writeTerms(terms, records.length), ids: writeIds(records), groups };
}

function pack(bytes: Uint8Array): Uint8Array {
  const packed = zstdCompressSync(bytes);
  const out = Buffer.allocUnsafe(packed.length + 8);
  out.writeUInt32BE(crc32(packed), 0);
  out.writeUInt32BE(bytes.length, 4);
  out.set(packed, 8);
  return out;
}

function unpack(part: Uint8Array): Buffer {
  const bytes = Buffer.from(part.buffer, part.byteOffset, part.byteLength);
  if (bytes.length < 8 || crc32(bytes.subarray(8)) !== bytes.readUInt32BE(0))
    throw new BlockDamaged("a checksum does not fit");
  const length = bytes.readUInt32BE(4);
  if (length > partBytesMax) throw new BlockDamaged("a part is longer than any can be");
  const whole = inflated(bytes.subarray(8), length);
  // The checksum is of the packed bytes alone.
  if (whole.length !== length) throw new BlockDamaged("a part has another length than it says");
  return whole;
}

function inflated(packed: Uint8Array, length: number): Buffer {
  try {
    return zstdDecompressSync(packed, { maxOutputLength: Math.max(1, length) });
  } catch {
    throw new BlockDamaged("a part cannot be unpacked");
  }
}

/** u32 records, u32 runs, runs as f64 (origin, first, count), then f64 times: everything little-endian, so that columns are read in place. */
function writePlaces(records: readonly BlockRecord[]): Uint8Array {
  const runs: Run[] = [];
  for (const { origin, index } of records) {
    const last = runs.at(-1);
    if (last !== undefined && last.origin === origin && last.first + last.count === index)
      runs[runs.length - 1] = { ...last, count: last.count + 1 };
    else runs.push({ origin, first: index, count: 1 });
  }
  const columns = new Float64Array(2 + runs.length * 3 + records.length);
  columns.set([records.length, runs.length]);
  for (const [n, { origin, first, count }] of runs.entries()) columns.set([origin, first, count], 2 + n * 3);
  for (const [n, { at }] of records.entries()) columns[2 + runs.length * 3 + n] = at;
  return pack(new Uint8Array(columns.buffer));
}

export interface BlockPlaces {
  readonly count: number;
  readonly at: Float64Array;
  /** In the order the records came. */
  readonly runs: readonly Run[];
  place(n: number): { readonly origin: number; readonly index: number };
}

export function readPlaces(part: Uint8Array): BlockPlaces {
  const columns = floats(unpack(part));
  const count = columns[0] ?? 0;
  const runs = columns[1] ?? 0;
  if (columns.length !== 2 + runs * 3 + count) throw new BlockDamaged("the places have another length");
  const at = columns.subarray(2 + runs * 3);
  const list = Array.from({ length: runs }, (_, run) => ({
    origin: columns[2 + run * 3] ?? 0,
    first: columns[3 + run * 3] ?? 0,
    count: columns[4 + run * 3] ?? 0,
  }));
  return {
    ...{ count, at, runs: list },
    place: (n) => {
      let before = 0;
      for (const run of list) {
        if (n < before + run.count) return { origin: run.origin, index: run.first + n - before };
        before += run.count;
      }
      throw new BlockDamaged("a record has no place");
    },
  };
}

function floats(bytes: Buffer): Float64Array {
  if (bytes.length % 8 !== 0) throw new BlockDamaged("a column has a broken end");
  const { buffer, byteOffset, length } = aligned(bytes);
  return new Float64Array(buffer, byteOffset, length / 8);
}

/** A column must lie at a multiple of its width: copied where it does not. */
const aligned = (bytes: Buffer): Uint8Array => (bytes.byteOffset % 8 === 0 ? bytes : Uint8Array.from(bytes));

function postingsOf(records: readonly BlockRecord[]): ReadonlyMap<number, number[]> {
  const postings = new Map<number, number[]>();
  for (const [n, { terms }] of records.entries()) {
    for (const term of terms) {
      const list = postings.get(term);
      if (list === undefined) postings.set(term, [n]);
      // A value said twice by one record (intent and outcome) is one term of it.
      else if (list.at(-1) !== n) list.push(n);
    }
  }
  return postings;
}

/** A term that more records have than this is a bitmap: a bit per record takes no more room than the list. */
const listMaxOf = (records: number) => Math.ceil(records / 16);

/** f64 number of terms, f64 hashes ascending, f64 end of each term's postings, then postings as u16: a list of places, or a bitmap. */
function writeTerms(
  postings: ReadonlyMap<number, number[]>,
  records: number,
): { terms: Uint8Array; hashes: Float64Array } {
  const hashes = Float64Array.from(postings.keys()).sort();
  const words = listMaxOf(records);
  const lists = Array.from(hashes, (hash) => postings.get(hash) ?? []);
  const total = lists.reduce((sum, { length }) => sum + Math.min(length, words), 0);
  const head = 1 + hashes.length * 2;
  const bytes = new ArrayBuffer(head * 8 + total * 2);
  const floats64 = new Float64Array(bytes, 0, head);
  const places = new Uint16Array(bytes, head * 8);
  floats64[0] = hashes.length;
  floats64.set(hashes, 1);
  let end = 0;
  for (const [n, list] of lists.entries()) {
    if (list.length < words) places.set(list, end);
    else
      for (const place of list) places[end + (place >>> 4)] = (places[end + (place >>> 4)] ?? 0) | (1 << (place & 15));
    end += Math.min(list.length, words);
    floats64[1 + hashes.length + n] = end;
  }
  return { terms: pack(new Uint8Array(bytes)), hashes };
}

/** Which records of a block have a term, as a bit per record. */
export interface BlockTerms {
  /** Of all terms, ascending. */
  readonly hashes: Float64Array;
  /** Null: none has it. */
  find(hash: number): Uint16Array | null;
}

export function readTerms(part: Uint8Array, records: number): BlockTerms {
  const { buffer, byteOffset, length } = aligned(unpack(part));
  const count = length < 8 ? 0 : (new Float64Array(buffer, byteOffset, 1)[0] ?? 0);
  if (length < (1 + count * 2) * 8) throw new BlockDamaged("the terms have another length");
  const head = new Float64Array(buffer, byteOffset, 1 + count * 2);
  const hashes = head.subarray(1, 1 + count);
  const ends = head.subarray(1 + count);
  const placesAt = byteOffset + head.byteLength;
  const places = new Uint16Array(buffer, placesAt, (length - head.byteLength) / 2);
  const words = listMaxOf(records);
  return {
    hashes,
    find: (hash) => {
      const n = binarySearch(hashes, hash);
      if (n < 0) return null;
      const posting = places.subarray(n === 0 ? 0 : ends[n - 1], ends[n]);
      return posting.length === words ? posting : bitsOf(posting, words);
    },
  };
}

function bitsOf(list: Uint16Array, words: number): Uint16Array {
  const bits = new Uint16Array(words);
  for (const place of list) bits[place >>> 4] = (bits[place >>> 4] ?? 0) | (1 << (place & 15));
  return bits;
}

/** Where `wanted` stands in ascending numbers, or -1. */
export function binarySearch(numbers: Float64Array, wanted: number): number {
  const at = lowerBound(numbers, wanted);
  return numbers[at] === wanted ? at : -1;
}

/** The first place whose number is not below `wanted`. */
export function lowerBound(numbers: Float64Array, wanted: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((numbers[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Ids differ from record to record, so they are no terms but a filter that says "not here" of most blocks. */
function writeIds(records: readonly BlockRecord[]): Uint8Array {
  const bits = new Uint8Array(bloomBits / 8);
  for (const { id } of records)
    if (id !== null) {
      const step = bloomStep(id);
      for (let n = 0; n < bloomProbes; n++) {
        const bit = (id + n * step) % bloomBits;
        bits[bit >>> 3] = (bits[bit >>> 3] ?? 0) | (1 << (bit & 7));
      }
    }
  return pack(bits);
}

export function mayHaveId(part: Uint8Array, id: number): boolean {
  const bits = unpack(part);
  const step = bloomStep(id);
  for (let n = 0; n < bloomProbes; n++) {
    const bit = (id + n * step) % bloomBits;
    if (((bits[bit >>> 3] ?? 0) & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}

/** Between the places of one id in the filter. */
const bloomStep = (id: number): number => (Math.floor(id / bloomBits) % bloomBits) | 1;

/** u16 length of the leaf, u16 of the intent, both; one behind the other. */
function writeGroup(records: readonly BlockRecord[]): Uint8Array {
  const length = records.reduce((sum, { leaf, intent }) => sum + 4 + leaf.length + (intent?.length ?? 0), 0);
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { leaf, intent } of records) {
    at = bytes.writeUInt16BE(leaf.length, at);
    at = bytes.writeUInt16BE(intent?.length ?? 0, at);
    bytes.set(leaf, at);
    at += leaf.length;
    if (intent === null) continue;
    bytes.set(intent, at);
    at += intent.length;
  }
  return pack(bytes);
}

export interface StoredLeaf {
  readonly leaf: Uint8Array;
  readonly intent: Uint8Array | null;
}

export function readGroup(part: Uint8Array): readonly StoredLeaf[] {
  const bytes = unpack(part);
  const leaves: StoredLeaf[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 4 > bytes.length || leaves.length === groupRecords) throw new BlockDamaged("a group has a broken end");
    const leafEnd = at + 4 + bytes.readUInt16BE(at);
    const end = leafEnd + bytes.readUInt16BE(at + 2);
    if (end > bytes.length) throw new BlockDamaged("a leaf is longer than its group");
    leaves.push({
      leaf: bytes.subarray(at + 4, leafEnd),
      intent: end === leafEnd ? null : bytes.subarray(leafEnd, end),
    });
    at = end;
  }
  return leaves;
}
