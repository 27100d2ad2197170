// Promises the messages of one direction of a WebSocket out of its octets, however they are cut and without holding a message: every frame is judged
// before any of it goes on, and what is not RFC 6455 without extensions is refused, never repaired. Pure. Trusts nothing.
// Specified in RFC 6455 §5, §7.4 and §8.1; docs/websocket.md.
import { isUtf8 } from "node:buffer";

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export const controlBytesMax = 125;
/** Frames without content that are not the last of their message, in a row: they say nothing and cost work. */
export const emptyFramesMax = 16;
/** First octets of a frame: two, a length of eight, a mask of four. */
const headBytesMax = 14;

/** Why the sender has to be told goodbye: the status code (RFC 6455 §7.4.1), and a sentence for operators. */
export interface FrameFault {
  readonly closeCode: 1002 | 1007 | 1009;
  readonly why: string;
}

export interface FrameSink {
  /** The next piece of a message, unmasked; the receiver's own. Empty only where it is the last. */
  onPart(piece: Buffer, of: { readonly opcode: 1 | 2; readonly isFirst: boolean; readonly isLast: boolean }): void;
  onControl(opcode: 9 | 10, payload: Buffer): void;
  /** Nothing comes behind it. */
  onClose(payload: Buffer): void;
}

export interface FrameRules {
  /** Frames of callers are masked, those of providers are not (§5.1). */
  readonly isMasked: boolean;
  readonly messageBytesMax: number;
}

export class FrameReader {
  readonly #rules: FrameRules;
  readonly #sink: FrameSink;
  readonly #head = Buffer.alloc(headBytesMax);
  #headBytes = 0;
  #headLength = 2;
  /** Of the frame under way. */
  #opcode = 0;
  #isFinal = false;
  #left = 0;
  #maskAt = 0;
  #isInFrame = false;
  readonly #mask = Buffer.alloc(4);
  #control: Buffer = Buffer.alloc(0);
  #controlBytes = 0;
  /** Of the message under way; 0: there is none. */
  #message: 0 | 1 | 2 = 0;
  #messageBytes = 0;
  #isFirst = true;
  #emptyFrames = 0;
  readonly #utf8 = new Utf8Check();
  #isClosed = false;

  constructor(rules: FrameRules, sink: FrameSink) {
    this.#rules = rules;
    this.#sink = sink;
  }

  /** A Close came: this side says nothing more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The next octets, in order. A fault ends the reader: nothing may be fed behind it. */
  feed(bytes: Buffer): FrameFault | null {
    let at = 0;
    while (at < bytes.length) {
      if (this.#isClosed) return fault(1002, "octets behind a Close frame");
      if (!this.#isInFrame) {
        this.#head[this.#headBytes++] = bytes[at++] ?? 0;
        const wrong = this.#readHead();
        if (wrong !== null) return wrong;
        if (!this.#isInFrame || this.#left > 0) continue;
      }
      const to = Math.min(bytes.length, at + this.#left);
      const wrong = this.#readPayload(bytes, at, to);
      if (wrong !== null) return wrong;
      at = to;
    }
    return null;
  }

  #readHead(): FrameFault | null {
    const head = this.#head;
    if (this.#headBytes === 2) {
      const wrong = this.#readStart(head[0] ?? 0, head[1] ?? 0);
      if (wrong !== null) return wrong;
    }
    if (this.#headBytes < this.#headLength) return null;
    const short = (head[1] ?? 0) & 0x7f;
    let length = short;
    if (short === 126) length = head.readUInt16BE(2);
    else if (short === 127) {
      if (head.readUInt32BE(2) > 0) return fault(1009, "a frame of more than 4 GiB");
      length = head.readUInt32BE(6);
    }
    // §5.2: the fewest octets; another spelling of a length could be read as another length.
    if ((short === 126 && length < 126) || (short === 127 && length < 65_536))
      return fault(1002, "a length in more octets than it needs");
    if (this.#rules.isMasked) head.copy(this.#mask, 0, this.#headLength - 4, this.#headLength);
    return this.#begin(length);
  }

  /** The first two octets: what may not be is refused before its length is known. */
  #readStart(first: number, second: number): FrameFault | null {
    if ((first & 0x70) !== 0) return fault(1002, "a reserved bit, though no extension was agreed on");
    this.#opcode = first & 0x0f;
    this.#isFinal = (first & 0x80) !== 0;
    const isControl = this.#opcode >= 8;
    if (this.#opcode > 10 || (this.#opcode > 2 && !isControl)) return fault(1002, "a reserved opcode");
    if (((second & 0x80) !== 0) !== this.#rules.isMasked)
      return fault(1002, this.#rules.isMasked ? "a frame without a mask" : "a masked frame of a server");
    const short = second & 0x7f;
    if (isControl && !this.#isFinal) return fault(1002, "a control frame in fragments");
    if (isControl && short > controlBytesMax) return fault(1002, "a control frame of more than 125 octets");
    if (this.#opcode === opcodes.continuation && this.#message === 0)
      return fault(1002, "a continuation of no message");
    if ((this.#opcode === opcodes.text || this.#opcode === opcodes.binary) && this.#message !== 0)
      return fault(1002, "a new message within another one");
    this.#headLength = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (this.#rules.isMasked ? 4 : 0);
    return null;
  }

  #begin(length: number): FrameFault | null {
    this.#headBytes = 0;
    this.#headLength = 2;
    this.#isInFrame = true;
    this.#left = length;
    this.#maskAt = 0;
    if (this.#opcode >= 8) {
      this.#control = Buffer.alloc(length);
      this.#controlBytes = 0;
    } else {
      if (this.#opcode === 1 || this.#opcode === 2) {
        this.#message = this.#opcode;
        this.#messageBytes = 0;
        this.#isFirst = true;
        this.#emptyFrames = 0;
      }
      this.#messageBytes += length;
      if (this.#messageBytes > this.#rules.messageBytesMax)
        return fault(1009, `a message of more than ${this.#rules.messageBytesMax} octets`);
      if (length === 0 && !this.#isFinal && ++this.#emptyFrames > emptyFramesMax)
        return fault(1002, "too many frames without content");
    }
    return length === 0 ? this.#readPayload(this.#control, 0, 0) : null;
  }

  #readPayload(bytes: Buffer, from: number, to: number): FrameFault | null {
    if (!this.#isInFrame) return null;
    const piece = this.#unmask(bytes, from, to);
    this.#left -= to - from;
    const isFrameOver = this.#left === 0;
    if (isFrameOver) this.#isInFrame = false;
    if (this.#opcode >= 8) {
      piece.copy(this.#control, this.#controlBytes);
      this.#controlBytes += piece.length;
      return isFrameOver ? this.#endControl() : null;
    }
    return this.#givePart(piece, isFrameOver && this.#isFinal);
  }

  #givePart(piece: Buffer, isLast: boolean): FrameFault | null {
    if (this.#message === 0) return null;
    if (piece.length === 0 && !isLast) return null;
    if (this.#message === opcodes.text && !this.#utf8.take(piece, isLast))
      return fault(1007, "a text message that is not UTF-8");
    const of = { opcode: this.#message, isFirst: this.#isFirst, isLast };
    this.#isFirst = false;
    if (isLast) this.#message = 0;
    this.#sink.onPart(piece, of);
    return null;
  }

  #endControl(): FrameFault | null {
    const payload = this.#control;
    if (this.#opcode === opcodes.close) {
      const wrong = judgeClose(payload);
      if (wrong !== null) return wrong;
      this.#isClosed = true;
      this.#sink.onClose(payload);
    } else this.#sink.onControl(this.#opcode === opcodes.ping ? opcodes.ping : opcodes.pong, payload);
    return null;
  }

  #unmask(bytes: Buffer, from: number, to: number): Buffer {
    if (!this.#rules.isMasked) return bytes.subarray(from, to);
    const plain = Buffer.allocUnsafe(to - from);
    masked(plain, bytes, { from, mask: this.#mask, at: this.#maskAt });
    this.#maskAt = (this.#maskAt + to - from) & 3;
    return plain;
  }
}

/** `to` is filled with the octets of `bytes` from `from`, each exclusive-or the mask (§5.3). */
export function masked(
  to: Buffer,
  bytes: Uint8Array,
  { from, mask, at }: { readonly from: number; readonly mask: Uint8Array; readonly at: number },
): void {
  for (let i = 0; i < to.length; i++) to[i] = (bytes[from + i] ?? 0) ^ (mask[(at + i) & 3] ?? 0);
}

function fault(closeCode: FrameFault["closeCode"], why: string): FrameFault {
  return { closeCode, why };
}

/** Empty, or a code that may be sent (§7.4) and a reason in UTF-8. */
function judgeClose(payload: Buffer): FrameFault | null {
  if (payload.length === 0) return null;
  if (payload.length === 1) return fault(1002, "a Close with half a code");
  const code = payload.readUInt16BE(0);
  const isKnown = (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || code >= 3000;
  if (!isKnown || code > 4999) return fault(1002, "a close code that may not be sent");
  return isUtf8(payload.subarray(2)) ? null : fault(1007, "a close reason that is not UTF-8");
}

/** Is the text so far UTF-8, as far as it can be told? A sequence that is cut is judged with its rest. */
class Utf8Check {
  #tail: Buffer = Buffer.alloc(0);

  take(piece: Buffer, isLast: boolean): boolean {
    const text = this.#tail.length === 0 ? piece : Buffer.concat([this.#tail, piece]);
    const cut = isLast ? 0 : incompleteEnd(text);
    this.#tail = cut === 0 ? Buffer.alloc(0) : Buffer.from(text.subarray(text.length - cut));
    return isUtf8(text.subarray(0, text.length - cut));
  }
}

/** How many octets at the end begin a sequence that is longer; 0 to 3. */
function incompleteEnd(text: Buffer): number {
  for (let back = 1; back <= 3 && back <= text.length; back++) {
    const octet = text[text.length - back] ?? 0;
    if ((octet & 0xc0) === 0x80) continue;
    const length = octet >= 0xf0 ? 4 : octet >= 0xe0 ? 3 : octet >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}
