// Promises the admin listener: operators' tokens and the routes of api.ts, over TLS, bounded, on an address of its own.
// Trusts the operators' issuer and api.ts. Specified in docs/admin-api.md.

import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { OperatorIssuer } from "../identity/operators.ts";

export interface AdminListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string };
  /** Client-facing origin. */
  readonly url: () => string;
  readonly operators: () => OperatorIssuer;
  readonly api: { fetch(request: Request): Promise<Response> };
  readonly fault: (error: unknown) => void;
}

const bodyBytesMax = 16 * 1024 * 1024;
const tokenBodyBytesMax = 16 * 1024;

export class AdminListener {
  readonly #server: Server;
  readonly #options: AdminListenerOptions;

  constructor(options: AdminListenerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        ...options.tls,
        minVersion: "TLSv1.3",
        maxHeaderSize: 16 * 1024,
        headersTimeout: 10_000,
        requestTimeout: 60_000,
      },
      (request, response) => {
        this.#serve(request, response).catch((error: unknown) => {
          options.fault(error);
          if (response.headersSent) response.destroy();
          else
            response
              .writeHead(500, { "content-type": "application/problem+json" })
              .end('{"status":500,"code":"internal"}');
        });
      },
    );
    this.#server.maxConnections = 256;
  }

  async start(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port, this.#options.host, resolve);
    });
    // A listening TCP server's address is never a string.
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isToken = request.method === "POST" && request.url === "/operators/token";
    const body = await readBody(request, isToken ? tokenBodyBytesMax : bodyBytesMax);
    if (body === null) {
      response
        .writeHead(413, { "content-type": "application/problem+json", connection: "close" })
        .end('{"status":413,"code":"body-too-large"}');
      return;
    }
    if (isToken) return this.#token(request, response, body);
    const headers = new Headers();
    for (let at = 0; at < request.rawHeaders.length; at += 2)
      headers.append(request.rawHeaders[at] ?? "", request.rawHeaders[at + 1] ?? "");
    headers.set(peerAddressHeader, request.socket.remoteAddress ?? "");
    const { method = "GET" } = request;
    const answer = await this.#options.api.fetch(
      new Request(new URL(request.url ?? "/", this.#options.url()), {
        method,
        headers,
        ...(method === "GET" || method === "HEAD" ? {} : { body: new Uint8Array(body) }),
      }),
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(Buffer.from(await answer.arrayBuffer()));
  }

  async #token(request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
    const answer = await this.#options.operators().token({
      form: body.toString("utf8"),
      proofs: request.headersDistinct["dpop"] ?? [],
      address: request.socket.remoteAddress ?? "",
    });
    response
      .writeHead(answer.status, { "content-type": "application/json", ...answer.headers })
      .end(JSON.stringify(answer.body));
  }
}

/** Set by this listener on every request after whatever the client sent under the name was replaced. */
export const peerAddressHeader = "sallyport-peer-address";

async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > bytesMax) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
