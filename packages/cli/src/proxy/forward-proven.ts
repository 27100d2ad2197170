// Promises one request sent on with a token for its provider and a fresh proof, repeated once when only the nonce was old, streamed both ways
// with back-pressure. Trusts the SDK for tokens and proofs. RFC 9449 §8-9; specified in docs/cli/proxy.md.
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { AccessToken, TokenClient } from "@sallyport/sdk/token-client.ts";
import type { Pool } from "../calling/sender.ts";
import { keptHeaders } from "./decide-inbound.ts";
import type { Provider } from "./find-provider.ts";

export interface ForwardPorts {
  readonly tokens: TokenClient;
  readonly pool: Pool;
  /** Origin. */
  readonly gateway: string;
  readonly issuer: string;
}

export interface Forwarded {
  readonly status: number;
  readonly crossing: string | null;
}

/** A body up to this size is held, so that it can be sent again with another nonce. */
export const heldBytesMax = 64 * 1024;
const headersTimeoutMs = 320_000;
const bodyTimeoutMs = 320_000;

type Upstream = Awaited<ReturnType<Pool["request"]>>;

interface Sending {
  readonly request: IncomingMessage;
  readonly provider: Provider;
  readonly token: AccessToken;
  readonly signal: AbortSignal;
}

/** What goes out besides the head: nothing, held bytes, or a stream that can be sent once. */
type Body = Uint8Array | Readable | null;

export class Forwarder {
  readonly #ports: ForwardPorts;

  constructor(ports: ForwardPorts) {
    this.#ports = ports;
  }

  /** Rejects with the SDK's faults and DialFault; nothing was written to `response` then. */
  async forward(request: IncomingMessage, response: ServerResponse, provider: Provider): Promise<Forwarded> {
    const { tokens, issuer } = this.#ports;
    const abort = new AbortController();
    const gone = (): void => abort.abort(new Error("the caller went away"));
    response.once("close", gone);
    try {
      const token = await tokens.token({ resource: `${issuer}/systems/${provider.id}` });
      const sending: Sending = { request, provider, token, signal: abort.signal };
      const body = await holdBody(request);
      if (body instanceof Readable) await this.#renewNonce(sending);
      const upstream = await this.#sendProven(sending, body);
      this.#learnVerdict(upstream, token);
      response.writeHead(upstream.statusCode, answerHeaders(upstream));
      await pipeline(upstream.body, response, { signal: abort.signal });
      return { status: upstream.statusCode, crossing: one(upstream.headers["sallyport-crossing"]) };
    } finally {
      response.removeListener("close", gone);
    }
  }

  async #sendProven(sending: Sending, body: Body): Promise<Upstream> {
    const method = sending.request.method ?? "GET";
    const first = await this.#send(sending, method, body);
    if (!first.wantsNonce || body instanceof Readable) return first.answer;
    await first.answer.body.dump();
    return (await this.#send(sending, method, body)).answer;
  }

  /** A body too long to hold goes once, so a nonce that may be old is replaced first, by a request that carries nothing. */
  async #renewNonce(sending: Sending): Promise<void> {
    const { tokens, gateway } = this.#ports;
    if (tokens.proofs.hasFreshNonce(gateway)) return;
    const { answer } = await this.#send(sending, "OPTIONS", null, true);
    await answer.body.dump();
  }

  async #send(
    { request, provider, token, signal }: Sending,
    method: string,
    body: Body,
    withoutNonce = false,
  ): Promise<{ readonly answer: Upstream; readonly wantsNonce: boolean }> {
    const { tokens, pool, gateway } = this.#ports;
    const target = request.url ?? "/";
    // Taken before the wait: meanwhile another answer may bring a newer one.
    const used = tokens.proofs.nonceOf(gateway);
    const proof = await tokens.proofs.make({
      method,
      url: new URL(target, gateway),
      ath: token.ath,
      ...(withoutNonce ? { withoutNonce } : {}),
    });
    const length = body instanceof Readable ? request.headers["content-length"] : undefined;
    const answer = await pool.request({
      path: target,
      // decideInbound let only methods through that the gateway knows.
      method: method as "GET",
      headers: [
        ...keptHeaders(request.rawHeaders, request.headers.connection),
        ...(provider.host === null ? [] : ["host", provider.host]),
        ...(length === undefined ? [] : ["content-length", length]),
        ...["authorization", `DPoP ${token.token}`, "dpop", proof],
      ],
      body,
      signal,
      headersTimeout: headersTimeoutMs,
      bodyTimeout: bodyTimeoutMs,
    });
    return { answer, wantsNonce: this.#learnNonce(answer, used) };
  }

  /** Remembers the nonce an answer brought. True when the same request could succeed with it. */
  #learnNonce(answer: Upstream, used: string | undefined): boolean {
    const { tokens, gateway } = this.#ports;
    const offered = one(answer.headers["dpop-nonce"]);
    const fresh = offered !== null && tokens.proofs.learn(gateway, new Headers({ "dpop-nonce": offered }), used);
    const challenge = one(answer.headers["www-authenticate"]) ?? "";
    return fresh && answer.statusCode === 401 && challenge.includes("use_dpop_nonce");
  }

  #learnVerdict({ statusCode, headers }: Upstream, token: AccessToken): void {
    if (statusCode === 401) this.#ports.tokens.forget(token);
    if (statusCode === 403 && (one(headers["sallyport-verdict"]) ?? "").endsWith("; code=not-active"))
      this.#ports.tokens.doubt(token);
  }
}

/** The whole body when it is short enough to be held, else a stream of all of it. */
async function holdBody(request: IncomingMessage): Promise<Body> {
  const declared = request.headers["content-length"];
  if (declared === undefined && request.headers["transfer-encoding"] === undefined) return null;
  if (Number(declared ?? 0) > heldBytesMax) return request;
  const chunks: Uint8Array[] = [];
  let length = 0;
  const rest = request.iterator({ destroyOnReturn: false });
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
    chunks.push(next.value);
    length += next.value.length;
    if (length > heldBytesMax) return Readable.from(followed(chunks, rest), { objectMode: false });
  }
  return length === 0 ? null : Buffer.concat(chunks);
}

async function* followed(held: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* held;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

function answerHeaders(upstream: Upstream): string[] {
  const raw = Object.entries(upstream.headers).flatMap(([name, value]) =>
    value === undefined ? [] : Array.isArray(value) ? value.flatMap((each) => [name, each]) : [name, value],
  );
  const connection = one(upstream.headers["connection"]) ?? undefined;
  const kept = keptHeaders(raw, connection).filter((_, i, all) => !isOurs(all[i - (i % 2)] ?? ""));
  const length = one(upstream.headers["content-length"]);
  return length === null ? kept : [...kept, "content-length", length];
}

/** The nonce is between the gateway and this proxy. */
const isOurs = (name: string): boolean => name.toLowerCase() === "dpop-nonce";

function one(value: string | string[] | undefined): string | null {
  return value === undefined ? null : Array.isArray(value) ? (value[0] ?? null) : value;
}
