// Promises one answer to one request: one head, content as its framing says and not an octet more or less, or a cut connection.
// An answer that ends early never looks whole. Trusts nobody's fields: a line end in one is a bug and throws. Specified in RFC 9112 §6-7 and §9.
import type { Socket } from "node:net";
import type { ByteTunnel } from "@sallyport/kernel/dial/byte-tunnel.ts";
import { AnswerLines, continueText, dateLine, fieldLine, statusLine } from "@sallyport/kernel/http1/answer-text.ts";

/** A held answer up to this size leaves in one write with its head, copied; a larger one goes beside it, uncopied. */
const oneWriteBytesMax = 16 * 1024;
const noLines = new AnswerLines([]);
const lastChunk = "0\r\n\r\n";

/** The connection an answer is written to. */
export interface AnswerOwner {
  readonly socket: Socket;
  /** Field lines of an answer after which another request may come. */
  readonly keepAliveLines: string;
  /** The last octet has been handed over: tell `finished` when it has left. */
  readonly whenFlushed: (error?: Error | null) => void;
  /** The last octet waits for the caller to take what was sent. */
  waitsForFlush(): void;
  /** Ends the connection at once. */
  cut(): void;
  /** Writes `head` and hands the connection over; null, and nothing written, where something came behind the request. */
  switchProtocols(head: string): ByteTunnel | null;
  /** Ends the connection once what was written has left, or a moment later. */
  cutSoon(): void;
}

/** Octets of content still owed; `chunked`: as many as come; `none`: this answer has no content, whatever is written. */
type Owed = number | "chunked" | "none";

/** What a crossing answers to, whichever version of HTTP its caller speaks. */
export interface CallerAnswer {
  /** False once its connection serves nothing more; counts until the head is written. */
  shouldKeepAlive: boolean;
  readonly headersSent: boolean;
  /** `end` was called. */
  readonly writableEnded: boolean;
  /** Its last octet was taken by the system. */
  readonly writableFinished: boolean;
  /** Nothing can be written any more. */
  readonly destroyed: boolean;
  /** What was written waits for the caller to take it. */
  readonly writableNeedDrain: boolean;
  /** Interim answer, where the final one has not begun. */
  writeContinue(): void;
  /** The final head. `headers`: names and values alternating, behind `common`; `connection: close` among them ends the connection with this answer. */
  writeHead(status: number, headers: readonly string[], common?: AnswerLines): void;
  /** False: wait for the drain before the next one. */
  write(content: Buffer): boolean;
  /** The rest of the content, and the end. Content that does not fit what the head said cuts the answer. */
  end(content?: string | Buffer): void;
  /** Nothing more is sent, and what was begun looks cut short. */
  destroy(): void;
  /** Nothing more is sent behind this last piece, and the answer looks cut short: it never ends as a whole one. */
  cutBehind(content: Buffer): void;
  /**
   * The last octets of HTTP on its connection, which is the tunnel's from here on. Null, and nothing written, where it cannot be: something came behind the
   * request, or the version of HTTP has no such switch. `headers`: beside those of the switch, behind `common`.
   */
  switchProtocols(headers: readonly string[], common?: AnswerLines): ByteTunnel | null;
  /** Before the first content: the answer ends with `endWith`, never with `end`. HTTP/2 alone; over HTTP/1.1 there is no such answer. */
  expectTrailers(): void;
  /** The end, with fields behind the content: names in lower case and values alternating. */
  endWith(trailers: readonly string[]): void;
  /** Told once, when more is taken. */
  once(event: "drain", told: () => void): void;
}

export class Http1Answer implements CallerAnswer {
  shouldKeepAlive = true;
  headersSent = false;
  writableEnded = false;
  writableFinished = false;
  destroyed = false;
  readonly #owner: AnswerOwner;
  readonly #toHead: boolean;
  /** Not written yet: it leaves with the first content. */
  #head = "";
  #owed: Owed = "none";
  #drained: (() => void) | null = null;

  constructor(owner: AnswerOwner, options: { readonly toHead: boolean }) {
    this.#owner = owner;
    this.#toHead = options.toHead;
  }

  /** Interim answer, where the final one has not begun. */
  writeContinue(): void {
    if (!this.headersSent && !this.destroyed) this.#owner.socket.write(continueText, "latin1");
  }

  /** The final head. `headers`: names and values alternating, behind `common`; `connection: close` among them ends the connection with this answer. */
  writeHead(status: number, headers: readonly string[], common: AnswerLines = noLines): void {
    if (this.headersSent) throw new Error("an answer has one head");
    let lines = statusLine(status) + AnswerLines.textOf(common);
    let length: number | null = null;
    let { hasDate } = common;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i] ?? "";
      const value = headers[i + 1] ?? "";
      if (name === "connection") {
        // Ours alone to say, and only one thing is said by others.
        if (value === "close") this.shouldKeepAlive = false;
        continue;
      }
      if (name === "content-length") length = Number(value);
      else if (name === "date") hasDate = true;
      else if (name === "transfer-encoding")
        throw new TypeError("how an answer is framed is not for its fields to say");
      lines += fieldLine(name, value);
    }
    if (length !== null && !(Number.isSafeInteger(length) && length >= 0)) throw new RangeError("no content length");
    if (this.#toHead || status === 204 || status === 304) this.#owed = "none";
    else this.#owed = length ?? "chunked";
    if (!hasDate) lines += dateLine(Date.now());
    this.#head = lines;
    this.headersSent = true;
  }

  /** False: wait for the drain before the next one. */
  write(content: Buffer): boolean {
    if (this.destroyed || this.writableEnded) return false;
    const { socket } = this.#owner;
    const head = this.#takeHead();
    if (this.#owed === "none" || content.length === 0) return head === "" || socket.write(head, "latin1");
    if (!this.#owes(content.length)) return false;
    socket.cork();
    if (head !== "") socket.write(head, "latin1");
    if (this.#owed === "chunked") socket.write(`${content.length.toString(16)}\r\n`, "latin1");
    const flows = socket.write(content);
    const stillFlows = this.#owed === "chunked" ? socket.write("\r\n", "latin1") : flows;
    socket.uncork();
    return stillFlows;
  }

  /** The rest of the content, and the end. Content that does not fit what the head said cuts the connection. */
  end(content?: string | Buffer): void {
    if (this.destroyed || this.writableEnded) return;
    const octets = typeof content === "string" ? Buffer.from(content) : content;
    if (this.#owed === "chunked" && this.#head === "") {
      this.#endChunked(octets);
      return;
    }
    if (this.#owed === "chunked") {
      // All of it is here before anything was sent.
      this.#owed = octets?.length ?? 0;
      this.#head += `content-length: ${this.#owed}\r\n`;
    }
    const length = this.#owed === "none" ? 0 : (octets?.length ?? 0);
    if (!this.#owes(length)) return;
    if (this.#owed !== "none" && this.#owed > 0) {
      // Fewer than announced: it must look cut short.
      this.destroy();
      return;
    }
    this.writableEnded = true;
    this.#last(this.#takeHead(), length === 0 ? undefined : octets);
  }

  #endChunked(octets: Buffer | undefined): void {
    if (octets !== undefined) this.write(octets);
    this.writableEnded = true;
    this.#last(lastChunk, undefined);
  }

  #last(text: string, octets: Buffer | undefined): void {
    const { socket, whenFlushed } = this.#owner;
    if (octets === undefined) socket.write(text, "latin1", whenFlushed);
    else if (octets.length > oneWriteBytesMax) {
      socket.cork();
      socket.write(text, "latin1");
      socket.write(octets, whenFlushed);
      socket.uncork();
    } else {
      const whole = Buffer.allocUnsafe(text.length + octets.length);
      whole.write(text, "latin1");
      octets.copy(whole, text.length);
      socket.write(whole, whenFlushed);
    }
    if (socket.writableLength > 0) this.#owner.waitsForFlush();
  }

  /** Nothing more is sent, and what was begun looks cut short. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#owner.cut();
  }

  switchProtocols(headers: readonly string[], common: AnswerLines = noLines): ByteTunnel | null {
    if (this.headersSent || this.destroyed) return null;
    let text = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${AnswerLines.textOf(common)}`;
    for (let i = 0; i + 1 < headers.length; i += 2) text += fieldLine(headers[i] ?? "", headers[i + 1] ?? "");
    const tunnel = this.#owner.switchProtocols(`${text}\r\n`);
    if (tunnel === null) return null;
    this.headersSent = true;
    this.writableEnded = true;
    return tunnel;
  }

  cutBehind(content: Buffer): void {
    if (this.destroyed) return;
    this.write(content);
    if (this.destroyed) return;
    this.destroyed = true;
    this.#owner.cutSoon();
  }

  expectTrailers(): void {
    throw new Error("trailers are not sent over HTTP/1.1");
  }

  endWith(): void {
    throw new Error("trailers are not sent over HTTP/1.1");
  }

  get writableNeedDrain(): boolean {
    return this.#owner.socket.writableNeedDrain;
  }

  /** Told once, when the socket takes more. */
  once(_event: "drain", told: () => void): void {
    this.#drained = told;
  }

  /** From the connection: the socket takes more. */
  drained(): void {
    const told = this.#drained;
    this.#drained = null;
    told?.();
  }

  /** Counts down what is owed; false, and cut, where there would be more than announced. */
  #owes(length: number): boolean {
    if (typeof this.#owed !== "number") return true;
    this.#owed -= length;
    if (this.#owed >= 0) return true;
    this.destroy();
    return false;
  }

  #takeHead(): string {
    let head = this.#head;
    if (head === "") return "";
    this.#head = "";
    if (this.#owed === "chunked") head += "transfer-encoding: chunked\r\n";
    return `${head}${this.shouldKeepAlive ? this.#owner.keepAliveLines : "connection: close\r\n"}\r\n`;
  }
}
