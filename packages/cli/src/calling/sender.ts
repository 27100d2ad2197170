// Promises connections to the named origins only, under the named roots, with the time each step of every exchange took.
// Trusts the guarded dialer for names, addresses and certificates. Shaped like fetch, because that is what the SDK takes.
import { Readable } from "node:stream";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { openSocket } from "@sallyport/kernel/dial/guarded-connector.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";

export type Pool = ReturnType<Dialer["pool"]>;

/** One request and its answer, as the client saw it. Milliseconds. */
export interface TimedExchange {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  /** Name, connection and TLS; null where a connection was there already. */
  readonly connectMs: number | null;
  /** From the request (or the new connection) to the head of the answer. */
  readonly firstByteMs: number;
}

export interface SenderOptions {
  /** PEM roots; absent: the public ones. */
  readonly roots?: string;
  readonly connectionsMax?: number;
  readonly timed?: (exchange: TimedExchange) => void;
}

export interface Sender {
  /** Never follows a redirect. Rejects with a DialFault. */
  readonly send: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
  readonly pool: (origin: string) => Pool;
  close(): Promise<void>;
}

const connectTimeoutMs = 5_000;
const originsMax = 8;
const heldBytesMax = 64 * 1024;
/** Statuses whose Response may have no body (Fetch §2.2.3). */
const bodyless: ReadonlySet<number> = new Set([204, 205, 304]);

export function createSender(options: SenderOptions = {}): Sender {
  const pools = new Map<string, Pool>();
  let connectMs: number | null = null;
  const dialer = createDialer({
    openSocket: async (request) => {
      const started = performance.now();
      const socket = await openSocket(request);
      connectMs = performance.now() - started;
      return socket;
    },
  });
  const pool = (origin: string): Pool => {
    const known = pools.get(origin);
    if (known !== undefined) return known;
    if (pools.size >= originsMax) throw new TypeError(`more than ${originsMax} origins`);
    const made = dialer.pool(origin, {
      // The user named this address; a gateway in development is usually on a private one.
      rules: { allowPrivateHosts: new Set([hostOf(origin)]), ownAddresses: new Set() },
      ...(options.roots === undefined || !origin.startsWith("https:") ? {} : { tls: { ca: options.roots } }),
      connectTimeoutMs,
      connectionsMax: options.connectionsMax ?? 4,
    });
    pools.set(origin, made);
    return made;
  };
  const send: Sender["send"] = async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const { body, contentType } = bodyOf(init.body ?? null);
    const headers = new Headers(init.headers);
    if (contentType !== null && !headers.has("content-type")) headers.set("content-type", contentType);
    connectMs = null;
    const started = performance.now();
    const method = init.method ?? "GET";
    const answer = await pool(url.origin).request({
      path: url.pathname + url.search,
      // Whatever HTTP method the estate or the caller named; the types of undici know the registered ones.
      method: method as "GET",
      headers: Object.fromEntries(headers),
      body,
      ...(init.signal ? { signal: init.signal } : {}),
    });
    const firstByteMs = performance.now() - started - (connectMs ?? 0);
    options.timed?.({ method, url: url.href, status: answer.statusCode, connectMs, firstByteMs });
    return new Response(await bodyFor(answer, method), {
      status: answer.statusCode,
      headers: pairsOf(answer.headers),
    });
  };
  return { send, pool, close: async () => void (await Promise.all([...pools.values()].map((one) => one.destroy()))) };
}

function hostOf(origin: string): string {
  return new URL(origin).hostname.replace(/^\[|\]$/g, "");
}

function bodyOf(body: RequestInit["body"]): {
  readonly body: Uint8Array | string | Readable | null;
  contentType: string | null;
} {
  if (body instanceof URLSearchParams)
    return { body: body.toString(), contentType: "application/x-www-form-urlencoded;charset=UTF-8" };
  if (body === null || body === undefined) return { body: null, contentType: null };
  if (typeof body === "string" || body instanceof Uint8Array) return { body, contentType: null };
  throw new TypeError("a body is text or bytes here");
}

type Answer = Awaited<ReturnType<Pool["request"]>>;

/** A short body is read at once, so that its connection serves the next request even if nobody looks at it (a nonce round). */
async function bodyFor(
  { statusCode, headers, body }: Answer,
  method: string,
): Promise<ArrayBuffer | ReadableStream | null> {
  const length = Number(headers["content-length"] ?? Number.POSITIVE_INFINITY);
  if (bodyless.has(statusCode) || method === "HEAD") {
    body.resume();
    return null;
  }
  if (length <= heldBytesMax) return body.arrayBuffer();
  // node:stream/web and the global ReadableStream are one class with two declarations.
  return Readable.toWeb(body) as ReadableStream;
}

function pairsOf(headers: Readonly<Record<string, string | string[] | undefined>>): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : Array.isArray(value) ? value.map((one) => [name, one]) : [[name, value]],
  );
}
