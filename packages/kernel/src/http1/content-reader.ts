// Promises the content of a request out of the octets behind its head, however these were cut into reads, and where it ends; or the first fault.
// At most one piece of content comes out of each read, so that tiny chunks cannot make many objects. Trailers are judged and dropped.
// Trusts message-framing.ts for the length. Specified in RFC 9112 §6.2 and §7.1; bounds beyond it are named here.
import { ChunkExtensions } from "./chunk-extensions.ts";
import { FieldLines } from "./field-lines.ts";
import { copyOf } from "./held-pieces.ts";
import { chunkedLength, framesMessage } from "./message-framing.ts";
import { cr, lf } from "./octets.ts";

export type ContentFault =
  /** No hexadecimal number, or one that is no exact integer. */
  | "chunk-size"
  /** Not `;name`, `;name=token` or `;name="text"` (§7.1.1). */
  | "chunk-extension"
  /** More said about chunks than is in them. */
  | "chunk-overhead"
  /** CR without LF, or none where one must be. */
  | "chunk-end"
  /** Malformed, too large, or a field that would say how long the message is. */
  | "trailer";

/** Digits of a chunk size, leading zeros with them. */
const sizeDigitsMax = 32;
/**
 * Octets of size lines that a message may have beyond two for each octet of content: without it, one octet of content could cost us a line of
 * extensions each time, for ever.
 */
const overheadBytesMax = 16 * 1024;
const trailerBytesMax = 4 * 1024;
const trailerFieldsMax = 32;
/** A piece of content may keep a buffer alive that is so many times its size. */
const keptAliveTimesMax = 4;

type Phase =
  | "length"
  | "size"
  | "extension"
  | "size-line-feed"
  | "content"
  | "content-cr"
  | "content-line-feed"
  | "trailer"
  | "over";

const semicolon = 0x3b;
const none = Buffer.alloc(0);

export class ContentReader {
  readonly #extensions = new ChunkExtensions();
  readonly #trailers = new FieldLines({ fieldsMax: trailerFieldsMax });
  #phase: Phase = "over";
  /** Of content, or of the chunk under way. */
  #left = 0;
  #digits = 0;
  #overhead = 0;
  /** A trailer section that came in pieces. */
  #trailer: Buffer = none;
  #at = 0;
  /** Content of the read under way: in place, or gathered where it lies in several chunks. */
  #pieceFrom = 0;
  #pieceEnd = 0;
  #gathered: Buffer | null = null;
  #gatheredBytes = 0;

  /** A message with this many octets of content, or `chunkedLength`, begins. */
  begin(contentLength: number): void {
    this.#left = contentLength;
    this.#phase = contentLength === chunkedLength ? "size" : contentLength === 0 ? "over" : "length";
    this.#digits = 0;
    this.#overhead = 0;
    this.#trailer = none;
    if (contentLength === chunkedLength) this.#left = 0;
  }

  get isOver(): boolean {
    return this.#phase === "over";
  }

  /** Index of the first octet not read: behind the message once it is over. */
  get at(): number {
    return this.#at;
  }

  /**
   * Reads octets[at..end), never behind the message. The content found is in `take`, also before a fault. "more": all was read and it goes on.
   */
  read(octets: Buffer, from: number, end: number): "over" | "more" | ContentFault {
    this.#at = from;
    this.#pieceEnd = this.#pieceFrom = from;
    while (this.#at < end && this.#phase !== "over") {
      const fault = this.#step(octets, end);
      if (fault !== null) return fault;
    }
    return this.#phase === "over" ? "over" : "more";
  }

  /** The content of the last read, once: null where there was none. Not copied where it lay in one piece and fills what it would keep alive. */
  take(octets: Buffer): Buffer | null {
    const gathered = this.#gathered;
    const from = this.#pieceFrom;
    const end = this.#pieceEnd;
    this.#gathered = null;
    this.#pieceFrom = end;
    if (gathered !== null) return this.#compact(gathered, 0, this.#gatheredBytes);
    return end === from ? null : this.#compact(octets, from, end);
  }

  #compact(octets: Buffer, from: number, end: number): Buffer {
    const piece = octets.subarray(from, end);
    return piece.length * keptAliveTimesMax < octets.length ? copyOf(piece, this.isOver) : piece;
  }

  #step(octets: Buffer, end: number): ContentFault | null {
    switch (this.#phase) {
      case "length":
        if (this.#readContent(octets, end)) this.#phase = "over";
        return null;
      case "content":
        if (this.#readContent(octets, end)) this.#phase = "content-cr";
        return null;
      case "size":
        return this.#readSize(octets[this.#at++] ?? 0);
      case "trailer":
        return this.#readTrailer(octets, end);
      default:
        return this.#readLineOctet(octets[this.#at++] ?? 0);
    }
  }

  /** True once the content, or this chunk's, is whole. */
  #readContent(octets: Buffer, end: number): boolean {
    const from = this.#at;
    const count = Math.min(this.#left, end - from);
    this.#at = from + count;
    this.#left -= count;
    this.#overhead -= Math.min(this.#overhead, count * 2);
    if (this.#gathered !== null) this.#gather(octets, from);
    else if (this.#pieceEnd === this.#pieceFrom) {
      this.#pieceFrom = from;
      this.#pieceEnd = this.#at;
    } else {
      this.#gathered = Buffer.allocUnsafeSlow(end - this.#pieceFrom);
      this.#gatheredBytes = octets.copy(this.#gathered, 0, this.#pieceFrom, this.#pieceEnd);
      this.#gather(octets, from);
    }
    return this.#left === 0;
  }

  #gather(octets: Buffer, from: number): void {
    if (this.#gathered !== null)
      this.#gatheredBytes += octets.copy(this.#gathered, this.#gatheredBytes, from, this.#at);
  }

  #readSize(octet: number): ContentFault | null {
    const digit = hexadecimal(octet);
    if (digit >= 0) {
      this.#left = this.#left * 16 + digit;
      if (++this.#digits > sizeDigitsMax || this.#left > Number.MAX_SAFE_INTEGER) return "chunk-size";
      return this.#countOverhead();
    }
    if (this.#digits === 0) return "chunk-size";
    if (octet === cr) this.#phase = "size-line-feed";
    else if (octet === semicolon) {
      this.#phase = "extension";
      this.#extensions.begin();
    } else return "chunk-size";
    return this.#countOverhead();
  }

  #countOverhead(): ContentFault | null {
    return ++this.#overhead > overheadBytesMax ? "chunk-overhead" : null;
  }

  #readLineOctet(octet: number): ContentFault | null {
    switch (this.#phase) {
      case "size-line-feed":
        if (octet !== lf) return "chunk-end";
        this.#digits = 0;
        this.#phase = this.#left === 0 ? "trailer" : "content";
        if (this.#phase === "trailer") this.#trailers.begin(0);
        return null;
      case "content-cr":
        if (octet !== cr) return "chunk-end";
        this.#phase = "content-line-feed";
        return null;
      case "content-line-feed":
        if (octet !== lf) return "chunk-end";
        this.#phase = "size";
        return null;
      default:
        return this.#readExtension(octet);
    }
  }

  #readExtension(octet: number): ContentFault | null {
    const read = this.#extensions.read(octet);
    if (read === "malformed") return "chunk-extension";
    if (read === "end") this.#phase = "size-line-feed";
    return this.#countOverhead();
  }

  /** §7.1.2. */
  #readTrailer(octets: Buffer, end: number): ContentFault | null {
    const before = this.#trailer.length;
    const from = this.#at;
    const section =
      before === 0
        ? octets.subarray(from, Math.min(end, from + trailerBytesMax))
        : Buffer.concat([this.#trailer, octets.subarray(from, Math.min(end, from + trailerBytesMax - before))]);
    const read = this.#trailers.read(section, section.length);
    if (read === "more") {
      if (section.length >= trailerBytesMax) return "trailer";
      this.#trailer = before === 0 ? Buffer.from(section) : section;
      this.#at = end;
      return null;
    }
    if (read !== "end") return "trailer";
    this.#at = from + this.#trailers.at - before;
    this.#trailer = none;
    const names = this.#trailers.raw(section);
    for (let i = 0; i < names.length; i += 2) if (framesMessage(names[i] ?? "")) return "trailer";
    this.#phase = "over";
    return null;
  }
}

/** A small piece of a large buffer would keep all of it in memory. */
function hexadecimal(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const lower = octet | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
