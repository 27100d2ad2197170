// Promises the fields of a header block as they were sent, to the octet, within bounds of count and size, or the fault that ends the connection: what
// is too large is counted and not kept, so that the next block of the connection can still be read. Trusts nothing.
// Specified in RFC 7541; sizes as RFC 9113 §6.5.2 counts them (name, value and 32 for each field).
import { readHuffman } from "./huffman.ts";
import { staticFields } from "./static-table.ts";

/** Size of the dynamic table; the default of SETTINGS_HEADER_TABLE_SIZE, and never another. */
export const tableBytesMax = 4_096;
/** What RFC 7541 §4.1 adds to each field. */
export const fieldOverheadBytes = 32;

export interface HeaderBounds {
  readonly listBytesMax: number;
  readonly fieldsMax: number;
}

export type HeaderBlock =
  /** Names and values alternating, as sent. */
  | { readonly kind: "fields"; readonly fields: readonly string[] }
  | { readonly kind: "too-large"; readonly fields: readonly string[] }
  /** The state of the compression is lost: the connection ends (COMPRESSION_ERROR). */
  | { readonly kind: "malformed" };

interface Field {
  readonly name: string;
  readonly value: string;
}

const malformed: HeaderBlock = { kind: "malformed" };
const integerMax = 2 ** 24;

/** Of one direction of one connection. */
export class HeaderDecoder {
  readonly #bounds: HeaderBounds;
  /** The newest first. */
  readonly #table: Field[] = [];
  #tableBytes = 0;
  #tableMax = tableBytesMax;
  #octets: Uint8Array = new Uint8Array();
  #at = 0;

  constructor(bounds: HeaderBounds) {
    this.#bounds = bounds;
  }

  /** Reads one whole block: that of a HEADERS frame and its CONTINUATIONs. After `malformed` it must not be used again. */
  read(block: Uint8Array): HeaderBlock {
    this.#octets = block;
    this.#at = 0;
    const { listBytesMax, fieldsMax } = this.#bounds;
    const fields: string[] = [];
    let bytes = 0;
    let count = 0;
    while (this.#at < block.length) {
      const first = block[this.#at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        // RFC 7541 §4.2: only at the beginning.
        if (count > 0 || !this.#resize()) return malformed;
        continue;
      }
      const field = this.#field(first);
      if (field === null) return malformed;
      count++;
      bytes += sizeOf(field);
      if (bytes <= listBytesMax && count <= fieldsMax) fields.push(field.name, field.value);
    }
    this.#octets = none;
    return { kind: bytes <= listBytesMax && count <= fieldsMax ? "fields" : "too-large", fields };
  }

  #field(first: number): Field | null {
    if (first >= 0x80) {
      const index = this.#integer(7);
      return index === null ? null : this.#indexed(index);
    }
    const isIndexing = (first & 0x40) !== 0;
    const index = this.#integer(isIndexing ? 6 : 4);
    if (index === null) return null;
    const name = index === 0 ? this.#text() : (this.#indexed(index)?.name ?? null);
    const value = name === null ? null : this.#text();
    if (name === null || value === null) return null;
    const field = { name, value };
    if (isIndexing) this.#insert(field);
    return field;
  }

  #indexed(index: number): Field | null {
    if (index < staticFields.length) return staticFields[index] ?? null;
    return this.#table[index - staticFields.length] ?? null;
  }

  #insert(field: Field): void {
    const size = sizeOf(field);
    this.#evictTo(this.#tableMax - size);
    // RFC 7541 §4.4: one that is larger than the table empties it.
    if (size > this.#tableMax) return;
    this.#table.unshift(field);
    this.#tableBytes += size;
  }

  #evictTo(bytes: number): void {
    while (this.#tableBytes > bytes && this.#table.length > 0) {
      const oldest = this.#table.pop();
      if (oldest !== undefined) this.#tableBytes -= sizeOf(oldest);
    }
  }

  #resize(): boolean {
    const size = this.#integer(5);
    if (size === null || size > tableBytesMax) return false;
    this.#tableMax = size;
    this.#evictTo(size);
    return true;
  }

  /** RFC 7541 §5.1. Null: it does not end, or is larger than anything here can be. */
  #integer(prefixBits: number): number | null {
    const most = 2 ** prefixBits - 1;
    let value = (this.#octets[this.#at++] ?? 0) & most;
    if (value < most) return value;
    for (let shift = 0; this.#at < this.#octets.length; shift += 7) {
      const octet = this.#octets[this.#at++] ?? 0;
      value += (octet & 0x7f) * 2 ** shift;
      if (value > integerMax) return null;
      if (octet < 0x80) return value;
      // Zeros that go on for ever are no number either.
      if (shift > 28) return null;
    }
    return null;
  }

  #text(): string | null {
    if (this.#at >= this.#octets.length) return null;
    const isCoded = (this.#octets[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(7);
    if (length === null || this.#at + length > this.#octets.length) return null;
    const from = this.#at;
    this.#at += length;
    if (isCoded) return readHuffman(this.#octets, from, this.#at);
    return Buffer.from(this.#octets.buffer, this.#octets.byteOffset + from, length).toString("latin1");
  }
}

const none = new Uint8Array();
const sizeOf = ({ name, value }: Field): number => name.length + value.length + fieldOverheadBytes;
