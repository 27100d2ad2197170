// Promises the answer to one request at a time out of a connection's bytes, however they are cut: head, content and end, or one reason why it is
// no answer. A cut answer never ends as a whole one. Trusts nothing a provider sends. RFC 9112 §6-8; docs/decisions/0021-own-upstream-client.md.
import { ChunkExtensions } from "./chunk-extensions.ts";
import { cr, lf } from "./octets.ts";
import { headBytesMax, incomplete, malformed, ResponseHead } from "./response-head.ts";

/** Informational answers before the one that counts. */
export const informationalMax = 8;
/** Of one chunk; we read none of them (RFC 9112 §7.1.1). */
export const chunkExtensionBytesMax = 256;
/** 2^48 - 1 bytes: a size is never rounded. */
export const chunkSizeDigitsMax = 12;
export const trailerBytesMax = 8 * 1024;
export const trailerFieldsMax = 32;
/** Text looked at at once for a head: what is behind it is content, which is not text. */
const headGuessBytes = 2048;
/** A head that comes in more pieces than this is read once it is whole: reading it at each piece would be work without a bound. */
const rereadsMax = 16;

/** Who is told. Everything is called from within `feed` or `eof`; each may `stop` the parser. */
export interface ResponseSink {
  /** The final head, in `parser.head`. */
  onHead(): void;
  /** At most once per `feed`; the bytes are the receiver's own. */
  onContent(content: Buffer): void;
  /** The answer is whole. `isReusable`: and another may follow on this connection, as far as this one can say. */
  onEnd(isReusable: boolean): void;
  /** A 101 to a request that asked for it: from `rest` on, which is the receiver's own, the connection is HTTP no more. */
  onUpgrade?(rest: Buffer): void;
  /** It is no answer, or not a whole one. The connection is of no more use. */
  onMalformed(why: string): void;
}

type State =
  | "none"
  | "head"
  | "length"
  | "until-close"
  | "chunk-size"
  | "chunk-extension"
  | "chunk-size-lf"
  | "chunk-content"
  | "chunk-cr"
  | "chunk-lf"
  | "trailer";

const semicolon = 0x3b;
const nothing = Buffer.alloc(0);

export class ResponseParser {
  readonly head = new ResponseHead();
  readonly #sink: ResponseSink;
  #state: State = "none";
  #isHeadRequest = false;
  #asksUpgrade = false;
  #isReusable = false;
  #informational = 0;
  /** A head or trailer section that came in pieces. */
  #text = "";
  #pieces = 0;
  /** Bytes of content, or of a chunk, still to come. */
  #left = 0;
  #sizeDigits = 0;
  readonly #extensions = new ChunkExtensions();
  #extensionBytes = 0;
  #isLastChunk = false;
  /** Content of the chunks of one read, gathered. */
  #gathered: Buffer = nothing;
  #gatheredBytes = 0;
  #hasBegun = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Some byte of an answer came since `begin`. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** The next bytes answer a request of this method. `asksUpgrade`: it asked for another protocol. */
  begin(method: string, asksUpgrade = false): void {
    this.#state = "head";
    this.#asksUpgrade = asksUpgrade;
    this.#isHeadRequest = method === "HEAD";
    this.#informational = 0;
    this.#hasBegun = false;
    this.#text = "";
    this.#pieces = 0;
  }

  /** Nothing more is told. */
  stop(): void {
    this.#state = "none";
    this.#text = "";
    this.#gathered = nothing;
    this.#gatheredBytes = 0;
  }

  /**
   * The next bytes, in order. `isOurs`: the caller of this will not write into `bytes` again, so that content need not be copied.
   * Bytes behind the end of an answer make it not reusable.
   */
  feed(bytes: Buffer, isOurs: boolean): void {
    if (bytes.length === 0) return;
    this.#hasBegun = true;
    let at = 0;
    while (at < bytes.length && this.#state !== "none") {
      switch (this.#state) {
        case "head":
          at = this.#readHead(bytes, at);
          break;
        case "trailer":
          at = this.#readTrailer(bytes, at);
          break;
        case "length":
        case "until-close":
          at = this.#readPlain(bytes, at, isOurs);
          break;
        default:
          at = this.#readChunks(bytes, at);
      }
    }
    if (this.#gatheredBytes > 0) this.#giveGathered();
  }

  /** The provider closed its side. */
  eof(): void {
    switch (this.#state) {
      case "none":
        return;
      case "until-close":
        this.#end(false);
        return;
      case "head":
        this.#malformed(this.#hasBegun ? "the connection was closed in the middle of the head" : "no answer");
        return;
      case "length":
        this.#malformed(`the answer is cut short: ${this.#left} bytes of its content-length are missing`);
        return;
      default:
        this.#malformed("the answer is cut short: its last chunk is missing");
    }
  }

  #readHead(bytes: Buffer, from: number): number {
    if (this.#text !== "") return this.#readHeadOfPieces(bytes, from);
    const text = bytes.toString("latin1", from, Math.min(bytes.length, from + headGuessBytes));
    const end = this.head.read(text);
    if (end === malformed) return this.#malformed(this.head.why);
    if (end !== incomplete) return this.#headRead(bytes, from + end);
    if (text.length < bytes.length - from) return this.#readHeadOfPieces(bytes, from);
    this.#text = text;
    this.#pieces = 1;
    return bytes.length;
  }

  /** The slow way: a head cut by the network, or one that is long or has long content behind it. */
  #readHeadOfPieces(bytes: Buffer, from: number): number {
    const before = this.#text.length;
    const piece = bytes.toString("latin1", from, Math.min(bytes.length, from + headBytesMax + 4 - before));
    const text = this.#text + piece;
    if (++this.#pieces > rereadsMax && !endsOrBreaks(text, before)) {
      if (text.length > headBytesMax) return this.#malformed("the header section is too large");
      this.#text = text;
      return bytes.length;
    }
    const end = this.head.read(text);
    if (end === malformed) return this.#malformed(this.head.why);
    if (end === incomplete) {
      if (text.length > headBytesMax) return this.#malformed("the header section is too large");
      this.#text = text;
      return bytes.length;
    }
    this.#text = "";
    this.#pieces = 0;
    return this.#headRead(bytes, from + end - before);
  }

  /** A head ends before `at`. Says where reading goes on. */
  #headRead(bytes: Buffer, at: number): number {
    const { head } = this;
    if (head.status < 200) return this.#informationalRead(bytes, at);
    const saysContent = head.isChunked || (head.contentLength ?? 0) > 0;
    const isBodiless = this.#isHeadRequest || head.status === 204 || head.status === 304;
    // A provider that says there is content where there must be none may send it all the same, and late: it would be the next answer.
    this.#isReusable = head.minorVersion === 1 && !head.saysClose && !(isBodiless && saysContent);
    const length = isBodiless ? 0 : head.contentLength;
    this.#text = "";
    if (length !== null) this.#beginLength(length);
    else if (head.isChunked) this.#beginChunk();
    else this.#state = "until-close";
    this.#sink.onHead();
    if (length === 0 && this.#isIn("length")) this.#end(at === bytes.length);
    return at;
  }

  #informationalRead(bytes: Buffer, at: number): number {
    const { head } = this;
    // RFC 9110 §15.2: that version has none, so what follows may be read as its content.
    if (head.minorVersion === 0) return this.#malformed("an informational answer in HTTP/1.0");
    if (head.status === 101) return this.#upgradeRead(bytes, at);
    if (++this.#informational > informationalMax) return this.#malformed("too many informational answers");
    if (head.isChunked || (head.contentLength ?? 0) > 0) return this.#malformed("an informational answer with content");
    this.#text = "";
    this.#pieces = 0;
    return Math.min(at, bytes.length);
  }

  #upgradeRead(bytes: Buffer, at: number): number {
    // Where nobody asked for another protocol, whatever follows is not ours to interpret (RFC 9110 §15.2.2).
    if (!this.#asksUpgrade || this.#sink.onUpgrade === undefined)
      return this.#malformed("an upgrade that nobody asked for");
    if (this.#informational > 0) return this.#malformed("an informational answer before an upgrade");
    if (this.head.isChunked || this.head.contentLength !== null) return this.#malformed("an upgrade with content");
    this.stop();
    this.#sink.onUpgrade(copyOf(bytes, Math.min(at, bytes.length), bytes.length));
    return Number.POSITIVE_INFINITY;
  }

  #readPlain(bytes: Buffer, from: number, isOurs: boolean): number {
    const isBounded = this.#state === "length";
    const to = isBounded ? Math.min(bytes.length, from + this.#left) : bytes.length;
    const content = isOurs ? bytes.subarray(from, to) : copyOf(bytes, from, to);
    if (isBounded) this.#left -= to - from;
    this.#sink.onContent(content);
    if (isBounded && this.#left === 0 && this.#isIn("length")) this.#end(to === bytes.length);
    return to;
  }

  #beginLength(length: number): void {
    this.#state = "length";
    this.#left = length;
  }

  #beginChunk(): void {
    this.#state = "chunk-size";
    this.#left = 0;
    this.#sizeDigits = 0;
    this.#extensionBytes = 0;
    this.#isLastChunk = false;
  }

  /** Chunks until they end, the bytes end or the trailer section begins (RFC 9112 §7.1). */
  #readChunks(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length) {
      if (this.#state === "chunk-content") {
        const to = Math.min(bytes.length, at + this.#left);
        this.#gather(bytes, at, to);
        this.#left -= to - at;
        at = to;
        if (this.#left === 0) this.#state = "chunk-cr";
        continue;
      }
      const why = this.#readChunkByte(bytes[at] ?? 0);
      at++;
      if (why !== null) return this.#malformed(why);
      if (this.#state === "trailer") {
        this.#text = "";
        return at;
      }
    }
    return at;
  }

  /** Everything in chunked coding but the content. Null, or what is wrong. */
  #readChunkByte(byte: number): string | null {
    switch (this.#state) {
      case "chunk-size":
        return this.#readSizeByte(byte);
      case "chunk-extension":
        return this.#readExtensionByte(byte);
      case "chunk-size-lf":
        if (byte !== lf) return "a chunk size is not followed by CR LF";
        this.#isLastChunk = this.#left === 0;
        this.#state = this.#isLastChunk ? "trailer" : "chunk-content";
        return null;
      case "chunk-cr":
        if (byte !== cr) return "a chunk is not followed by CR LF";
        this.#state = "chunk-lf";
        return null;
      default:
        if (byte !== lf) return "a chunk is not followed by CR LF";
        this.#beginChunk();
        return null;
    }
  }

  #readSizeByte(byte: number): string | null {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      if (++this.#sizeDigits > chunkSizeDigitsMax) return "a chunk size is too large";
      this.#left = this.#left * 16 + digit;
      return null;
    }
    if (this.#sizeDigits === 0) return "a chunk size is missing";
    if (byte === cr) this.#state = "chunk-size-lf";
    else if (byte === semicolon) {
      this.#state = "chunk-extension";
      this.#extensions.begin();
    } else return "a chunk size is malformed";
    return null;
  }

  #readExtensionByte(byte: number): string | null {
    const read = this.#extensions.read(byte);
    if (read === "malformed") return "a chunk extension is malformed";
    if (read === "end") this.#state = "chunk-size-lf";
    else if (++this.#extensionBytes > chunkExtensionBytesMax) return "a chunk extension is too long";
    return null;
  }

  /** Trailer fields are judged and then left out: nobody who reads the head can have seen them (RFC 9110 §6.5.1). */
  #readTrailer(bytes: Buffer, from: number): number {
    const before = this.#text.length;
    const text =
      this.#text + bytes.toString("latin1", from, Math.min(bytes.length, from + trailerBytesMax + 1 - before));
    // Cheap even byte by byte: a section is read only when its end is there, or not at all.
    const isEmpty = text.startsWith("\r\n");
    const end = isEmpty ? 2 : text.indexOf("\r\n\r\n", Math.max(0, before - 3)) + 4;
    if (end < 4 && !isEmpty) {
      if (text.length > trailerBytesMax) return this.#malformed("the trailer section is too large");
      this.#text = text;
      return bytes.length;
    }
    this.#text = "";
    if (!isEmpty) {
      const trailer = new ResponseHead();
      if (trailer.readFields(text.slice(0, end), 0) !== end) return this.#malformed(trailer.why);
      if (trailer.fields.length > trailerFieldsMax * 2) return this.#malformed("too many trailer fields");
      if (trailer.contentLength !== null || trailer.isChunked) return this.#malformed("a trailer field that frames");
    }
    const at = from + end - before;
    if (this.#gatheredBytes > 0) this.#giveGathered();
    if (this.#isIn("trailer")) this.#end(at === bytes.length);
    return at;
  }

  /** One piece per read, whatever the sizes of the chunks: a million chunks of one byte are not a million objects. */
  #gather(bytes: Buffer, from: number, to: number): void {
    if (this.#gatheredBytes === 0) this.#gathered = Buffer.allocUnsafe(bytes.length - from);
    bytes.copy(this.#gathered, this.#gatheredBytes, from, to);
    this.#gatheredBytes += to - from;
  }

  #giveGathered(): void {
    const content = this.#gathered.subarray(0, this.#gatheredBytes);
    this.#gathered = nothing;
    this.#gatheredBytes = 0;
    this.#sink.onContent(content);
  }

  /** Asked after the sink was called, which may have stopped us: the compiler believes that it cannot. */
  #isIn(state: State): boolean {
    return this.#state === state;
  }

  #end(isAlone: boolean): void {
    this.#state = "none";
    this.#sink.onEnd(this.#isReusable && isAlone);
  }

  /** What was read before is given first, so that the result does not depend on how the bytes were cut. */
  #malformed(why: string): number {
    if (this.#gatheredBytes > 0) this.#giveGathered();
    if (this.#state !== "none") {
      this.stop();
      this.#sink.onMalformed(why);
    }
    return Number.POSITIVE_INFINITY;
  }
}

/** Is the end of the head behind `from`, or a line feed alone, which would put that end off for ever? */
function endsOrBreaks(text: string, from: number): boolean {
  for (let at = text.indexOf("\n", from); at >= 0; at = text.indexOf("\n", at + 1))
    if (text.charCodeAt(at - 1) !== cr || text.startsWith("\r\n\r", at - 3)) return true;
  return false;
}

function copyOf(bytes: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafe(to - from);
  bytes.copy(copy, 0, from, to);
  return copy;
}

/** -1 for anything but one of 0-9, A-F, a-f. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
