// Promises the admin listener: operators' tokens and the routes of api.ts, over TLS, bounded, on an address of its own.
// Trusts the operators' issuer and api.ts. Specified in docs/admin-api.md.

import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { pause } from "../audit/follow/pause.ts";
import type { OperatorIssuer } from "../identity/operators.ts";
import { endListening, startListening } from "../listening.ts";
import { boundSources } from "../source-places.ts";
import { linesType } from "./serve-api.ts";
import { unavailableFault } from "./unavailable.ts";

export interface AdminListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string };
  /** Client-facing origin. */
  readonly url: () => string;
  readonly operators: () => OperatorIssuer;
  readonly api: { fetch(request: Request): Promise<Response> };
  readonly fault: (error: unknown) => void;
  /** A connection was turned away because its network, or everybody, has too many. */
  readonly connectionRefused?: () => void;
}

/** What of a body nobody wanted is read and thrown away, so that its sender sees the answer; more ends the connection. */
const discardBytesMax = 16 * 1024 * 1024;
const tokenBodyBytesMax = 16 * 1024;
const connectionsMax = 256;
/** A peer that takes nothing of a stream for so long is gone; the stream itself gives up sooner. */
const undrainedMsMax = 60_000;
const lastLinesMs = 1_000;

export class AdminListener {
  readonly #server: Server;
  readonly #options: AdminListenerOptions;
  readonly #streams = new Set<Promise<void>>();

  constructor(options: AdminListenerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        ...options.tls,
        minVersion: "TLSv1.3",
        handshakeTimeout: 10_000,
        maxHeaderSize: 16 * 1024,
        headersTimeout: 10_000,
        requestTimeout: 60_000,
      },
      (request, response) => {
        this.#serve(request, response).catch((error: unknown) => {
          options.fault(error);
          if (response.headersSent) response.destroy();
          else if (unavailableFault(error) === null)
            response
              .writeHead(500, { "content-type": "application/problem+json" })
              .end('{"status":500,"code":"internal"}');
          // Whoever asks here is not proven yet: no place of this installation is named.
          else
            response
              .writeHead(503, { "content-type": "application/problem+json", "retry-after": "5" })
              .end('{"title":"control cannot record or store at the moment","status":503,"code":"unavailable"}');
        });
      },
    );
    this.#server.maxConnections = connectionsMax;
    boundSources(this.#server, options.connectionRefused ?? (() => {}));
  }

  start(): Promise<number> {
    return startListening(this.#server, this.#options);
  }

  async close(): Promise<void> {
    // Whoever follows has been told to go: their last lines leave first.
    const late = new AbortController();
    const last = Promise.race([Promise.allSettled(this.#streams), pause(lastLinesMs, late.signal)]);
    await endListening(this.#server, last);
    late.abort();
  }

  async #streaming(sent: Promise<void>): Promise<void> {
    this.#streams.add(sent);
    await sent.finally(() => this.#streams.delete(sent));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === "POST" && request.url === "/operators/token") return this.#token(request, response);
    const headers = new Headers();
    for (let at = 0; at < request.rawHeaders.length; at += 2)
      headers.append(request.rawHeaders[at] ?? "", request.rawHeaders[at + 1] ?? "");
    headers.set(peerAddressHeader, request.socket.remoteAddress ?? "");
    const { method = "GET", url = "/" } = request;
    // Origin-form only: what a proof names is the path at this listener, never a host of the client's choice (RFC 9112 §3.2.1).
    if (!url.startsWith("/") || (method !== "GET" && method !== "POST")) {
      response
        .writeHead(400, { "content-type": "application/problem+json", connection: "close" })
        .end('{"status":400,"code":"bad-request"}');
      return;
    }
    const chunks = request[Symbol.asyncIterator]();
    const body = method === "GET" ? {} : { body: streamOf(chunks), duplex: "half" as const };
    const answer = await this.#options.api.fetch(
      new Request(new URL(this.#options.url() + url), { method, headers, ...body }),
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.headers.get("content-type") === linesType && answer.body !== null)
      await this.#streaming(sendLines(answer.body, response));
    else response.end(Buffer.from(await answer.arrayBuffer()));
    if (!(await discard(chunks))) request.destroy();
  }

  async #token(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, tokenBodyBytesMax);
    if (body === null) {
      response
        .writeHead(413, { "content-type": "application/problem+json", connection: "close" })
        .end('{"status":413,"code":"too-large"}');
      return;
    }
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

/** Read only as far as somebody asks: the body of a stranger is never held. */
function streamOf(chunks: AsyncIterator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const step = await chunks.next();
        if (step.done === true) controller.close();
        else controller.enqueue(new Uint8Array(step.value));
      },
    },
    { highWaterMark: 0 },
  );
}

/** Line by line as the peer takes them, never more than one ahead. */
async function sendLines(body: ReadableStream<Uint8Array>, response: ServerResponse): Promise<void> {
  const reader = body.getReader();
  const gone = new AbortController();
  response.once("close", () => {
    gone.abort();
    reader.cancel().catch(() => undefined);
  });
  if (response.destroyed) await reader.cancel();
  response.flushHeaders();
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    if (response.write(step.value)) continue;
    if (!(await drained(response, gone.signal))) {
      response.destroy();
      return;
    }
  }
  response.end();
}

async function drained(response: ServerResponse, gone: AbortSignal): Promise<boolean> {
  const either = new AbortController();
  const signal = AbortSignal.any([either.signal, gone]);
  const drain = once(response, "drain", { signal }).then(
    () => true,
    () => false,
  );
  const late = pause(undrainedMsMax, signal).then(() => false);
  const isDrained = await Promise.race([drain, late]);
  either.abort();
  return isDrained;
}

/** False when there was more than the bound, or the peer went away. */
async function discard(chunks: AsyncIterator<Uint8Array>): Promise<boolean> {
  let length = 0;
  try {
    while (length <= discardBytesMax) {
      const step = await chunks.next();
      if (step.done === true) return true;
      length += step.value.length;
    }
  } catch {
    // Gone: nothing is left to discard.
  }
  return false;
}

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
