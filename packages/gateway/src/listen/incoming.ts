// Promises one request as it came: what its head said, and its content to one taker at a time, in order, with a bound on what waits for it.
// Trusts its connection to frame it. Specified in RFC 9112; the bound in docs/gateway.md (listen).
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { HeldPieces } from "@sallyport/kernel/http1/held-pieces.ts";

/** Content that nobody has taken yet; beyond it the connection is read no further. */
export const contentWaitingBytesMax = 64 * 1024;
/** What a waiting piece counts beside its octets: many tiny ones cost more than they hold. */
const pieceBytes = 256;

/** Told in order: `data` any number of times, then `end` or `gone`, once. */
export interface ContentTaker {
  data(piece: Buffer): void;
  end(): void;
  /** The caller went away, or its content turned out to be none: there will be no more. */
  gone(): void;
}

/** Where the content comes from. */
export interface ContentSource {
  readonly socket: Socket;
  /** No more until `resumeContent`: what has been read already may still come. */
  pauseContent(): void;
  resumeContent(): void;
}

export interface IncomingHead {
  readonly method: string;
  /** The request target as received. */
  readonly url: string;
  /** `1.1` */
  readonly httpVersion: string;
  /** Names and values alternating, as received. */
  readonly rawHeaders: readonly string[];
  /** No content follows. */
  readonly complete: boolean;
}

export class Incoming {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
  /** The whole request has come. */
  complete: boolean;
  /** It never will: the connection is gone. */
  destroyed = false;
  readonly #source: ContentSource;
  readonly #waiting = new HeldPieces();
  #takenBytes = 0;
  #taker: ContentTaker | null = null;
  #isPaused = false;

  constructor(head: IncomingHead, source: ContentSource) {
    this.method = head.method;
    this.url = head.url;
    this.httpVersion = head.httpVersion;
    this.rawHeaders = head.rawHeaders;
    this.complete = head.complete;
    this.#source = source;
  }

  get socket(): Socket {
    return this.#source.socket;
  }

  /** Names in lower case, each once, in order of arrival. */
  fieldNames(): string[] {
    return [...new Set(this.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()))];
  }

  /** What waits and what comes goes to this taker, in place of the one before. May call it before returning. */
  take(taker: ContentTaker): void {
    this.#taker = taker;
    this.resume();
  }

  /**
   * The whole content, where all of it has come, in one piece of at most `bytesMax` that nobody has taken: then there is nothing to wait for.
   * Null: it has to be taken as it comes.
   */
  takeWhole(bytesMax: number): Buffer | null {
    if (!this.complete || this.#isPaused || this.#taker !== null || this.#takenBytes > 0) return null;
    if (this.#waiting.count !== 1 || this.#waiting.bytes > bytesMax) return null;
    this.#takenBytes = this.#waiting.bytes;
    return this.#waiting.shift() ?? null;
  }

  /** Nobody takes any more: what comes waits, up to its bound. */
  leave(): void {
    this.#taker = null;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    while (!this.#isPaused && this.#taker !== null) {
      const piece = this.#waiting.shift();
      if (piece === undefined) break;
      this.#takenBytes += piece.length;
      this.#taker.data(piece);
    }
    if (this.#waiting.count > 0 || this.#isPaused) return;
    if (this.complete) this.#end();
    else if (this.destroyed) this.#gone();
    else this.#source.resumeContent();
  }

  /** The content as a stream: it ends when the request is whole, and is destroyed with an error when it never will be. */
  stream(): Readable {
    const stream = new Readable({
      read: () => this.resume(),
      destroy: (error, done) => {
        this.leave();
        done(error);
      },
    });
    this.take({
      data: (piece) => {
        if (!stream.push(piece)) this.pause();
      },
      end: () => stream.push(null),
      gone: () => stream.destroy(new Error("client-aborted")),
    });
    return stream;
  }

  /** From the connection: the next piece. */
  push(piece: Buffer): void {
    if (this.#taker !== null && !this.#isPaused && this.#waiting.count === 0) {
      this.#takenBytes += piece.length;
      this.#taker.data(piece);
      return;
    }
    this.#waiting.push(piece);
    if (this.#waiting.bytes + this.#waiting.count * pieceBytes > contentWaitingBytesMax) this.#source.pauseContent();
  }

  /** From the connection: that was the last piece. */
  finish(): void {
    this.complete = true;
    if (this.#waiting.count === 0 && !this.#isPaused) this.#end();
  }

  /** From the connection: there is none any more, or it is not read any further. */
  lose(): void {
    if (this.complete || this.destroyed) return;
    this.destroyed = true;
    this.#waiting.clear();
    this.#gone();
  }

  #end(): void {
    const taker = this.#taker;
    this.#taker = null;
    taker?.end();
  }

  #gone(): void {
    const taker = this.#taker;
    this.#taker = null;
    taker?.gone();
  }
}
