// Promises that the HTTP/2 library sees of a peer's octets only what the guard has let pass, and that what it says leaves as it is, with
// back-pressure both ways. Trusts the guard for what passes. Specified in docs/http2.md (what is read where).
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/** Stands for a connection to the library; whoever reads the connection calls `pass`. */
export class GuardedSocket extends Duplex {
  readonly #socket: Socket;
  readonly #sent: (bytes: number) => void;
  #hasLeft = false;

  constructor(socket: Socket, sent: (bytes: number) => void) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#sent = sent;
    socket.on("close", () => this.destroy());
  }

  pass(octets: Buffer): void {
    if (!this.push(octets)) this.#socket.pause();
  }

  /** The library says nothing more; the connection goes on without it. */
  leave(): void {
    this.#hasLeft = true;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(octets: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#hasLeft) {
      done();
      return;
    }
    this.#sent(octets.length);
    this.#socket.write(octets, done);
  }

  override _writev(pieces: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    if (this.#hasLeft) {
      done();
      return;
    }
    this.#socket.cork();
    for (const [i, { chunk }] of pieces.entries()) {
      this.#sent(chunk.length);
      if (i === pieces.length - 1) this.#socket.write(chunk, done);
      else this.#socket.write(chunk);
    }
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#hasLeft) done();
    else this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#hasLeft) this.#socket.destroy();
    done(error);
  }
}
