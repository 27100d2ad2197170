// Promises to find a leaf's place in one segment by position or by event id, with 16 bytes of memory per leaf of the growing segment, which the
// next one uses again, and none for others. Trusts the segment it was made from; a hit is believed only once the leaf itself carries the id.
// Specified in docs/formats/leaf.md "On disk".
import { crc32c } from "./crc32c.ts";
import type { DiskFile } from "./disk.ts";

const magic = Buffer.from("sallyport-idx/v1\n", "latin1");
const headerBytes = 33;
const idBytes = 12;
/** 32 bits of a hash and 21 of a place fit in the 53 of an exact number. */
const sortedAsNumbersMax = 2_097_152;
/** A piece of an index holds 4,096 numbers. */
const pieceBits = 12;
const pieceMask = 2 ** pieceBits - 1;

/** Two 32-bit FNV-1a halves of an event id. */
export function idHash(id: string): readonly [number, number] {
  let high = 0x811c9dc5;
  let low = 0x9747b28c;
  for (let i = 0; i < id.length; i++) {
    const c = id.charCodeAt(i);
    high = Math.imul(high ^ c, 0x01000193);
    low = Math.imul(low ^ c, 0x01000193);
  }
  return [high >>> 0, low >>> 0];
}

/** What both the growing and the finished index answer. `relative` counts from the segment's first leaf. */
export interface SegmentIndex {
  readonly count: number;
  offsetOf(relative: number): number;
  /** Relative places of leaves whose id has this hash, ascending. */
  candidates(id: string): number[];
}

/**
 * Numbers in a row of pieces. It grows by a piece, without a copy and without garbage, and keeps its pieces when it is emptied: the segments of a
 * log are about as long as each other, and arrays that double leave twice their size behind for each of them.
 */
class Numbers {
  readonly #pieces: Uint32Array[] = [];
  length = 0;

  push(value: number): void {
    const at = this.length & pieceMask;
    if (at === 0 && this.#pieces.length === this.length >>> pieceBits)
      this.#pieces.push(new Uint32Array(pieceMask + 1));
    const piece = this.#pieces[this.length >>> pieceBits];
    if (piece !== undefined) piece[at] = value;
    this.length += 1;
  }

  clear(): void {
    this.length = 0;
  }

  /** 0 beyond the end. */
  at(i: number): number {
    return i < this.length ? (this.#pieces[i >>> pieceBits]?.[i & pieceMask] ?? 0) : 0;
  }
}

/** The index of the segment that is being written. */
export class GrowingIndex implements SegmentIndex {
  readonly #offsets = new Numbers();
  /** Of the ids, which not every leaf has: both halves of the hash, and the leaf. */
  readonly #high = new Numbers();
  readonly #low = new Numbers();
  readonly #leaf = new Numbers();

  get count(): number {
    return this.#offsets.length;
  }

  add(offset: number, id: string | null): void {
    if (id === null) this.#offsets.push(offset);
    else this.addHashed(offset, ...idHash(id));
  }

  /** `add` where the two halves of the id's hash are known. */
  addHashed(offset: number, high: number, low: number): void {
    this.#high.push(high);
    this.#low.push(low);
    this.#leaf.push(this.count);
    this.#offsets.push(offset);
  }

  /** Forgets everything but the memory, for the next segment. */
  clear(): void {
    for (const numbers of [this.#offsets, this.#high, this.#low, this.#leaf]) numbers.clear();
  }

  offsetOf(relative: number): number {
    return this.#offsets.at(relative);
  }

  candidates(id: string): number[] {
    const [high, low] = idHash(id);
    const found: number[] = [];
    for (let i = 0; i < this.#leaf.length; i++)
      if (this.#high.at(i) === high && this.#low.at(i) === low) found.push(this.#leaf.at(i));
    return found;
  }

  /** The bytes of the `.idx` file. */
  print(first: number): Buffer {
    const ids = this.#leaf.length;
    const bytes = Buffer.alloc(headerBytes + this.count * 4 + ids * idBytes + 4);
    magic.copy(bytes);
    bytes.writeBigUInt64BE(BigInt(first), 17);
    bytes.writeUInt32BE(this.count, 25);
    bytes.writeUInt32BE(ids, 29);
    let to = headerBytes;
    for (let i = 0; i < this.count; i++) to = bytes.writeUInt32BE(this.offsetOf(i), to);
    for (const place of this.#order()) {
      to = bytes.writeUInt32BE(this.#high.at(place), to);
      to = bytes.writeUInt32BE(this.#low.at(place), to);
      to = bytes.writeUInt32BE(this.#leaf.at(place), to);
    }
    bytes.writeUInt32BE(crc32c(bytes, 0, to), to);
    return bytes;
  }

  /** Places of the ids, ascending by hash and then by leaf. They were added in the order of the leaves. */
  #order(): Uint32Array {
    const order = new Uint32Array(this.#leaf.length);
    const compare = (a: number, b: number) =>
      this.#high.at(a) - this.#high.at(b) || this.#low.at(a) - this.#low.at(b) || a - b;
    if (order.length > sortedAsNumbersMax) return order.map((_, place) => place).sort(compare);
    // Half of the hash and the place as one number: the engine sorts those without calling back, ten times as fast.
    const keys = Float64Array.from(order, (_, place) => this.#high.at(place) * sortedAsNumbersMax + place).sort();
    for (let i = 0; i < keys.length; i++) order[i] = (keys[i] ?? 0) % sortedAsNumbersMax;
    this.#sortEqualHalves(order, compare);
    return order;
  }

  #sortEqualHalves(order: Uint32Array, compare: (a: number, b: number) => number): void {
    for (let from = 0; from < order.length; ) {
      const high = this.#high.at(order[from] ?? 0);
      let to = from + 1;
      while (to < order.length && this.#high.at(order[to] ?? 0) === high) to++;
      if (to - from > 1) order.subarray(from, to).sort(compare);
      from = to;
    }
  }
}

/**
 * A finished `.idx` file, searched in place by bisection; null when it is not one for a segment that begins at `first`, or when its checksum does not
 * hold: what a torn one misses would look like what is not there. `isSound`: the checksum was seen to hold before.
 */
export function openIndex(
  file: DiskFile,
  first: number,
  { isSound }: { readonly isSound: boolean },
): SegmentIndex | null {
  const header = file.read(0, headerBytes);
  if (header.length < headerBytes || !header.subarray(0, 17).equals(magic)) return null;
  const count = header.readUInt32BE(25);
  const ids = header.readUInt32BE(29);
  if (Number(header.readBigUInt64BE(17)) !== first || file.size() !== headerBytes + count * 4 + ids * idBytes + 4)
    return null;
  if (!isSound && !isWhole(file)) return null;
  const idsAt = headerBytes + count * 4;
  const triple = (i: number): [number, number, number] => {
    const bytes = file.read(idsAt + i * idBytes, idBytes);
    return [bytes.readUInt32BE(0), bytes.readUInt32BE(4), bytes.readUInt32BE(8)];
  };
  return {
    count,
    offsetOf: (relative) => file.read(headerBytes + relative * 4, 4).readUInt32BE(0),
    candidates: (id) => {
      const [high, low] = idHash(id);
      let from = 0;
      for (let to = ids; from < to; ) {
        const middle = (from + to) >>> 1;
        const [h, l] = triple(middle);
        if (h < high || (h === high && l < low)) from = middle + 1;
        else to = middle;
      }
      const found: number[] = [];
      for (let i = from; i < ids; i++) {
        const [h, l, relative] = triple(i);
        if (h !== high || l !== low) break;
        found.push(relative);
      }
      return found;
    },
  };
}

function isWhole(file: DiskFile): boolean {
  const bytes = file.read(0, file.size());
  return bytes.readUInt32BE(bytes.length - 4) === crc32c(bytes, 0, bytes.length - 4);
}
