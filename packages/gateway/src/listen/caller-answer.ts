// Promises one answer to one request: one head, content as its framing says and not an octet more or less, or a cut connection.
// An answer that ends early never looks whole. Trusts nobody's fields: a line end in one is a bug and throws. Specified in RFC 9112 §6-7 and §9.
import type { Socket } from "node:net";
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
}

/** Octets of content still owed; `chunked`: as many as come; `none`: this answer has no content, whatever is written. */
type Owed = number | "chunked" | "none";

export class CallerAnswer {
  /** False once this connection serves nothing more; counts until the head is written. */
  shouldKeepAlive = true;
  headersSent = false;
  /** `end` was called. */
  writableEnded = false;
  /** Its last octet was taken by the system. */
  writableFinished = false;
  /** Nothing can be written any more. */
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
