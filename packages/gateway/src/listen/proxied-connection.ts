// Promises that behind a load balancer a connection begins with its word about where it came from, once and in time, before TLS and before HTTP; a
// connection without it ends unanswered. Trusts the TCP peer's address and the networks its operator named. Specified in docs/behind-a-proxy.md.
import type { Socket } from "node:net";
import { plainAddress, type TrustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import { type Source, sourceOf } from "../admit/source-prefix.ts";
import type { ListedConnection } from "./listed-connection.ts";
import { readProxyHeader, restLength, startBytes } from "./proxy-header.ts";

/** Why a connection behind a balancer ended before it was one; `late`: its header did not come in time. */
export type ProxyRefusal = "proxy-untrusted" | "proxy-missing" | "proxy-malformed" | "proxy-late";

export interface ProxiedHost {
  readonly headersTimeoutMs: number;
  /** The connection may begin; nothing behind the header has been taken. */
  told(connection: ProxiedConnection, source: Source): void;
  refused(reason: ProxyRefusal): void;
  ended(connection: ProxiedConnection): void;
}

export const isProxy = (proxies: TrustedProxies, { remoteAddress = "" }: Pick<Socket, "remoteAddress">): boolean =>
  proxies.isTrusted(plainAddress(remoteAddress) ?? "");

/** A connection of a proxy until its header has come. */
export class ProxiedConnection implements ListedConnection {
  readonly socket: Socket;
  before: ListedConnection | null = null;
  behind: ListedConnection | null = null;
  readonly dueAtMs: number;
  readonly #host: ProxiedHost;
  readonly #peer: Source;
  #start: Buffer | null = null;
  #restBytes = 0;
  readonly #read = (): void => this.#readHeader();
  readonly #lost = (): void => this.#cutShort();
  readonly #closed = (): void => this.#host.ended(this);

  constructor(socket: Socket, host: ProxiedHost) {
    this.socket = socket;
    this.#host = host;
    this.#peer = sourceOf(socket.remoteAddress);
    this.dueAtMs = performance.now() + host.headersTimeoutMs;
    // Stays: whoever takes over the connection may do so a turn later.
    socket.on("error", () => socket.destroy());
    socket.on("readable", this.#read);
    socket.on("end", this.#lost);
    socket.on("close", this.#closed);
  }

  cut(): void {
    this.socket.destroy();
  }

  overdue(): void {
    this.#refuse("proxy-late");
  }

  #readHeader(): void {
    if (this.#start === null) {
      const start: Buffer | null = this.socket.read(startBytes);
      if (start === null) return;
      const rest = restLength(start);
      if (typeof rest === "string") {
        this.#refuse(`proxy-${rest}`);
        return;
      }
      this.#start = start;
      this.#restBytes = rest;
    }
    const rest: Buffer | null = this.#restBytes === 0 ? Buffer.alloc(0) : this.socket.read(this.#restBytes);
    if (rest === null) return;
    const told = rest.length < this.#restBytes ? "malformed" : readProxyHeader(Buffer.concat([this.#start, rest]));
    if (typeof told === "string") this.#refuse(`proxy-${told}`);
    else this.#go(told.address === null ? this.#peer : sourceOf(told.address));
  }

  #go(source: Source): void {
    this.#leave();
    this.#host.ended(this);
    this.#host.told(this, source);
  }

  /** A peer that went without a word was no caller: balancers look so whether somebody listens. */
  #cutShort(): void {
    if (this.socket.bytesRead === 0) this.cut();
    else this.#refuse("proxy-malformed");
  }

  #refuse(reason: ProxyRefusal): void {
    this.#leave();
    this.#host.ended(this);
    this.#host.refused(reason);
    this.cut();
  }

  #leave(): void {
    this.socket.off("readable", this.#read);
    this.socket.off("end", this.#lost);
    this.socket.off("close", this.#closed);
  }
}

/** Of TLS connections under way: a socket over TLS shows only the addresses of the one below it. One listener's. */
export class ToldSources {
  readonly #sources = new Map<string, Source>();

  keep(socket: Socket, source: Source): void {
    const key = keyOf(socket);
    // Its own, so that no earlier connection's end takes it away.
    const kept = { ...source };
    this.#sources.set(key, kept);
    socket.once("close", () => {
      if (this.#sources.get(key) === kept) this.#sources.delete(key);
    });
  }

  of(secured: Socket): Source | undefined {
    return this.#sources.size === 0 ? undefined : this.#sources.get(keyOf(secured));
  }
}

/** No two connections of a listener have these in common while both are open. */
const keyOf = ({ remoteAddress, remotePort, localAddress }: Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress}`;
