// Promises content sent as it comes, no faster than the provider takes it and neither more nor less of it than its head said.
// Trusts the head that was written. Specified by RFC 9112 §6.2 and §7.1.
import type { Socket } from "node:net";
import type { StreamedContent } from "./upstream-port.ts";

export interface SentContentOptions {
  readonly socket: Socket;
  /** So many bytes are about to be written; false: they must not be. */
  about(bytes: number): boolean;
  /** The content is not what its head says, or will not come. */
  wrong(why: string): void;
}

export class SentContent {
  readonly #stream: StreamedContent["stream"];
  readonly #options: SentContentOptions;
  /** Bytes still owed; null: chunked. */
  #left: number | null;
  #isOver = false;
  isDone = false;
  readonly #drained: () => void;

  constructor(content: StreamedContent, options: SentContentOptions) {
    this.#stream = content.stream;
    this.#options = options;
    this.#left = content.length;
    this.#drained = () => void this.#stream.resume();
    options.socket.on("drain", this.#drained);
    this.#stream
      .on("data", (chunk: Buffer) => this.#write(chunk))
      .once("end", () => this.#end())
      .once("error", () => this.#wrong("the content of the request was given up"))
      .once("close", () => this.#wrong("the content of the request was given up"));
  }

  /** Nothing more is sent. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.socket.off("drain", this.#drained);
    this.#stream.destroy();
  }

  #write(chunk: Buffer): void {
    if (this.#isOver || chunk.length === 0) return;
    if (this.#left !== null) {
      this.#left -= chunk.length;
      if (this.#left < 0) {
        this.#wrong("the request has more content than it said");
        return;
      }
    }
    if (!this.#options.about(chunk.length) || this.#isOver) return;
    const { socket } = this.#options;
    if (this.#left === null) {
      socket.cork();
      socket.write(`${chunk.length.toString(16)}\r\n`, "latin1");
      socket.write(chunk);
      socket.write("\r\n", "latin1");
      socket.uncork();
    } else socket.write(chunk);
    // The socket's own bound (64 KiB); its `drain` resumes.
    if (socket.writableNeedDrain) this.#stream.pause();
  }

  #end(): void {
    if (this.#isOver) return;
    if (this.#left !== null && this.#left > 0) {
      this.#wrong("the request has less content than it said");
      return;
    }
    if (this.#left === null) this.#options.socket.write("0\r\n\r\n", "latin1");
    this.#isOver = true;
    this.isDone = true;
    this.#options.socket.off("drain", this.#drained);
  }

  #wrong(why: string): void {
    if (this.#isOver) return;
    this.stop();
    this.#options.wrong(why);
  }
}
