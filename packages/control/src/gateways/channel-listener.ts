// Promises that only a proven, active node gets anything but the join route, and only what concerns its own group.
// Trusts the channel authority it is given and the registry behind `ports`. Specified in docs/formats/join.md.
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { TLSSocket } from "node:tls";
import { type ArchiveAnswer, parseShipmentPath, shipmentBytesMax } from "@sallyport/protocol/channel/archive.ts";
import type {
  DownMessage,
  IntrospectionQuestion,
  IntrospectionReply,
  PayloadKeyAnswer,
  PayloadKeyRequest,
  UpMessage,
} from "@sallyport/protocol/channel/messages.ts";
import { type NextHopAnswer, type NextHopRequest, nextHopPath } from "@sallyport/protocol/channel/next-hop.ts";
import type { Shipment } from "../audit/archive/judge-records.ts";
import type { SentCheckpoint } from "../audit/judge-checkpoint.ts";
import { endListening, startListening } from "../listening.ts";
import { boundSources, type SourcePlaces } from "../source-places.ts";
import type { Hub, NodeAddress, NodeLink } from "./hub.ts";
import type { JoinAnswer, JoinRequest, ListenerCertificate, RenewRequest } from "./joining.ts";
import {
  parseIntrospectionQuestion,
  parseJoinRequest,
  parseNextHopRequest,
  parsePayloadKeyRequest,
  parseRenewRequest,
  parseSentCheckpoint,
  parseUpMessage,
} from "./parse-up.ts";
import { decodeUtf8, readBody } from "./read-body.ts";
import { type ChannelWitness, serveWitness, witnessPath } from "./witness-routes.ts";

export interface ChannelPorts {
  /** Null: refused, for whatever reason; the reason is logged and recorded by the implementation. */
  join(request: JoinRequest): Promise<JoinAnswer | null>;
  renew(address: NodeAddress, request: RenewRequest): Promise<{ readonly certificate: string } | null>;
  listenerCertificate(address: NodeAddress, request: RenewRequest): Promise<ListenerCertificate | null>;
  /** The active node whose current certificates include this SHA-256 thumbprint (base64url). */
  nodeOf(thumbprint: string): Promise<NodeAddress | null>;
  /** What a node is sent when it connects, in order, after `hello`. */
  opening(
    address: NodeAddress,
    held: { readonly keySeq: number; readonly revocationSeq: number },
  ): Promise<readonly DownMessage[]>;
  /** Current sequences of an environment, for heartbeats. */
  sequences(address: NodeAddress): { readonly keySeq: number; readonly revocationSeq: number };
  blob(address: NodeAddress, id: string): Promise<Uint8Array | null>;
  /** The token behind a handle of the node's environment, by the handle's digest; null: there is none. */
  handle(address: NodeAddress, digest: string): Promise<string | null>;
  /** What an issuer outside that the node's environment asks says about a token. */
  introspect(address: NodeAddress, question: IntrospectionQuestion): Promise<IntrospectionReply>;
  /** A key that tokens of the node's environment are encrypted to, sealed to the node, by its thumbprint; null: there is none. */
  tokenKey(address: NodeAddress, kid: string): Promise<string | null>;
  /** The key of a data subject of the node's environment; null: there is none to give. */
  payloadKey(address: NodeAddress, request: PayloadKeyRequest): Promise<PayloadKeyAnswer | null>;
  nextHopToken(address: NodeAddress, request: NextHopRequest): Promise<NextHopAnswer>;
  receive(address: NodeAddress, message: UpMessage): Promise<void>;
  readonly witness: ChannelWitness;
  /** Resolves when a refusal is on record (or counted); `address`: the network it came from. */
  refused(code: "join-refused" | "not-a-node", address: string): Promise<void>;
  /** The archive's word on what a node signed, and on the records behind it. */
  archiveCheckpoint(address: NodeAddress, sent: SentCheckpoint): Promise<ArchiveAnswer>;
  ship(address: NodeAddress, origin: string, shipment: Shipment): Promise<ArchiveAnswer>;
  epoch(): number;
  now(): number;
  fault(error: unknown): void;
}

export interface ChannelListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string; readonly authority: string };
  readonly heartbeatMs: number;
  /** A connection was turned away because its network, all strangers, or everybody have too many. */
  readonly connectionRefused?: () => void;
}

const joinBodyBytesMax = 8 * 1024;
/** A token, and names. */
const nextHopBodyBytesMax = 16 * 1024;
const upBodyBytesMax = 1024 * 1024;
/** What may wait in one node's connection before it counts as too slow. */
const linkBufferBytesMax = 8 * 1024 * 1024;
/** Messages that may wait while a node takes its opening, and how long that may last. */
const waitingMax = 10_000;
const openingTimeoutMs = 15_000;
const connectionsMax = 4096;
/** Connections without a certificate of the channel authority: who has none has nothing to do here but join. */
export const strangersMax = 256;
/** Joins being decided at once. */
export const joinsMax = 64;

/** The node a request comes from, and by what it was proven. */
interface ProvenNode {
  readonly address: NodeAddress;
  readonly thumbprint: string;
  readonly notAfterMs: number;
}

export class ChannelListener {
  readonly #server: Server;
  readonly #hub: Hub;
  readonly #ports: ChannelPorts;
  readonly #options: ChannelListenerOptions;
  readonly #places: SourcePlaces;
  #strangers = 0;
  #joins = 0;

  constructor(hub: Hub, ports: ChannelPorts, options: ChannelListenerOptions) {
    this.#hub = hub;
    this.#ports = ports;
    this.#options = options;
    this.#server = createServer(
      {
        cert: options.tls.cert,
        key: options.tls.key,
        ca: options.tls.authority,
        requestCert: true,
        // Joining has no certificate yet; every other route checks `authorized` itself.
        rejectUnauthorized: false,
        minVersion: "TLSv1.3",
        handshakeTimeout: 10_000,
        maxHeaderSize: 8 * 1024,
        headersTimeout: 10_000,
        // Until the request has come whole; an answer may last as long as it likes.
        requestTimeout: 15_000,
        connectionsCheckingInterval: 5_000,
        keepAliveTimeout: 60_000,
        // A peer that vanished without a word is noticed below the silence of an idle stream.
        keepAlive: true,
        keepAliveInitialDelay: 10_000,
      },
      (request, response) => {
        this.#serve(request, response).catch((error: unknown) => {
          this.#ports.fault(error);
          if (response.headersSent) response.destroy();
          else refuse(response, 500, "internal", "Something went wrong inside control");
        });
      },
    );
    this.#server.maxConnections = connectionsMax;
    this.#places = boundSources(this.#server, options.connectionRefused ?? (() => {}));
    this.#server.on("secureConnection", (socket: TLSSocket) => this.#countStranger(socket));
  }

  /** Resolves with the bound port; rejects when the address is in use. */
  start(): Promise<number> {
    const { host, port } = this.#options;
    return startListening(this.#server, { host, port, fault: (error) => this.#ports.fault(error) });
  }

  close(): Promise<void> {
    this.#hub.close();
    return endListening(this.#server);
  }

  #countStranger(socket: TLSSocket): void {
    // Many gateways may share one address: a network is bounded in handshakes it does not end, strangers all together.
    this.#places.free(socket);
    if (socket.authorized) return;
    if (this.#strangers >= strangersMax) {
      this.#options.connectionRefused?.();
      socket.destroy();
      return;
    }
    this.#strangers += 1;
    socket.once("close", () => {
      this.#strangers -= 1;
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = "", query = ""] = (request.url ?? "").split("?", 2);
    const route = `${request.method} ${path}`;
    if (route === "POST /join/v1") return this.#join(request, response);
    const proven = await this.#node(request);
    if (proven === null) {
      await this.#ports.refused("not-a-node", request.socket.remoteAddress ?? "");
      return refuse(response, 403, "not-a-node", "This is not the certificate of an active gateway");
    }
    const { address } = proven;
    if (route === "GET /channel/v1/down") return this.#down(proven, new URLSearchParams(query), response);
    if (route === "POST /channel/v1/up") return this.#up(address, request, response);
    if (path.startsWith("/channel/v1/archive") && request.method === "POST")
      return this.#archive(address, request, response);
    if (route === "POST /channel/v1/renew")
      return this.#certify(request, response, (wanted) => this.#ports.renew(address, wanted));
    if (route === "POST /channel/v1/listener-certificate")
      return this.#certify(request, response, (wanted) => this.#ports.listenerCertificate(address, wanted));
    const handle = /^GET \/channel\/v1\/handles\/([A-Za-z0-9_-]{43})$/.exec(route)?.[1];
    if (handle !== undefined) return json(response, { token: await this.#ports.handle(address, handle) });
    const key = /^GET \/channel\/v1\/token-keys\/([A-Za-z0-9_-]{43})$/.exec(route)?.[1];
    if (key !== undefined) return json(response, { sealed: await this.#ports.tokenKey(address, key) });
    if (route === `POST ${nextHopPath}`) return this.#nextHop(address, request, response);
    if (route === "POST /channel/v1/payload-keys") return this.#payloadKey(address, request, response);
    if (route === "POST /channel/v1/introspections") return this.#introspect(address, request, response);
    if (path.startsWith(witnessPath)) return serveWitness(this.#ports.witness, address, { request, response, route });
    const blob = /^GET \/channel\/v1\/blobs\/([0-9a-f]{64})$/.exec(route)?.[1];
    if (blob === undefined) return refuse(response, 404, "no-route", "Nothing is served here");
    const bytes = await this.#ports.blob(address, blob);
    if (bytes === null) return refuse(response, 404, "no-blob", "This group has no such blob");
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes.length }).end(bytes);
  }

  async #node(request: IncomingMessage): Promise<ProvenNode | null> {
    // The server is an https server: its sockets are TLS sockets.
    const socket = request.socket as TLSSocket;
    if (!socket.authorized) return null;
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return null;
    // The handshake judged the validity once; a connection may outlive it.
    const notAfterMs = certificate.validToDate.getTime();
    if (notAfterMs <= this.#ports.now()) return null;
    const thumbprint = createHash("sha256").update(certificate.raw).digest("base64url");
    const address = await this.#ports.nodeOf(thumbprint);
    return address === null ? null : { address, thumbprint, notAfterMs };
  }

  async #join(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyText(request, response, joinBodyBytesMax);
    if (text === null) return;
    if (this.#joins >= joinsMax)
      return refuse(response, 503, "overloaded", "Too many gateways are joining at this moment; try again");
    const parsed = parseJoinRequest(text);
    this.#joins += 1;
    try {
      const answer = parsed === null ? null : await this.#ports.join(parsed);
      if (answer !== null) return json(response, answer);
      await this.#ports.refused("join-refused", request.socket.remoteAddress ?? "");
      refuse(response, 403, "join-refused", joinRefusal);
    } finally {
      this.#joins -= 1;
    }
  }

  async #certify(
    request: IncomingMessage,
    response: ServerResponse,
    issue: (request: RenewRequest) => Promise<object | null>,
  ): Promise<void> {
    const text = await bodyText(request, response, joinBodyBytesMax);
    if (text === null) return;
    const parsed = parseRenewRequest(text);
    const answer = parsed === null ? null : await issue(parsed);
    if (answer === null) refuse(response, 403, "certificate-refused", certificateRefusal);
    else json(response, answer);
  }

  async #up(address: NodeAddress, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyText(request, response, upBodyBytesMax);
    if (text === null) return;
    const message = parseUpMessage(text);
    if (message === null) return refuse(response, 400, "bad-message", "Not one message of docs/formats/join.md");
    if (message.t === "answer" || message.t === "observed" || message.t === "witnessed")
      this.#hub.answer(address.node, message);
    else if (message.t === "ack") this.#hub.acknowledge(address, message, this.#ports.now());
    else if (message.t === "state") this.#hub.reported(address.node, message, this.#ports.now());
    await this.#ports.receive(address, message);
    response.writeHead(204).end();
  }

  async #payloadKey(address: NodeAddress, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyText(request, response, joinBodyBytesMax);
    if (text === null) return;
    const wanted = parsePayloadKeyRequest(text);
    if (wanted === null) return refuse(response, 400, "bad-message", "Not a request of docs/formats/join.md");
    const key = await this.#ports.payloadKey(address, wanted);
    if (key === null) refuse(response, 503, "payload-keys-full", "There are as many payload keys as are kept");
    else json(response, key);
  }

  async #introspect(address: NodeAddress, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyText(request, response, joinBodyBytesMax);
    if (text === null) return;
    const question = parseIntrospectionQuestion(text);
    if (question === null) return refuse(response, 400, "bad-message", "Not a request of docs/formats/join.md");
    json(response, await this.#ports.introspect(address, question));
  }

  async #nextHop(address: NodeAddress, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyText(request, response, nextHopBodyBytesMax);
    if (text === null) return;
    const wanted = parseNextHopRequest(text);
    if (wanted === null) return refuse(response, 400, "bad-message", "Not a request of docs/formats/join.md");
    json(response, await this.#ports.nextHopToken(address, wanted));
  }

  async #archive(address: NodeAddress, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = "", query = ""] = (request.url ?? "").split("?", 2);
    const shipment = parseShipmentPath(path, query);
    if (shipment !== null) {
      const entries = await body(request, response, shipmentBytesMax);
      if (entries !== null) json(response, await this.#ports.ship(address, shipment.origin, { ...shipment, entries }));
      return;
    }
    if (path !== "/channel/v1/archive") return refuse(response, 404, "no-route", "Nothing is served here");
    const text = await bodyText(request, response, joinBodyBytesMax);
    const sent = text === null ? null : parseSentCheckpoint(text);
    if (sent !== null) json(response, await this.#ports.archiveCheckpoint(address, sent));
    else if (text !== null) refuse(response, 400, "bad-message", "Not a checkpoint of docs/formats/join.md");
  }

  async #down(proven: ProvenNode, query: URLSearchParams, response: ServerResponse): Promise<void> {
    const { address } = proven;
    const held = { keySeq: sequence(query, "key-seq"), revocationSeq: sequence(query, "revocation-seq") };
    response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" });
    response.socket?.setNoDelay(true);
    // Whatever happens while the opening is being read waits behind it: the node sees one ordered stream.
    let waiting: DownMessage[] | null = [];
    const write = (message: DownMessage) => {
      response.write(`${JSON.stringify(message)}\n`);
      return response.writableLength <= linkBufferBytesMax;
    };
    const link: NodeLink = {
      address,
      send: (message) => (waiting === null ? write(message) : waiting.push(message) <= waitingMax),
      end: () => response.destroy(),
    };
    this.#hub.connect(link, this.#ports.now());
    const heartbeat = setInterval(() => {
      if (this.#ports.now() >= proven.notAfterMs) link.end("its certificate has ended");
      else if (waiting === null) this.#hub.deliver(link, this.#heartbeat(address));
    }, this.#options.heartbeatMs);
    const opening = setTimeout(() => link.end("it does not take its opening"), openingTimeoutMs);
    response.once("close", () => {
      clearInterval(heartbeat);
      clearTimeout(opening);
      this.#hub.disconnect(link, this.#ports.now());
    });
    // Asked again now that an eviction would find the link: a revocation in between must not leave it standing.
    if ((await this.#ports.nodeOf(proven.thumbprint)) === null) return link.end("revoked");
    write({ t: "hello", node: address.node, epoch: this.#ports.epoch(), at: this.#ports.now() });
    for (const message of await this.#ports.opening(address, held)) {
      write(message);
      await drained(response);
    }
    for (const message of waiting) write(message);
    waiting = null;
    clearTimeout(opening);
    write(this.#heartbeat(address));
  }

  #heartbeat(address: NodeAddress): DownMessage {
    return { t: "heartbeat", at: this.#ports.now(), ...this.#ports.sequences(address) };
  }
}

const joinRefusal =
  "The join token is unknown, used or expired, or the request does not prove its keys. Ask an operator for a new token: sallyport gateway token --group <group>";
const certificateRefusal = "The request does not prove its key, or there is nothing to certify";

function sequence(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? "0";
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}

/** Resolves when what was written has left for the socket, or the connection is gone. */
function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed || !response.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}

/** The body; null when it was refused here or nobody is left to answer. */
async function body(request: IncomingMessage, response: ServerResponse, bytesMax: number): Promise<Buffer | null> {
  const read = await readBody(request, bytesMax);
  if (read.kind === "whole") return read.bytes;
  if (read.kind === "too-large") refuse(response, 413, "body-too-large", `The body is larger than ${bytesMax} bytes`);
  return null;
}

/** The same as text. */
async function bodyText(request: IncomingMessage, response: ServerResponse, bytesMax: number): Promise<string | null> {
  const bytes = await body(request, response, bytesMax);
  if (bytes === null) return null;
  const text = decodeUtf8(bytes);
  if (text === null) refuse(response, 400, "bad-message", "The body is not UTF-8");
  return text;
}

function json(response: ServerResponse, value: unknown): void {
  response
    .writeHead(200, { "content-type": "application/json", "cache-control": "no-store" })
    .end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code: string, title: string): void {
  response
    .writeHead(status, { "content-type": "application/problem+json", connection: "close" })
    .end(JSON.stringify({ type: `https://sallyport.dev/problems/${code}`, title, status, code }));
}
