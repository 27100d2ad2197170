// Promises the replies of a mail server one by one, each whole, bounded in lines and time; and what it sent beyond them. Trusts nothing that is read.
// Specified by RFC 5321 §4.2.
import type { Socket } from "node:net";
import { SinkFault } from "../../audit/export/sink.ts";

const linesMax = 64;
const bytesMax = 16_384;

export interface Reply {
  readonly code: number;
  /** Text of each line, without code and mark. */
  readonly lines: readonly string[];
  /** The enhanced status code (RFC 3463) it begins with; empty: none. */
  readonly enhanced: string;
}

export class SmtpReplies {
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  #bytes: Buffer = Buffer.alloc(0);
  #fault: SinkFault | null = null;
  #wake: () => void = () => undefined;
  readonly #data = (chunk: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (this.#bytes.length > bytesMax) this.#fail("said more than a reply can hold");
    this.#wake();
  };
  readonly #ended = (): void => this.#fail("closed the connection");

  constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    socket.on("data", this.#data);
    socket.on("end", this.#ended);
    socket.on("close", this.#ended);
    socket.on("error", this.#ended);
  }

  /** The next reply. Throws SinkFault. */
  async next(): Promise<Reply> {
    const timer = setTimeout(() => this.#fail(`said nothing for ${this.#timeoutMs / 1_000} s`), this.#timeoutMs);
    try {
      for (;;) {
        const reply = this.#take();
        if (reply !== null) return reply;
        if (this.#fault !== null) throw this.#fault;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Stops reading; resolves what was read beyond the last reply. The socket goes on. */
  detach(): Uint8Array {
    this.#socket.pause();
    this.#socket.off("data", this.#data);
    this.#socket.off("end", this.#ended);
    this.#socket.off("close", this.#ended);
    this.#socket.off("error", this.#ended);
    return this.#bytes;
  }

  #take(): Reply | null {
    const text = this.#bytes.toString("latin1");
    const lines: string[] = [];
    for (let from = 0; ; ) {
      const end = text.indexOf("\r\n", from);
      if (end < 0) return null;
      const [, code = "", mark = "", said = ""] = /^([2-5][0-9]{2})(?:([ -])(.*))?$/.exec(text.slice(from, end)) ?? [];
      if (code === "" || lines.length >= linesMax) throw new SinkFault("what answers is no mail server");
      lines.push(said);
      from = end + 2;
      if (mark === "-") continue;
      this.#bytes = this.#bytes.subarray(from);
      const enhanced = /^[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)/.exec(said)?.[0] ?? "";
      return { code: Number(code), lines, enhanced };
    }
  }

  #fail(what: string): void {
    this.#fault ??= new SinkFault(`the mail server ${what}`);
    this.#wake();
  }
}
