// Promises that of what a peer sends on an HTTP/2 connection only frames go on that are whole, in their place, within their bounds and of use: header
// blocks are read here, to the octet, and nobody reads them again; what goes on in their stead is a block of our own. Frames nobody needs end here.
// Trusts the library behind it for flow control and the states of streams. Specified in RFC 9113 §4-6; why: docs/decisions/0027-http2-library.md.
import { type CountedFrame, FrameBudget } from "./frame-budget.ts";
import { errorCode, frame, frameFlag, frameHeadBytes, frameType, payloadBytesMax, preface } from "./frames.ts";
import { type HeaderBounds, HeaderDecoder } from "./header-decoder.ts";

export type FrameFaultName =
  | "preface"
  | "frame-size"
  | "settings-first"
  | "frame-of-stream"
  | "padding"
  | "stream-id"
  | "stream-reuse"
  | "data-after-end"
  | "header-block"
  | "header-block-size"
  | "continuation"
  | "continuation-flood"
  | "trailers"
  | "push"
  | "settings-ack"
  | "window-zero"
  | `${CountedFrame}-flood`;

/** Ends the connection. `code`: of RFC 9113 §7. */
export interface FrameFault {
  readonly name: FrameFaultName;
  readonly code: number;
}

/** A header block that was read. */
export interface ReadBlock {
  /** Names and values alternating, as sent; with `isTooLarge` only the first of them. */
  readonly fields: readonly string[];
  readonly isTooLarge: boolean;
  /** Nothing follows on its stream. */
  readonly endsStream: boolean;
}

export interface GuardEvents {
  /** Octets for the library. */
  pass(octets: Buffer): void;
  /** A block that begins a message; whoever sees the stream next at the library has it. */
  head(stream: number, block: ReadBlock): void;
  /** A block that ends a message that had begun; the library sees only its end. */
  trailers(stream: number, block: ReadBlock): void;
  /** The peer gave this stream up. */
  reset(stream: number): void;
}

export interface GuardOptions {
  /** Whose frames are read: a client opens streams, a server answers on those it was asked on. */
  readonly peer: "client" | "server";
  readonly bounds: HeaderBounds & { readonly blockBytesMax: number };
  readonly now: () => number;
}

/** Frames of one header block; more are a flood whatever their size (CVE-2024-27316 and its kin). */
export const continuationsMax = 8;
/** Entries of one SETTINGS frame. */
export const settingsEntriesMax = 32;
/** Text a GOAWAY may carry. */
export const goAwayBytesMax = 1_024;

const fault = (name: FrameFaultName, code: number): FrameFault => ({ name, code });
const calm = (name: FrameFaultName): FrameFault => fault(name, errorCode.enhanceYourCalm);
const wrong = (name: FrameFaultName): FrameFault => fault(name, errorCode.protocol);
const wrongSize = fault("frame-size", errorCode.frameSize);

// In place of every head: POST https x / and :status 200, of the static table (RFC 7541 Appendix A).
const standInRequest = Buffer.from([0x83, 0x87, 0x84, 0x01, 0x01, 0x78]);
const standInAnswer = Buffer.from([0x88]);
const nothing = Buffer.alloc(0);

interface Head {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly length: number;
}

export class FrameGuard {
  readonly #events: GuardEvents;
  readonly #options: GuardOptions;
  readonly #decoder: HeaderDecoder;
  readonly budget: FrameBudget;
  /** A frame, or the preface, of which not everything has come. */
  #partial: Buffer = nothing;
  #expectsPreface: boolean;
  #hasSettings = false;
  #acksOwed = 1;
  /** Octets still to come of the DATA frame that is passed on as it comes. */
  #dataLeft = 0;
  /** The highest stream of the peer. */
  #last = 0;
  /** Streams on which the peer may still send; true: its head has come. */
  readonly #open = new Map<number, boolean>();
  /** Streams we ended: what was on its way may still come. */
  #ended = new Set<number>();
  #block: { readonly head: Head; readonly pieces: Buffer[]; bytes: number } | null = null;

  constructor(options: GuardOptions, events: GuardEvents) {
    this.#options = options;
    this.#events = events;
    this.#decoder = new HeaderDecoder(options.bounds);
    this.#expectsPreface = options.peer === "client";
    this.budget = new FrameBudget(options.now);
  }

  /** A header block has begun and not ended, or nothing has been said yet. */
  get isMidway(): boolean {
    return this.#block !== null || !this.#hasSettings;
  }

  /** Our SETTINGS are not acknowledged yet. */
  get owesAck(): boolean {
    return this.#acksOwed > 0;
  }

  /** Of a server: a stream was opened, and its answer may come. */
  opened(stream: number): void {
    this.#open.set(stream, false);
    if (stream > this.#last) this.#last = stream;
  }

  /** We ended this stream, and the peer will say no more once it knows. */
  closed(stream: number): void {
    if (!this.#open.delete(stream)) return;
    this.#ended.add(stream);
    if (this.#ended.size <= endedMax) return;
    const [oldest] = this.#ended;
    if (oldest !== undefined) this.#ended.delete(oldest);
  }

  /** Reads what came. A fault: nothing of this connection is read any more. */
  read(octets: Buffer): FrameFault | null {
    let rest = octets;
    if (this.#partial.length > 0) {
      rest = Buffer.concat([this.#partial, octets]);
      this.#partial = nothing;
    }
    const passed: Buffer[] = [];
    const found = this.#readAll(rest, passed);
    const [only] = passed;
    if (only !== undefined) this.#events.pass(passed.length === 1 ? only : Buffer.concat(passed));
    return found;
  }

  #readAll(octets: Buffer, passed: Buffer[]): FrameFault | null {
    let at = 0;
    while (at < octets.length) {
      if (this.#dataLeft > 0) {
        const piece = octets.subarray(at, at + this.#dataLeft);
        this.#dataLeft -= piece.length;
        at += piece.length;
        passed.push(piece);
        continue;
      }
      if (this.#expectsPreface) {
        const said = octets.subarray(at, at + preface.length);
        if (!said.equals(preface.subarray(0, said.length))) return wrong("preface");
        if (said.length < preface.length) break;
        this.#expectsPreface = false;
        passed.push(preface);
        at += preface.length;
        continue;
      }
      if (octets.length - at < frameHeadBytes) break;
      const head = headAt(octets, at);
      if (head.length > payloadBytesMax) return wrongSize;
      if (head.type === frameType.data) {
        const found = this.#data(head, octets[at + frameHeadBytes]);
        if (found !== null) return found;
        if (octets.length - at === frameHeadBytes && (head.flags & frameFlag.padded) !== 0 && head.length > 0) break;
        // An empty one that ends nothing says nothing.
        if (head.length > 0 || (head.flags & frameFlag.endStream) !== 0)
          passed.push(octets.subarray(at, at + frameHeadBytes));
        this.#dataLeft = head.length;
        at += frameHeadBytes;
        this.#dataBegun(head);
        continue;
      }
      const end = at + frameHeadBytes + head.length;
      if (octets.length < end) break;
      const found = this.#frame(head, octets.subarray(at, end), passed);
      if (found !== null) return found;
      at = end;
    }
    // Copied: it outlives this read, and must not keep all of it.
    if (at < octets.length) this.#partial = Buffer.from(octets.subarray(at));
    return null;
  }

  /** Judges a DATA frame by its head; `padding` is its first octet, where it has come. */
  #data(head: Head, padding: number | undefined): FrameFault | null {
    if (!this.#hasSettings) return wrong("settings-first");
    if (this.#block !== null) return wrong("continuation");
    if (head.stream === 0) return wrong("frame-of-stream");
    if ((head.flags & frameFlag.padded) !== 0 && (head.length === 0 || (padding ?? 0) >= head.length))
      return wrong("padding");
    const hasHead = this.#open.get(head.stream);
    if (hasHead === undefined)
      return this.#ended.has(head.stream)
        ? null
        : head.stream > this.#last
          ? wrong("stream-id")
          : fault("data-after-end", errorCode.streamClosed);
    if (!hasHead) return wrong("frame-of-stream");
    const paddingBytes = (head.flags & frameFlag.padded) === 0 ? 0 : 1 + (padding ?? 0);
    const isEmpty = head.length === paddingBytes && (head.flags & frameFlag.endStream) === 0;
    this.budget.received(head.length);
    return isEmpty ? this.#count("empty-data") : null;
  }

  #dataBegun(head: Head): void {
    if ((head.flags & frameFlag.endStream) !== 0) this.#open.delete(head.stream);
  }

  #frame(head: Head, whole: Buffer, passed: Buffer[]): FrameFault | null {
    if (!this.#hasSettings && (head.type !== frameType.settings || (head.flags & frameFlag.ack) !== 0))
      return wrong("settings-first");
    if (this.#block !== null && head.type !== frameType.continuation) return wrong("continuation");
    const payload = whole.subarray(frameHeadBytes);
    switch (head.type) {
      case frameType.headers:
        return this.#headers(head, payload, passed);
      case frameType.continuation:
        return this.#continuation(head, payload, passed);
      case frameType.pushPromise:
        return wrong("push");
      case frameType.priority:
        if (head.stream === 0) return wrong("frame-of-stream");
        // Nobody here looks at it (RFC 9113 §5.3.2).
        return head.length === 5 ? this.#count("priority") : wrongSize;
      default: {
        const found = this.#control(head, payload);
        if (found === null && isKnown(head.type)) passed.push(whole);
        return found;
      }
    }
  }

  #control(head: Head, payload: Buffer): FrameFault | null {
    const { type, stream, length } = head;
    switch (type) {
      case frameType.settings:
        return this.#settings(head);
      case frameType.ping:
        if (stream !== 0) return wrong("frame-of-stream");
        return length === 8 ? this.#count("ping") : wrongSize;
      case frameType.goAway:
        if (stream !== 0) return wrong("frame-of-stream");
        return length >= 8 && length <= goAwayBytesMax ? this.#count("settings") : wrongSize;
      case frameType.windowUpdate:
        if (length !== 4) return wrongSize;
        if (stream > this.#last) return wrong("stream-id");
        return (payload.readUInt32BE(0) & 0x7fff_ffff) === 0 ? wrong("window-zero") : this.#count("window-update");
      case frameType.rstStream:
        if (length !== 4) return wrongSize;
        if (stream === 0 || stream > this.#last) return wrong("stream-id");
        this.#open.delete(stream);
        this.#events.reset(stream);
        return this.#count("reset");
      default:
        return this.#count("unknown");
    }
  }

  #settings({ flags, stream, length }: Head): FrameFault | null {
    if (stream !== 0) return wrong("frame-of-stream");
    if ((flags & frameFlag.ack) !== 0) {
      if (length !== 0) return wrongSize;
      // Nobody acknowledges what was not said.
      if (this.#acksOwed === 0) return wrong("settings-ack");
      this.#acksOwed--;
      return null;
    }
    if (length % 6 !== 0) return wrongSize;
    if (length > settingsEntriesMax * 6) return calm("settings-flood");
    this.#hasSettings = true;
    return this.#count("settings");
  }

  #headers(head: Head, payload: Buffer, passed: Buffer[]): FrameFault | null {
    const found = this.#judgeStream(head);
    if (found !== null) return found;
    const content = blockOf(head, payload);
    if (content === null) return wrong("padding");
    this.#block = { head, pieces: [content], bytes: content.length };
    return this.#goOnWithBlock(head, passed);
  }

  #judgeStream({ stream, flags }: Head): FrameFault | null {
    if (stream === 0) return wrong("frame-of-stream");
    const hasHead = this.#open.get(stream);
    if (hasHead === undefined && this.#ended.has(stream)) return null;
    if (this.#options.peer === "server") return hasHead === undefined ? wrong("stream-id") : null;
    // RFC 9113 §8.1: a second block ends the message.
    if (hasHead !== undefined) return (flags & frameFlag.endStream) === 0 ? wrong("trailers") : null;
    if (stream % 2 === 0) return wrong("stream-id");
    return stream > this.#last ? null : fault("stream-reuse", errorCode.streamClosed);
  }

  #continuation(head: Head, payload: Buffer, passed: Buffer[]): FrameFault | null {
    const block = this.#block;
    if (block === null || head.stream !== block.head.stream) return wrong("continuation");
    if (block.pieces.length > continuationsMax) return calm("continuation-flood");
    block.pieces.push(Buffer.from(payload));
    block.bytes += payload.length;
    return this.#goOnWithBlock(head, passed);
  }

  #goOnWithBlock({ flags }: Head, passed: Buffer[]): FrameFault | null {
    const block = this.#block;
    if (block === null) return null;
    if (block.bytes > this.#options.bounds.blockBytesMax) return calm("header-block-size");
    if ((flags & frameFlag.endHeaders) === 0) {
      // What waits must not keep the read it came in.
      if (block.pieces.length === 1) block.pieces[0] = Buffer.from(block.pieces[0] ?? nothing);
      return null;
    }
    this.#block = null;
    const [only = nothing] = block.pieces;
    const read = this.#decoder.read(block.pieces.length === 1 ? only : Buffer.concat(block.pieces));
    if (read.kind === "malformed") return fault("header-block", errorCode.compression);
    const endsStream = (block.head.flags & frameFlag.endStream) !== 0;
    return this.#blockRead(
      block.head.stream,
      { fields: read.fields, isTooLarge: read.kind === "too-large", endsStream },
      passed,
    );
  }

  #blockRead(stream: number, block: ReadBlock, passed: Buffer[]): FrameFault | null {
    const { peer } = this.#options;
    const hasHead = this.#open.get(stream);
    // Ended by us meanwhile: read for the state of the compression alone.
    if (hasHead === undefined && this.#ended.has(stream)) return null;
    if (peer === "server" && hasHead === false && isInformational(block)) return null;
    if (block.endsStream) this.#open.delete(stream);
    else this.#open.set(stream, true);
    const flags = frameFlag.endHeaders | (block.endsStream ? frameFlag.endStream : 0);
    if (hasHead === true) {
      if (!block.endsStream) return wrong("trailers");
      this.#events.trailers(stream, block);
      passed.push(frame({ type: frameType.data, flags: frameFlag.endStream, stream }, nothing));
      return null;
    }
    if (peer === "client") this.#last = stream;
    if (this.#open.size > openMax) return calm("reset-flood");
    this.#events.head(stream, block);
    const standIn = peer === "client" ? standInRequest : standInAnswer;
    passed.push(frame({ type: frameType.headers, flags, stream }, standIn));
    return null;
  }

  #count(kind: CountedFrame): FrameFault | null {
    return this.budget.take(kind) ? null : calm(`${kind}-flood`);
  }
}

/** Streams of a peer that it has not ended; the library refuses far fewer, and whoever is refused so often and goes on is no caller. */
const openMax = 1_024;
/** Streams we ended that are remembered; what comes late for an older one ends the connection. */
const endedMax = 1_024;

function headAt(octets: Buffer, at: number): Head {
  return {
    length: octets.readUIntBE(at, 3),
    type: octets[at + 3] ?? 0,
    flags: octets[at + 4] ?? 0,
    stream: octets.readUInt32BE(at + 5) & 0x7fff_ffff,
  };
}

const isKnown = (type: number): boolean => type <= frameType.continuation;

/** The block of a HEADERS frame without padding and priority; null: they do not fit. */
function blockOf({ flags }: Head, payload: Buffer): Buffer | null {
  const isPadded = (flags & frameFlag.padded) !== 0;
  const from = (isPadded ? 1 : 0) + ((flags & frameFlag.priority) === 0 ? 0 : 5);
  const end = payload.length - (isPadded ? (payload[0] ?? 0) : 0);
  return from > payload.length || end < from ? null : payload.subarray(from, end);
}

/** RFC 9110 §15.2: the answer itself is still to come. */
function isInformational({ fields, endsStream }: ReadBlock): boolean {
  return !endsStream && fields[0] === ":status" && /^1[0-9][0-9]$/.test(fields[1] ?? "") && fields[1] !== "101";
}
