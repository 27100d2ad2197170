// Promises the octets of a connection that stopped being HTTP, in order, to one taker, with back-pressure both ways and one word when there are no more.
// Trusts its owner for the socket. For WebSocket; specified in RFC 9110 §7.8.
import type { Socket } from "node:net";

/** Told in order; nothing after `ended`. */
export interface TunnelTaker {
  /** The taker's own. */
  data(octets: Buffer): void;
  /** What was written has left: go on. */
  drained(): void;
  /** The other side ended, or broke. */
  ended(): void;
}

export interface ByteTunnel {
  /** What waits and what comes goes to this taker. */
  take(taker: TunnelTaker): void;
  /** False: wait for `drained`. */
  write(octets: Buffer): boolean;
  pause(): void;
  resume(): void;
  /** What was written still leaves, for a moment. */
  end(): void;
  /** Nothing more leaves. */
  destroy(): void;
}

/** What its owner does with the connection. */
export interface TunnelOwner {
  readonly socket: Socket;
  pauseContent(): void;
  resumeContent(): void;
  endTunnel(): void;
  cut(): void;
}

/** One over a socket whose owner goes on reading it. */
export class SocketTunnel implements ByteTunnel {
  readonly #owner: TunnelOwner;
  #taker: TunnelTaker | null = null;
  #waiting: Buffer[] = [];
  #isPaused = true;
  #isOver = false;
  #isLost = false;

  /** Reads nothing until it is taken. */
  constructor(owner: TunnelOwner) {
    this.#owner = owner;
    owner.pauseContent();
    owner.socket.on("drain", () => {
      if (!this.#isOver && !this.#isLost) this.#taker?.drained();
    });
  }

  take(taker: TunnelTaker): void {
    this.#taker = taker;
    this.resume();
  }

  write(octets: Buffer): boolean {
    const { socket } = this.#owner;
    return this.#isOver || socket.destroyed || !socket.writable || socket.write(octets);
  }

  pause(): void {
    this.#isPaused = true;
    this.#owner.pauseContent();
  }

  resume(): void {
    this.#isPaused = false;
    while (!this.#isPaused && !this.#isOver) {
      const octets = this.#waiting.shift();
      if (octets === undefined) break;
      this.#taker?.data(octets);
    }
    if (this.#isOver || this.#isPaused) return;
    if (this.#isLost) this.#tell();
    else this.#owner.resumeContent();
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting = [];
    this.#owner.endTunnel();
  }

  destroy(): void {
    this.#isOver = true;
    this.#waiting = [];
    this.#owner.cut();
  }

  /** From the owner: the next octets, which nobody writes into again. At most one read comes while it is paused. */
  push(octets: Buffer): void {
    if (this.#isOver) return;
    if (this.#taker === null || this.#isPaused) this.#waiting.push(octets);
    else this.#taker.data(octets);
  }

  /** From the owner: there are no more. */
  lost(): void {
    if (this.#isLost || this.#isOver) return;
    this.#isLost = true;
    if (this.#taker !== null && this.#waiting.length === 0) this.#tell();
  }

  #tell(): void {
    const taker = this.#taker;
    this.#taker = null;
    taker?.ended();
  }
}
