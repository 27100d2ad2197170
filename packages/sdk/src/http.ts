// Promises bounded answers within a bounded time, and no redirect: what is fetched is what was named.
// Trusts the fetch it is given for TLS. Used for metadata, the token endpoint and hop keys.
import { parseJsonObject } from "@sallyport/protocol/token/json.ts";

export type Fetch = typeof globalThis.fetch;

export interface SdkPorts {
  /** Bring your own for client certificates or private roots; default: the global one. */
  readonly fetch?: Fetch;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** 0 to 1; spreads renewals, so that a fleet does not ask at the same moment. Never used for a key, an id or a nonce. */
  readonly random?: () => number;
}

export const answerBytesMax = 256 * 1024;
export const answerTimeoutMs = 10_000;

export interface JsonAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** null when the body is not one JSON object (repeated names included) or is too large. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

/** Rejects when there is no answer in time; a redirect counts as none. */
export async function fetchJson(fetch: Fetch, url: string, init: RequestInit = {}): Promise<JsonAnswer> {
  const response = await fetch(url, { ...init, redirect: "error", signal: AbortSignal.timeout(answerTimeoutMs) });
  const bytes = await readBounded(response);
  return { status: response.status, headers: response.headers, body: bytes === null ? null : parseJsonObject(bytes) };
}

async function readBounded(response: Response): Promise<Uint8Array | null> {
  if (response.body === null) return null;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    // Leaving the loop cancels the stream.
    if (length > answerBytesMax) return null;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
