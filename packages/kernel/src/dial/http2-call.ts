// Promises one request to a provider over HTTP/2 and its one answer, judged field by field, with back-pressure both ways, and that nobody is told
// anything after it is over. Trusts its session for what was read. Specified in RFC 9113 §8.1 and docs/dial.md "Requests".
import { type ClientHttp2Stream, constants } from "node:http2";
import { judgeHttp2Fields } from "@sallyport/protocol/canonical/http2-fields.ts";
import { requestHead } from "../http1/request-head.ts";
import type { ReadBlock } from "../http2/frame-guard.ts";
import { DialFault } from "./dial-fault.ts";
import type { StreamedContent, UpstreamCall, UpstreamHandler, UpstreamRequest } from "./upstream-port.ts";

/** A call that its provider says it never began is sent again so many times. */
const resendsMax = 2;
/** Content that is held for that, until the answer begins; of a call that sent more none is. */
const heldBytesMax = 16 * 1024;

export interface CallParts {
  readonly host: string;
  readonly scheme: "https" | "http";
  readonly handler: UpstreamHandler;
  ended(): void;
  /** It has to be begun once more. */
  again(): void;
}

const statusCode = /^[2-5][0-9]{2}$/;

export class Http2Call implements UpstreamCall {
  /** Pseudo-header fields and fields, names and values alternating. */
  readonly head: string[];
  readonly content: UpstreamRequest["content"];
  isOver = false;
  readonly #handler: UpstreamHandler;
  readonly #ended: () => void;
  readonly #again: () => void;
  #stream: ClientHttp2Stream | null = null;
  #why: () => DialFault | null = () => null;
  #head: ReadBlock | null = null;
  #trailers: ReadBlock | null = null;
  #isPaused = false;
  #hasHead = false;
  #resends = 0;
  /** Content that went out before the answer began; null: too much to be sent again, or not needed any more. */
  #held: Buffer[] | null = [];
  #heldBytes = 0;
  #isWhole = false;

  /** Throws TypeError for a request that could be read as another, or as two. Printed lines are of HTTP/1.1 and not taken. */
  constructor(request: UpstreamRequest, { host, scheme, handler, ended, again }: CallParts) {
    const { method, path, headers, content } = request;
    if (request.lines !== undefined) throw new TypeError("lines are not sent over HTTP/2");
    // The same judgement as over HTTP/1.1.
    requestHead({ method, path, host, headers, content: null });
    const fields = headers.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text));
    const pseudo = [":method", method, ":scheme", scheme, ":path", path, ":authority", host];
    this.head = [...pseudo, ...fields, "te", "trailers"];
    this.content = content;
    this.#handler = handler;
    this.#ended = ended;
    this.#again = again;
  }

  get wasSent(): boolean {
    return this.#stream !== null;
  }

  get hasBegun(): boolean {
    return this.#stream !== null;
  }

  abort(): void {
    if (this.isOver) return;
    this.#over();
  }

  pause(): void {
    this.#isPaused = true;
    this.#stream?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.isOver) this.#stream?.resume();
  }

  fail(fault: DialFault): void {
    if (this.isOver) return;
    this.#over();
    this.#handler.onFault(fault);
  }

  /** From the session. `why`: what ended it, where that is known. */
  begin(stream: ClientHttp2Stream, why: () => DialFault | null): void {
    this.#stream = stream;
    this.#why = why;
    stream.on("error", () => {
      // Its end is told by `close`.
    });
    stream.on("response", () => this.#answered(stream));
    stream.on("close", () => this.#closed(stream));
    if (this.content === null) return;
    if (this.content instanceof Uint8Array) stream.end(this.content);
    else if (this.#resends === 0) this.#send(this.content);
    else this.#sendHeld(stream, this.content);
  }

  /** RFC 9113 §6.8 and §8.7: of a stream that was refused, or that GOAWAY leaves out, nothing was done, so doing it now is not doing it twice. */
  #closed(stream: ClientHttp2Stream): void {
    const wasLeft = stream.id === undefined || stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
    const mayGoAgain = wasLeft && this.#head === null && this.#held !== null && this.#why() === null;
    if (this.isOver || !mayGoAgain || this.#resends === resendsMax) {
      this.fail(this.#lost());
      return;
    }
    this.#resends++;
    this.#stream = null;
    if (this.content !== null && !(this.content instanceof Uint8Array)) this.content.stream.pause();
    this.#again();
  }

  headRead(block: ReadBlock): void {
    this.#head = block;
  }

  trailersRead(block: ReadBlock): void {
    this.#trailers = block;
  }

  #answered(stream: ClientHttp2Stream): void {
    if (this.isOver) return;
    const [name, status = "", ...fields] = this.#head?.fields ?? [];
    const wrong = judgeHttp2Fields(fields);
    if (name !== ":status" || !statusCode.test(status) || wrong !== null || this.#head?.isTooLarge === true) {
      this.fail(new DialFault("protocol", `the provider's answer is not valid HTTP/2 (${wrong ?? "its head"})`));
      return;
    }
    this.#hasHead = true;
    this.#held = null;
    this.#handler.onHead(Number(status), fields);
    if (this.isOver) return;
    // Only now: content that came in the same read would be told before its head.
    stream.on("end", () => this.#whole());
    stream.on("data", (piece: Buffer) => {
      if (!this.isOver) this.#handler.onContent(piece);
    });
    if (this.#isPaused) stream.pause();
  }

  #whole(): void {
    if (this.isOver || this.#stream?.aborted === true || !this.#hasHead) return;
    const trailers = this.#trailers;
    if (trailers !== null) {
      const wrong = trailers.isTooLarge ? "too many" : judgeHttp2Fields(trailers.fields);
      if (wrong !== null) {
        this.fail(new DialFault("protocol", `the provider's trailers are not valid HTTP/2 (${wrong})`));
        return;
      }
      this.#handler.onTrailers?.(trailers.fields);
    }
    this.#over();
    this.#handler.onEnd();
  }

  #send({ stream: content }: StreamedContent): void {
    content.on("data", (piece: Buffer) => {
      this.#handler.onContentSent(piece.length);
      if (this.isOver) return;
      this.#hold(piece);
      const stream = this.#stream;
      if (stream === null || stream.destroyed || stream.writableEnded) return;
      if (stream.write(piece)) return;
      content.pause();
      stream.once("drain", () => content.resume());
    });
    content.on("end", () => {
      this.#isWhole = true;
      if (this.#stream?.destroyed === false) this.#stream.end();
    });
    const broken = (): void => {
      if (!content.readableEnded) this.fail(new DialFault("aborted", "the content of the request was given up"));
    };
    content.on("error", broken).once("close", broken);
  }

  #hold(piece: Buffer): void {
    if (this.#held === null) return;
    this.#heldBytes += piece.length;
    if (this.#heldBytes > heldBytesMax) this.#held = null;
    else this.#held.push(piece);
  }

  /** Once more, from the beginning. */
  #sendHeld(stream: ClientHttp2Stream, { stream: content }: StreamedContent): void {
    for (const piece of this.#held ?? []) stream.write(piece);
    if (this.#isWhole) stream.end();
    else content.resume();
  }

  #lost(): DialFault {
    const known = this.#why();
    if (known !== null) return known;
    const code = this.#stream?.rstCode ?? 0;
    if (this.#hasHead) return new DialFault("protocol", `the provider gave its answer up (error code ${code})`);
    return new DialFault("connect-failed", `the call ended without an answer (error code ${code})`);
  }

  /** Nobody is told anything from now on; what was not sent or taken is let go. */
  #over(): void {
    this.isOver = true;
    this.#held = null;
    if (this.content !== null && !(this.content instanceof Uint8Array)) this.content.stream.destroy();
    const stream = this.#stream;
    if (stream !== null && !stream.destroyed && !(stream.readableEnded && stream.writableFinished)) {
      stream.close(constants.NGHTTP2_CANCEL);
      // The library ends a stream only once what it holds of it has been read.
      stream.on("data", () => {
        // Nobody wants it.
      });
      stream.resume();
    }
    this.#ended();
  }
}
