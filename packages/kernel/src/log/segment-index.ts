// Promises to find a leaf's place in one segment by position or by event id, with 16 bytes of memory per leaf of the growing segment and none for others.
// Trusts the segment it was made from; a hit is believed only once the leaf itself carries the id. Specified in docs/formats/leaf.md "On disk".
import { crc32c } from "./crc32c.ts";
import type { DiskFile } from "./disk.ts";

const magic = Buffer.from("sallyport-idx/v1\n", "latin1");
const headerBytes = 33;
const idBytes = 12;
/** 32 bits of a hash and 21 of a place fit in the 53 of an exact number. */
const sortedAsNumbersMax = 2_097_152;

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

/** The index of the segment that is being written. */
export class GrowingIndex implements SegmentIndex {
  #offsets = new Uint32Array(1024);
  /** Triples: high, low, relative. */
  #ids = new Uint32Array(3 * 1024);
  #idCount = 0;
  count = 0;

  add(offset: number, id: string | null): void {
    if (id === null) this.#addOffset(offset);
    else this.addHashed(offset, ...idHash(id));
  }

  /** `add` where the two halves of the id's hash are known. */
  addHashed(offset: number, high: number, low: number): void {
    if (this.#idCount * 3 === this.#ids.length) this.#ids = grown(this.#ids);
    this.#ids[this.#idCount * 3] = high;
    this.#ids[this.#idCount * 3 + 1] = low;
    this.#ids[this.#idCount * 3 + 2] = this.count;
    this.#idCount += 1;
    this.#addOffset(offset);
  }

  #addOffset(offset: number): void {
    if (this.count === this.#offsets.length) this.#offsets = grown(this.#offsets);
    this.#offsets[this.count] = offset;
    this.count += 1;
  }

  offsetOf(relative: number): number {
    return this.#offsets[relative] ?? 0;
  }

  candidates(id: string): number[] {
    const [high, low] = idHash(id);
    const found: number[] = [];
    for (let i = 0; i < this.#idCount * 3; i += 3) {
      if (this.#ids[i] === high && this.#ids[i + 1] === low) found.push(this.#ids[i + 2] ?? 0);
    }
    return found;
  }

  /** The bytes of the `.idx` file. */
  print(first: number): Buffer {
    const order = this.#order();
    const bytes = Buffer.alloc(headerBytes + this.count * 4 + this.#idCount * idBytes + 4);
    magic.copy(bytes);
    bytes.writeBigUInt64BE(BigInt(first), 17);
    bytes.writeUInt32BE(this.count, 25);
    bytes.writeUInt32BE(this.#idCount, 29);
    let to = headerBytes;
    for (let i = 0; i < this.count; i++) to = bytes.writeUInt32BE(this.offsetOf(i), to);
    for (const place of order) {
      to = bytes.writeUInt32BE(this.#at(3 * place), to);
      to = bytes.writeUInt32BE(this.#at(3 * place + 1), to);
      to = bytes.writeUInt32BE(this.#at(3 * place + 2), to);
    }
    bytes.writeUInt32BE(crc32c(bytes, 0, to), to);
    return bytes;
  }

  #at(i: number): number {
    return this.#ids[i] ?? 0;
  }

  /** Places of the triples, ascending by hash and then by leaf. They were added in the order of the leaves. */
  #order(): Uint32Array {
    const order = new Uint32Array(this.#idCount);
    const compare = (a: number, b: number) =>
      this.#at(3 * a) - this.#at(3 * b) || this.#at(3 * a + 1) - this.#at(3 * b + 1) || a - b;
    if (this.#idCount > sortedAsNumbersMax) return order.map((_, place) => place).sort(compare);
    // Half of the hash and the place as one number: the engine sorts those without calling back, ten times as fast.
    const keys = Float64Array.from(order, (_, place) => this.#at(3 * place) * sortedAsNumbersMax + place).sort();
    for (let i = 0; i < keys.length; i++) order[i] = (keys[i] ?? 0) % sortedAsNumbersMax;
    this.#sortEqualHalves(order, compare);
    return order;
  }

  #sortEqualHalves(order: Uint32Array, compare: (a: number, b: number) => number): void {
    for (let from = 0; from < order.length; ) {
      const high = this.#at(3 * (order[from] ?? 0));
      let to = from + 1;
      while (to < order.length && this.#at(3 * (order[to] ?? 0)) === high) to++;
      if (to - from > 1) order.subarray(from, to).sort(compare);
      from = to;
    }
  }
}

function grown(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
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
