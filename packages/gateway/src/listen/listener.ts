// Promises HTTP/1.1 and nothing else on one address: no upgrade, no tunnel, no HTTP/2, every bound set, every refusal answered once and recorded.
// A client certificate is asked for and judged later (`identify`), so that a bad one is a recorded denial and not a silent handshake failure.
// Trusts kernel/http1 for what is a request, and OpenSSL. Specified in RFC 9112, docs/gateway.md (listen), docs/decisions/0020-own-http-front.md.

import { constants } from "node:crypto";
import { type AddressInfo, createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import type { BoundListener } from "../exchange.ts";
import { GatewayFault, type ListenBounds, type ListenerOptions } from "../ports.ts";
import { Connection, type ConnectionHost, type ListenerHandler } from "./connection.ts";
import { sharedReadBytes } from "./shared-reads.ts";

/** Milliseconds between looks at waits that last too long: a tenth of the shortest bound, at least 50. */
const checkEvery = (bounds: ListenBounds): number =>
  Math.max(50, Math.min(1_000, Math.floor(Math.min(bounds.headersTimeoutMs, bounds.requestTimeoutMs) / 10)));

/** A turn of the event loop in which nothing happened is shorter than this. */
const calmTurnMs = 0.1;
/** Longest wait for such a turn before a listener is closed. */
const emptyQueueMsMax = 200;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #bounds: ListenBounds;
  readonly #handler: ListenerHandler;
  readonly #server: Server | TlsServer;
  readonly #host: ConnectionHost;
  /** First of a linked list. Not a Set: with entries coming and going it keeps a chain of its former tables, and with them connections, alive. */
  #first: Connection | null = null;
  #looks: NodeJS.Timeout | null = null;
  #bound: BoundListener;
  #tls: ListenerOptions["tls"];
  #roots: readonly string[] = [];
  #ended: Promise<void> | null = null;

  constructor(options: ListenerOptions, bounds: ListenBounds, handler: ListenerHandler) {
    this.#options = options;
    this.#bounds = bounds;
    this.#handler = handler;
    this.#bound = { name: options.name, url: options.url ?? "", tls: options.tls !== undefined };
    this.#tls = options.tls;
    this.#host = {
      bounds,
      handler,
      keepAliveLines: `connection: keep-alive\r\nkeep-alive: timeout=${Math.floor(bounds.keepAliveTimeoutMs / 1_000)}\r\n`,
      reads: Buffer.allocUnsafeSlow(sharedReadBytes),
      bound: () => this.#bound,
      ended: (connection) => this.#remove(connection),
    };
    this.#server = this.#createServer();
    this.#listenToServer();
  }

  get bound(): BoundListener {
    return this.#bound;
  }

  /** Binds; throws GatewayFault `port-in-use` or `listen-failed` naming the listener and the fix. */
  async open(): Promise<AddressInfo> {
    await probePort(this.#options);
    const address = await new Promise<AddressInfo>((resolve, reject) => {
      this.#server.once("error", (cause) => reject(listenFault(this.#options, cause)));
      this.#server.listen({ host: this.#options.host, port: this.#options.port }, () => {
        const at = this.#server.address();
        if (at === null || typeof at === "string") reject(listenFault(this.#options, new Error("no address")));
        else resolve(at);
      });
    });
    this.#looks = setInterval(() => this.#endOverdue(), checkEvery(this.#bounds)).unref();
    const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
    const scheme = this.#options.tls === undefined ? "http" : "https";
    const url = this.#options.url ?? `${scheme}://${host}:${address.port}`;
    this.#bound = { ...this.#bound, url: url.replace(/\/$/, "") };
    return address;
  }

  /** What the snapshot says of listeners: roots of client certificates, and by name the origin callers use. */
  use(roots: readonly string[], declared: Readonly<Record<string, { readonly url: string }>>): void {
    this.useRoots(roots);
    const url = declared[this.#bound.name]?.url;
    if (url !== undefined) this.#bound = { ...this.#bound, url: url.replace(/\/$/, "") };
  }

  /** Roots whose client certificates OpenSSL may build paths to, from now on. */
  useRoots(roots: readonly string[]): void {
    this.#roots = roots;
    this.#useContext();
  }

  /** Certificate and key of new connections, from now on; a listener without TLS stays one. Throws for a pair that does not fit. */
  useTls(pair: { readonly cert: string; readonly key: string }): void {
    if (this.#tls === undefined) return;
    const former = this.#tls;
    this.#tls = { ...former, ...pair };
    try {
      this.#useContext();
    } catch (error) {
      this.#tls = former;
      throw error;
    }
  }

  #useContext(): void {
    if (this.#tls !== undefined && "setSecureContext" in this.#server)
      this.#server.setSecureContext(tlsContext(this.#tls, this.#roots));
  }

  /** Accepts no connection from now on, and goes on serving those it has; resolves when the last one has ended. */
  async stop(): Promise<void> {
    await this.#untilQueueIsEmpty();
    await this.#end();
  }

  /**
   * Closing a listening socket resets what the kernel has accepted and we have not: callers who were told yes. One is taken per turn of
   * the loop, so we go on until a turn brought none and was too short for another to arrive behind it.
   */
  async #untilQueueIsEmpty(): Promise<void> {
    let taken = 0;
    const count = (): void => void taken++;
    this.#server.on("connection", count);
    const startedMs = performance.now();
    let turnMs = startedMs;
    for (let last = -1; ; last = taken) {
      await new Promise((resolve) => setImmediate(resolve));
      const nowMs = performance.now();
      const isCalm = taken === last && nowMs - turnMs < calmTurnMs;
      if (isCalm || nowMs - startedMs > emptyQueueMsMax) break;
      turnMs = nowMs;
    }
    this.#server.off("connection", count);
  }

  /** Ends everything at once. */
  async close(): Promise<void> {
    const ended = this.#end();
    if (this.#looks !== null) clearInterval(this.#looks);
    this.#each((connection) => connection.cut());
    await ended;
  }

  #end(): Promise<void> {
    this.#ended ??= new Promise((resolve) => this.#server.close(() => resolve()));
    return this.#ended;
  }

  #createServer(): Server | TlsServer {
    const { tls } = this.#options;
    const server =
      tls === undefined
        ? createPlainServer({ noDelay: true })
        : createTlsServer({
            ...tlsContext(tls, []),
            noDelay: true,
            requestCert: true,
            rejectUnauthorized: false,
            ALPNProtocols: ["http/1.1"],
            handshakeTimeout: this.#bounds.headersTimeoutMs,
          });
    server.maxConnections = this.#bounds.connectionsMax;
    return server;
  }

  #listenToServer(): void {
    const server = this.#server;
    const isTls = this.#options.tls !== undefined;
    server.on(isTls ? "secureConnection" : "connection", (socket: Socket) => this.#add(socket));
    server.on("drop", () => this.#handler.connectionRefused("connections"));
    server.on("tlsClientError", () => this.#handler.connectionRefused("tls"));
  }

  #add(socket: Socket): void {
    const connection = new Connection(socket, this.#host);
    connection.behind = this.#first;
    if (this.#first !== null) this.#first.before = connection;
    this.#first = connection;
  }

  #remove(connection: Connection): void {
    const { before, behind } = connection;
    if (before === null) this.#first = behind;
    else before.behind = behind;
    if (behind !== null) behind.before = before;
    connection.before = null;
    connection.behind = null;
  }

  #each(act: (connection: Connection) => void): void {
    for (let each = this.#first; each !== null; ) {
      const next = each.behind;
      act(each);
      each = next;
    }
  }

  /** One look at all of them instead of a timer for each request. */
  #endOverdue(): void {
    const nowMs = performance.now();
    this.#each((connection) => {
      if (nowMs >= connection.dueAtMs) connection.overdue();
    });
  }
}

function tlsContext(tls: NonNullable<ListenerOptions["tls"]>, roots: readonly string[]) {
  return {
    cert: tls.cert,
    key: tls.key,
    ca: [...roots],
    minVersion: tls.minVersion ?? ("TLSv1.3" as const),
    // A resumed session would bring a certificate judged under another snapshot (CVE-2025-23419's class): every connection shows its own.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** A listener with `reusePort` would bind beside another process without a word, so the port is tried plainly first. */
async function probePort(options: ListenerOptions): Promise<void> {
  if (options.port === 0) return;
  const probe = createPlainServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", (cause) => reject(listenFault(options, cause)));
    probe.listen({ host: options.host, port: options.port, exclusive: true }, () => probe.close(() => resolve()));
  });
}

function listenFault(options: ListenerOptions, cause: Error): GatewayFault {
  const at = `${options.host}:${options.port}`;
  if ("code" in cause && cause.code === "EADDRINUSE") {
    return new GatewayFault(
      "port-in-use",
      `listener ${options.name}: ${at} is taken by another process; stop it, or give the listener another address with --listen ${options.name}=host:port`,
      cause,
    );
  }
  return new GatewayFault(
    "listen-failed",
    `listener ${options.name}: cannot listen on ${at} (${cause.message}); name one of this machine with --listen ${options.name}=host:port`,
    cause,
  );
}
