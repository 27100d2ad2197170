// Promises HTTP/1.1, and over TLS HTTP/2, and nothing else on one address: no upgrade, no tunnel, every bound set, every refusal answered once and
// recorded. In clear HTTP/2 is not spoken, whoever asks.
// A client certificate is asked for and judged later (`identify`), so that a bad one is a recorded denial and not a silent handshake failure.
// Behind load balancers that are declared each connection begins with their word about where it came from (proxied-connection.ts).
// Trusts kernel/http1 for what is a request, and OpenSSL. Specified in RFC 9112, RFC 9113, docs/gateway.md (listen), docs/http2.md.

import { constants } from "node:crypto";
import { type AddressInfo, createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, TLSSocket, type Server as TlsServer } from "node:tls";
import type { TrustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import type { Source } from "../admit/source-prefix.ts";
import { compileAuthorizer, networksOf } from "../authorizer/asking-proxy.ts";
import type { BoundListener } from "../exchange.ts";
import type { ListenBounds, ListenerOptions } from "../ports.ts";
import type { Estate } from "../snapshot/estate.ts";
import { Connection, type ConnectionHost, type ListenerHandler } from "./connection.ts";
import { Doorway } from "./doorway.ts";
import { Http2Connection } from "./http2-connection.ts";
import { InputBuffers } from "./input-buffers.ts";
import type { ListedConnection } from "./listed-connection.ts";
import { listenFault, probePort } from "./probe-port.ts";
import { isProxy, ProxiedConnection, type ProxiedHost, ToldSources } from "./proxied-connection.ts";
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
  readonly #server: Server;
  /** Makes TLS of what the other one accepts, and listens nowhere itself; null: in clear. */
  readonly #tlsServer: TlsServer | null;
  readonly #host: ConnectionHost;
  /** First of a linked list. Not a Set: with entries coming and going it keeps a chain of its former tables, and with them connections, alive. */
  #first: ListedConnection | null = null;
  #looks: NodeJS.Timeout | null = null;
  #bound: BoundListener;
  #tls: ListenerOptions["tls"];
  #roots: readonly string[] = [];
  /** Of new connections. */
  #hasHttp2 = true;
  /** Of new connections: only these may open one, and each begins with a header of the PROXY protocol; null: anybody may, and none does. */
  #proxies: TrustedProxies | null = null;
  readonly #proxied: ProxiedHost;
  readonly #told = new ToldSources();
  readonly #doorway: Doorway | null;
  #ended: Promise<void> | null = null;
  /** Nothing is served any more. */
  #isOver = false;

  constructor(options: ListenerOptions, bounds: ListenBounds, handler: ListenerHandler) {
    this.#options = options;
    this.#bounds = bounds;
    this.#handler = handler;
    this.#doorway = handler.door === undefined ? null : new Doorway(handler.door, bounds);
    this.#bound = { name: options.name, url: options.url ?? "", tls: options.tls !== undefined, authorizer: null };
    this.#tls = options.tls;
    this.#host = {
      bounds,
      handler,
      keepAliveLines: `connection: keep-alive\r\nkeep-alive: timeout=${Math.floor(bounds.keepAliveTimeoutMs / 1_000)}\r\n`,
      reads: Buffer.allocUnsafeSlow(sharedReadBytes),
      inputs: new InputBuffers(),
      bound: () => this.#bound,
      ended: (connection) => this.#remove(connection),
    };
    this.#proxied = {
      headersTimeoutMs: bounds.headersTimeoutMs,
      told: ({ socket }, source) => this.#take(socket, source),
      refused: (reason) => handler.connectionRefused(reason),
      ended: (connection) => this.#remove(connection),
    };
    this.#server = createPlainServer({ noDelay: true });
    this.#server.maxConnections = bounds.connectionsMax;
    this.#tlsServer = this.#createTlsServer();
    this.#listenToServers();
  }

  get bound(): BoundListener {
    return this.#bound;
  }

  /** Binds; throws GatewayFault `port-in-use` or `listen-failed` naming the listener and the fix. */
  async open(): Promise<AddressInfo> {
    const { reusePort = false } = this.#options;
    if (!reusePort && this.#options.port !== 0) await probePort(this.#options);
    const address = await new Promise<AddressInfo>((resolve, reject) => {
      this.#server.once("error", (cause) => reject(listenFault(this.#options, cause)));
      this.#server.listen({ host: this.#options.host, port: this.#options.port, reusePort }, () => {
        const at = this.#server.address();
        if (at === null || typeof at === "string") reject(listenFault(this.#options, new Error("no address")));
        else resolve(at);
      });
    });
    // Behind what has arrived: timers are served before sockets, and after a standstill of this process no client is slow.
    this.#looks = setInterval(() => setImmediate(() => this.#endOverdue()), checkEvery(this.#bounds)).unref();
    const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
    const scheme = this.#options.tls === undefined ? "http" : "https";
    const url = this.#options.url ?? `${scheme}://${host}:${address.port}`;
    this.#bound = { ...this.#bound, url: url.replace(/\/$/, "") };
    return address;
  }

  /**
   * What the snapshot says of listeners: roots of client certificates, and by name the origin callers use, whether
   * HTTP/2 is offered (of proxies that ask, to those that ask by gRPC alone), which proxies ask, and behind which it stands.
   */
  use({ roots, object, bundles }: Pick<Estate, "roots" | "object" | "bundles">): void {
    this.useRoots(roots);
    const declared = object.listeners[this.#bound.name];
    const { proxy } = declared?.authorizer ?? {};
    this.#hasHttp2 = declared?.http2 !== false && (proxy === undefined || proxy === "envoy-grpc");
    const url = declared?.url.replace(/\/$/, "") ?? this.#bound.url;
    this.#bound = { ...this.#bound, url, authorizer: compileAuthorizer(declared, bundles) };
    this.#proxies = declared?.proxyProtocol === undefined ? null : networksOf(declared.trustedProxies);
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
    if (this.#tls !== undefined) this.#tlsServer?.setSecureContext(tlsContext(this.#tls, this.#roots));
  }

  /** Accepts no connection from now on, and goes on serving those it has; resolves when the last one has ended. */
  async stop(): Promise<void> {
    await this.#untilQueueIsEmpty();
    const ended = this.#end();
    this.#each((connection) => connection.windDown?.());
    await ended;
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
    this.#isOver = true;
    if (this.#looks !== null) clearInterval(this.#looks);
    this.#each((connection) => connection.cut());
    await ended;
  }

  #end(): Promise<void> {
    this.#ended ??= new Promise((resolve) => this.#server.close(() => resolve()));
    return this.#ended;
  }

  #createTlsServer(): TlsServer | null {
    const { tls } = this.#options;
    if (tls === undefined) return null;
    return createTlsServer({
      ...tlsContext(tls, []),
      noDelay: true,
      requestCert: true,
      rejectUnauthorized: false,
      ALPNCallback: ({ protocols }) => this.#choose(protocols),
      handshakeTimeout: this.#bounds.headersTimeoutMs,
    });
  }

  #listenToServers(): void {
    this.#server.on("connection", (socket: Socket) => this.#accept(socket));
    this.#server.on("drop", () => this.#handler.connectionRefused("connections"));
    this.#tlsServer?.on("secureConnection", (socket: TLSSocket) => {
      this.#doorway?.secured(socket);
      this.#begin(socket, this.#told.of(socket));
    });
    this.#tlsServer?.on("tlsClientError", (_cause, socket) => {
      this.#handler.connectionRefused("tls");
      // A handshake whose time is up is only told of: without this it would stay as long as its caller likes.
      socket.destroy();
    });
  }

  #accept(socket: Socket): void {
    if (this.#proxies === null) this.#take(socket);
    else if (isProxy(this.#proxies, socket)) this.#add(new ProxiedConnection(socket, this.#proxied));
    else {
      this.#handler.connectionRefused("proxy-untrusted");
      socket.destroy();
    }
  }

  /** `source`: where it came from, in the word of the proxy it came over. */
  #take(socket: Socket, source?: Source): void {
    const refusal = this.#doorway?.enter(socket, this.#tlsServer !== null, source) ?? null;
    if (refusal !== null) {
      this.#handler.connectionRefused(refusal);
      socket.destroy();
      return;
    }
    if (this.#tlsServer === null) {
      this.#begin(socket, source);
      return;
    }
    if (source !== undefined) this.#told.keep(socket, source);
    this.#tlsServer.emit("connection", socket);
  }

  #begin(socket: Socket, source?: Source): void {
    // Its handshake was under way at the end: nobody would look at it any more, and its caller could keep the end waiting.
    if (this.#isOver) {
      socket.destroy();
      return;
    }
    this.#add(
      socket instanceof TLSSocket && socket.alpnProtocol === "h2"
        ? new Http2Connection(socket, this.#host, source)
        : new Connection(socket, this.#host, source),
    );
  }

  #add(connection: ListedConnection): void {
    connection.behind = this.#first;
    if (this.#first !== null) this.#first.before = connection;
    this.#first = connection;
  }

  /** RFC 7301 §3.2: one of those offered, or the handshake fails. */
  #choose(protocols: readonly string[]): string | undefined {
    if (this.#hasHttp2 && protocols.includes("h2")) return "h2";
    return protocols.find((protocol) => protocol === "http/1.1");
  }

  #remove(connection: ListedConnection): void {
    const { before, behind } = connection;
    if (before === null) this.#first = behind;
    else before.behind = behind;
    if (behind !== null) behind.before = before;
    connection.before = null;
    connection.behind = null;
  }

  #each(act: (connection: ListedConnection) => void): void {
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
