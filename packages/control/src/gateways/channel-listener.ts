// Promises that only a proven, active node gets anything but the join route, and only what concerns its own group.
// Trusts the channel authority it is given and the registry behind `ports`. Specified in docs/formats/join.md.
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import type { DownMessage, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import type { Hub, NodeAddress, NodeLink } from "./hub.ts";
import type { JoinAnswer, JoinRequest, ListenerCertificate, RenewRequest } from "./joining.ts";
import { parseJoinRequest, parseRenewRequest, parseUpMessage } from "./parse-up.ts";

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
  receive(address: NodeAddress, message: UpMessage): Promise<void>;
  epoch(): number;
  now(): number;
  fault(error: unknown): void;
}

export interface ChannelListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string; readonly authority: string };
  readonly heartbeatMs: number;
}

const joinBodyBytesMax = 8 * 1024;
const upBodyBytesMax = 1024 * 1024;
/** What may wait in one node's connection before it counts as too slow. */
const linkBufferBytesMax = 8 * 1024 * 1024;

export class ChannelListener {
  readonly #server: Server;
  readonly #hub: Hub;
  readonly #ports: ChannelPorts;
  readonly #options: ChannelListenerOptions;

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
        maxHeaderSize: 8 * 1024,
        headersTimeout: 10_000,
        requestTimeout: 0,
        keepAliveTimeout: 60_000,
      },
      (request, response) => {
        this.#serve(request, response).catch((error: unknown) => {
          this.#ports.fault(error);
          if (response.headersSent) response.destroy();
          else refuse(response, 500, "internal", "Something went wrong inside control");
        });
      },
    );
    this.#server.maxConnections = 4096;
  }

  /** Resolves with the bound port; rejects when the address is in use. */
  async start(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port, this.#options.host, () => resolve());
    });
    // A listening TCP server's address is never a string.
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#hub.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "https://channel.invalid");
    if (request.method === "POST" && url.pathname === "/join/v1") return this.#join(request, response);
    const address = await this.#node(request);
    if (address === null)
      return refuse(response, 403, "not-a-node", "This is not the certificate of an active gateway");
    const route = `${request.method} ${url.pathname}`;
    if (route === "GET /channel/v1/down") return this.#down(address, url, response);
    if (route === "POST /channel/v1/up") return this.#up(address, request, response);
    if (route === "POST /channel/v1/renew")
      return this.#certify(request, response, (proven) => this.#ports.renew(address, proven));
    if (route === "POST /channel/v1/listener-certificate") {
      return this.#certify(request, response, (proven) => this.#ports.listenerCertificate(address, proven));
    }
    const blob = /^GET \/channel\/v1\/blobs\/([0-9a-f]{64})$/.exec(route)?.[1];
    if (blob === undefined) return refuse(response, 404, "no-route", "Nothing is served here");
    const bytes = await this.#ports.blob(address, blob);
    if (bytes === null) return refuse(response, 404, "no-blob", "This group has no such blob");
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes.length }).end(bytes);
  }

  async #node(request: IncomingMessage): Promise<NodeAddress | null> {
    // The server is an https server: its sockets are TLS sockets.
    const socket = request.socket as TLSSocket;
    if (!socket.authorized) return null;
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined || certificate.validToDate.getTime() <= this.#ports.now()) return null;
    return this.#ports.nodeOf(createHash("sha256").update(certificate.raw).digest("base64url"));
  }

  async #join(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, joinBodyBytesMax);
    const parsed = body === null ? null : parseJoinRequest(body);
    const answer = parsed === null ? null : await this.#ports.join(parsed);
    if (answer === null) {
      return refuse(
        response,
        403,
        "join-refused",
        "The join token is unknown, used or expired, or the request does not prove its keys. Ask an operator for a new token: sallyport gateway token --group <group>",
      );
    }
    json(response, answer);
  }

  async #certify(
    request: IncomingMessage,
    response: ServerResponse,
    issue: (request: RenewRequest) => Promise<object | null>,
  ): Promise<void> {
    const body = await readBody(request, joinBodyBytesMax);
    const parsed = body === null ? null : parseRenewRequest(body);
    const answer = parsed === null ? null : await issue(parsed);
    if (answer === null)
      return refuse(
        response,
        403,
        "certificate-refused",
        "The request does not prove its key, or there is nothing to certify",
      );
    json(response, answer);
  }

  async #up(address: NodeAddress, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, upBodyBytesMax);
    const message = body === null ? null : parseUpMessage(body);
    if (message === null) return refuse(response, 400, "bad-message", "Not one message of docs/formats/join.md");
    if (message.t === "answer") this.#hub.answer(address.node, message);
    else if (message.t === "ack") this.#hub.acknowledge(address, message, this.#ports.now());
    await this.#ports.receive(address, message);
    response.writeHead(204).end();
  }

  async #down(address: NodeAddress, url: URL, response: ServerResponse): Promise<void> {
    const held = { keySeq: sequence(url, "key-seq"), revocationSeq: sequence(url, "revocation-seq") };
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
      send: (message) => (waiting === null ? write(message) : waiting.push(message) <= 10_000),
      end: () => response.destroy(),
    };
    this.#hub.connect(link);
    const heartbeat = setInterval(() => link.send(this.#heartbeat(address)), this.#options.heartbeatMs);
    response.once("close", () => {
      clearInterval(heartbeat);
      this.#hub.disconnect(link);
    });
    write({ t: "hello", node: address.node, epoch: this.#ports.epoch(), at: this.#ports.now() });
    for (const message of await this.#ports.opening(address, held)) write(message);
    for (const message of waiting) write(message);
    waiting = null;
    write(this.#heartbeat(address));
  }

  #heartbeat(address: NodeAddress): DownMessage {
    return { t: "heartbeat", at: this.#ports.now(), ...this.#ports.sequences(address) };
  }
}

function sequence(url: URL, name: string): number {
  const text = url.searchParams.get(name) ?? "0";
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}

/** The body as text, or null when it is longer than `bytesMax` or not UTF-8. */
async function readBody(request: IncomingMessage, bytesMax: number): Promise<string | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > bytesMax) return null;
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    return null;
  }
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
