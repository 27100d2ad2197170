// Promises one keep-alive connection that sends prepared bytes and judges each answer, at the least cost a client can have.
// Trusts answers to be framed by Content-Length; anything else counts as an error. Specified by RFC 9112 §6.
import { connect, type Socket } from "node:net";
import { upstreamContent } from "./roles.ts";

const headersEnd = Buffer.from("\r\n\r\n");
const okLine = Buffer.from("HTTP/1.1 200 ");
const content = Buffer.from(upstreamContent);
const length = /\r\ncontent-length: *(\d+)/i;
const shownCharacters = 400;

export interface Judge {
  answered(): void;
  /** The connection is of no use any more. */
  failed(why: string): void;
  /** What a good answer has; absent: what the upstream sends. */
  readonly expected?: Buffer | undefined;
}

export class RawConnection {
  readonly #socket: Socket;
  readonly #judge: Judge;
  #rest: Buffer | null = null;
  #over = false;

  private constructor(socket: Socket, judge: Judge) {
    this.#socket = socket;
    this.#judge = judge;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", (cause) => this.#fail(cause.message));
    socket.on("close", () => this.#fail("the connection was closed"));
  }

  static open(port: number, judge: Judge): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawConnection(socket, judge));
      });
    });
  }

  send(request: Buffer): void {
    this.#socket.write(request);
  }

  close(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  #fail(why: string): void {
    if (this.#over) return;
    this.close();
    this.#judge.failed(why);
  }

  #take(chunk: Buffer): void {
    if (this.#over) return;
    const received = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    const head = received.indexOf(headersEnd);
    const declared = head < 0 ? undefined : length.exec(received.toString("latin1", 0, head))?.[1];
    const end = declared === undefined ? Number.POSITIVE_INFINITY : head + headersEnd.length + Number(declared);
    if (head >= 0 && declared === undefined) {
      this.#fail(`unframed: ${received.toString("latin1", 0, head)}`);
      return;
    }
    if (received.length < end) {
      this.#rest = received;
      return;
    }
    this.#rest = null;
    const isGood =
      received.length === end &&
      received.compare(okLine, 0, okLine.length, 0, okLine.length) === 0 &&
      received.subarray(head + headersEnd.length).equals(this.#judge.expected ?? content);
    if (isGood) this.#judge.answered();
    else this.#fail(received.toString("latin1", 0, shownCharacters));
  }
}
