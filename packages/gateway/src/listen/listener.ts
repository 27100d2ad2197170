// Promises HTTP/1.1 and nothing else on one address: no upgrade, no tunnel, no HTTP/2, every bound set, every refusal answered once and recorded.
// A client certificate is asked for and judged later (`identify`), so that a bad one is a recorded denial and not a silent handshake failure.
// Trusts llhttp in its strict form and OpenSSL. Specified in RFC 9112 and docs/gateway.md (listen).

import { constants } from "node:crypto";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { type AddressInfo, createServer as createPlainServer, Server as PlainServer, type Socket } from "node:net";
import { createServer, IncomingMessage, type Server, ServerResponse } from "@sallyport/kernel/http-server.ts";
import { deny } from "@sallyport/protocol/verdict.ts";
import { type Source, sourceOf } from "../admit/source-prefix.ts";
import type { BoundListener, Exchange } from "../exchange.ts";
import { Presented } from "../identify/presented.ts";
import { GatewayFault, type ListenBounds, type ListenerOptions } from "../ports.ts";
import { refusalOf } from "./parse-error.ts";

/** What the gateway does with what arrives. */
export interface ListenerHandler {
  begin(
    incoming: IncomingMessage,
    response: ServerResponse,
    on: { readonly listener: BoundListener } & Pick<Connection, "source" | "presented">,
  ): Exchange;
  /** Runs the pipeline. */
  serve(exchange: Exchange): void;
  /** Ends an exchange that never became a request. */
  refuse(exchange: Exchange, verdict: ReturnType<typeof deny>): void;
  connectionRefused(reason: "tls" | "connections" | "requests-per-socket"): void;
}

interface Connection {
  readonly source: Source;
  readonly presented: Presented;
  /** Not a Set: with entries coming and going it keeps a chain of its former tables, and with them old exchanges, alive. */
  readonly running: Exchange[];
}

/** Milliseconds between looks at slow requests: a tenth of the shortest bound, at least 50. */
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
  readonly #connections = new WeakMap<object, Connection>();
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

  /** A crossing has ended: its connection forgets it. */
  forget(exchange: Exchange): void {
    const running = this.#connections.get(exchange.incoming.socket)?.running;
    const at = running?.indexOf(exchange) ?? -1;
    if (at >= 0) running?.splice(at, 1);
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
    // Also ends the looks at slow requests.
    this.#server.close();
    this.#server.closeAllConnections();
    await ended;
  }

  #end(): Promise<void> {
    // The close of node:http would cut connections that are idle in its eyes: also those that were just made and are about to ask.
    this.#ended ??= new Promise((resolve) => PlainServer.prototype.close.call(this.#server, () => resolve()));
    return this.#ended;
  }

  #createServer(): Server | TlsServer {
    const bounds = this.#bounds;
    const common = {
      maxHeaderSize: bounds.headerBytesMax,
      headersTimeout: bounds.headersTimeoutMs,
      requestTimeout: bounds.requestTimeoutMs,
      keepAliveTimeout: bounds.keepAliveTimeoutMs,
      connectionsCheckingInterval: checkEvery(bounds),
      insecureHTTPParser: false,
      requireHostHeader: false, // canonicalize answers it, as a problem and on the record
      joinDuplicateHeaders: false,
    };
    const { tls } = this.#options;
    const server =
      tls === undefined
        ? createServer(common)
        : createTlsServer({
            ...common,
            ...tlsContext(tls, []),
            requestCert: true,
            rejectUnauthorized: false,
            ALPNProtocols: ["http/1.1"],
            handshakeTimeout: bounds.headersTimeoutMs,
          });
    // 0 is "all": with a limit here node:http would silently drop the rest, and the guard would see other fields than were sent.
    server.maxHeadersCount = 0;
    server.maxConnections = bounds.connectionsMax;
    server.maxRequestsPerSocket = bounds.requestsPerSocketMax;
    return server;
  }

  #listenToServer(): void {
    const server = this.#server;
    server.on("request", (incoming, response) => this.#serve(incoming, response, false));
    server.on("checkContinue", (incoming, response) => this.#serve(incoming, response, true));
    server.on("checkExpectation", (incoming, response) => this.#serve(incoming, response, false));
    server.on("connect", (_incoming, socket) =>
      this.#refuseRaw(socket as Socket, deny("receive", "method-not-supported", { why: "CONNECT" })),
    ); // http servers emit net sockets
    server.on("clientError", (error, socket) => this.#parseError(error, socket as Socket)); // as above
    server.on("drop", () => this.#handler.connectionRefused("connections"));
    server.on("dropRequest", () => this.#handler.connectionRefused("requests-per-socket"));
    server.on("tlsClientError", () => this.#handler.connectionRefused("tls"));
  }

  #connectionOf(socket: Socket): Connection {
    const known = this.#connections.get(socket);
    if (known !== undefined) return known;
    const fresh: Connection = { source: sourceOf(socket.remoteAddress), presented: new Presented(), running: [] };
    this.#connections.set(socket, fresh);
    return fresh;
  }

  #serve(incoming: IncomingMessage, response: ServerResponse, waitsForContinue: boolean): void {
    const connection = this.#connectionOf(incoming.socket);
    const { source, presented } = connection;
    const exchange = this.#handler.begin(incoming, response, { listener: this.#bound, source, presented });
    connection.running.push(exchange);
    if (waitsForContinue) {
      exchange.continueWanted = () => {
        exchange.continueWanted = null;
        response.writeContinue();
      };
    }
    this.#handler.serve(exchange);
  }

  /** The parser gave up on this socket. What is under way keeps its one answer; nothing is answered twice. */
  #parseError(error: Error, socket: Socket): void {
    const verdict = refusalOf(error);
    const { running } = this.#connectionOf(socket);
    if (verdict === null || !socket.writable) {
      socket.destroy();
      return;
    }
    const unread = running.find((exchange) => !exchange.incoming.complete);
    if (unread !== undefined) {
      // Inside a body every parser error is one of framing, whatever llhttp calls it.
      const inBody = verdict.code === "request-timeout" ? verdict : deny("receive", "bad-framing", verdict.facts);
      unread.framingDeny = inBody;
      unread.onFramingError?.(inBody);
      return;
    }
    if (running.length === 0) {
      this.#refuseRaw(socket, verdict);
      return;
    }
    // Garbage behind good requests: those are answered, then the connection ends.
    for (const exchange of running) exchange.response.shouldKeepAlive = false;
    const last = running.at(-1);
    last?.response.once("close", () => socket.destroySoon());
  }

  #refuseRaw(socket: Socket, verdict: ReturnType<typeof deny>): void {
    const incoming = new IncomingMessage(socket);
    incoming.complete = true;
    const response = new ServerResponse(incoming);
    response.shouldKeepAlive = false;
    const { source, presented } = this.#connectionOf(socket);
    socket.on("error", () => socket.destroy());
    try {
      response.assignSocket(socket);
    } catch {
      // An answer is still under way on this socket; two at once would be read as one.
      socket.destroy();
      return;
    }
    response.once("finish", () => socket.destroySoon());
    this.#handler.refuse(
      this.#handler.begin(incoming, response, { listener: this.#bound, source, presented }),
      verdict,
    );
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
