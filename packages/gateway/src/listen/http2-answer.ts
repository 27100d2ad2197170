// Promises one answer on one stream: one head, content as its head says and not an octet more or less, or a reset stream; an answer that ends early
// never looks whole. Trusts nobody's fields: a line end in one is a bug and throws. Specified in RFC 9113 §8.1 and §8.3.2.
import { constants, type ServerHttp2Stream } from "node:http2";
import { AnswerLines, fieldLine } from "@sallyport/kernel/http1/answer-text.ts";
import type { CallerAnswer } from "./caller-answer.ts";
import { lastWordMs } from "./http2-bounds.ts";

const noLines = new AnswerLines([]);

/** The connection of a stream. */
export interface StreamOwner {
  /** This answer says that no other is to come on its connection. */
  windDown(): void;
  /** The last octet was handed over. */
  answered(): void;
  /** Ends the stream with this error code; nobody wants what still comes on it. */
  giveUp(code: number): void;
}

/** Octets of content still owed; `any`: as many as come; `none`: this answer has no content, whatever is written. */
type Owed = number | "any" | "none";

export class Http2Answer implements CallerAnswer {
  shouldKeepAlive = true;
  headersSent = false;
  writableEnded = false;
  writableFinished = false;
  destroyed = false;
  readonly #stream: ServerHttp2Stream;
  readonly #owner: StreamOwner;
  readonly #toHead: boolean;
  /** Not written yet: it leaves with the first content. */
  #head: string[] | null = null;
  #owed: Owed = "none";
  /** Null: it ends with its content. */
  #trailers: readonly string[] | null = null;
  #isWaitingForTrailers = false;

  constructor(stream: ServerHttp2Stream, owner: StreamOwner, options: { readonly toHead: boolean }) {
    this.#stream = stream;
    this.#owner = owner;
    this.#toHead = options.toHead;
  }

  writeContinue(): void {
    if (!this.headersSent && this.#isOpen()) this.#stream.additionalHeaders({ ":status": 100 });
  }

  writeHead(status: number, headers: readonly string[], common: AnswerLines = noLines): void {
    if (this.headersSent) throw new Error("an answer has one head");
    const head = [":status", String(status), ...AnswerLines.fieldsOf(common)];
    let length: number | null = null;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] ?? "";
      const value = headers[i + 1] ?? "";
      if (name === "connection") {
        if (value === "close") this.shouldKeepAlive = false;
        continue;
      }
      if (name === "transfer-encoding") throw new TypeError("how an answer is framed is not for its fields to say");
      if (name === "content-length") length = Number(value);
      // Throws for what is no field.
      fieldLine(name, value);
      head.push(name, value);
    }
    if (length !== null && !(Number.isSafeInteger(length) && length >= 0)) throw new RangeError("no content length");
    if (this.#toHead || status === 204 || status === 304) this.#owed = "none";
    else this.#owed = length ?? "any";
    this.#head = head;
    this.headersSent = true;
    if (!this.shouldKeepAlive) this.#owner.windDown();
  }

  write(content: Buffer): boolean {
    if (this.writableEnded || !this.#isOpen()) return false;
    this.#sendHead(false);
    if (this.#owed === "none" || content.length === 0) return true;
    return this.#owes(content.length) && this.#stream.write(content);
  }

  end(content?: string | Buffer): void {
    if (this.writableEnded || !this.#isOpen()) return;
    const octets = typeof content === "string" ? Buffer.from(content) : content;
    const length = this.#owed === "none" ? 0 : (octets?.length ?? 0);
    if (this.#owed === "any" && this.#head !== null) {
      // All of it is here before anything was sent.
      this.#owed = length;
      this.#head.push("content-length", String(length));
    }
    if (!this.#owes(length)) return;
    if (typeof this.#owed === "number" && this.#owed > 0) {
      // Fewer than announced: it must look cut short.
      this.destroy();
      return;
    }
    this.writableEnded = true;
    this.#sendHead(length === 0);
    if (length > 0) this.#stream.end(octets);
    else this.#stream.end();
    this.#owner.answered();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#owner.giveUp(constants.NGHTTP2_INTERNAL_ERROR);
  }

  expectTrailers(): void {
    this.#trailers = [];
  }

  endWith(trailers: readonly string[]): void {
    if (this.writableEnded || !this.#isOpen()) return;
    // Throws for what is no field.
    for (let i = 0; i + 1 < trailers.length; i += 2) fieldLine(trailers[i] ?? "", trailers[i + 1] ?? "");
    this.writableEnded = true;
    this.#trailers = trailers;
    // Without content and without more to say, one block says it all.
    this.#sendHead(trailers.length === 0);
    this.#stream.end();
    this.#owner.answered();
  }

  /** Told once everything was handed over to the library; after `end` or `endWith`. */
  whenSent(told: () => void): void {
    if (this.#isWaitingForTrailers) this.#stream.once("wantTrailers", () => setImmediate(told));
    else this.#stream.once("finish", told);
  }

  #sendTrailers(): void {
    const fields: Record<string, string[]> = {};
    const trailers = this.#trailers ?? [];
    for (let i = 0; i + 1 < trailers.length; i += 2) {
      const name = trailers[i] ?? "";
      fields[name] = [...(fields[name] ?? []), trailers[i + 1] ?? ""];
    }
    this.#stream.sendTrailers(fields);
  }

  /** HTTP/2 knows no Upgrade (RFC 9113 §8.6). */
  switchProtocols(): null {
    return null;
  }

  cutBehind(content: Buffer): void {
    if (this.writableEnded || !this.#isOpen()) return;
    this.#sendHead(false);
    this.destroyed = true;
    const stream = this.#stream;
    const cut = (): void => {
      clearTimeout(limit);
      this.#owner.giveUp(constants.NGHTTP2_INTERNAL_ERROR);
    };
    // Its caller may not take it.
    const limit = setTimeout(cut, lastWordMs).unref();
    if (this.#owed !== "any") cut();
    else stream.write(content, cut);
  }

  get writableNeedDrain(): boolean {
    return this.#stream.writableNeedDrain;
  }

  once(_event: "drain", told: () => void): void {
    this.#stream.once("drain", told);
  }

  /** A stream that the library has closed is one whose caller went away; who waits for it is told by its end. */
  #isOpen(): boolean {
    return !this.destroyed && !this.#stream.destroyed && !this.#stream.closed;
  }

  #sendHead(endStream: boolean): void {
    if (this.#head === null) return;
    const waitForTrailers = this.#trailers !== null && !endStream;
    this.#stream.respond(this.#head, { endStream, waitForTrailers });
    this.#isWaitingForTrailers = waitForTrailers;
    if (waitForTrailers) this.#stream.once("wantTrailers", () => this.#sendTrailers());
    this.#head = null;
  }

  /** Counts down what is owed; false, and cut, where there would be more than announced. */
  #owes(length: number): boolean {
    if (typeof this.#owed !== "number") return true;
    this.#owed -= length;
    if (this.#owed >= 0) return true;
    this.destroy();
    return false;
  }
}
