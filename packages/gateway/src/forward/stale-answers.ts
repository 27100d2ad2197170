// Promises earlier answers of a provider for when it fails: each only to the principal it was given to, for the very request it answered, whole, and not
// longer than its operation says; bounded in all. Trusts the stages before for who asks. Specified in docs/resilience.md "Fallback"; RFC 9111 §3, §4.2.4.
import { hash } from "node:crypto";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";

/** An answer that stands in for another. */
export interface StandIn {
  readonly status: number;
  /** As a provider sends them, names and values alternating; without a length. */
  readonly fields: readonly string[];
  readonly content: Buffer;
}

interface Kept extends StandIn {
  readonly atMs: number;
  readonly bytes: number;
}

/** Content of one answer, and of all with their fields and keys, of one gateway. */
export const staleBytesMax = 64 * 1024;
export const staleBytesInAllMax = 32 * 1024 * 1024;
/** What an entry costs beside its bytes. */
const entryBytes = 512;
/** A provider that says one of these forbids an answer that is not fresh (RFC 9111 §5.2.2). */
const forbidding = /(?:^|[\s,])(?:no-store|no-cache|must-revalidate|proxy-revalidate|s-maxage)(?:$|[\s,=])/i;
/** Fields by which a provider may choose among answers where it says so (`Vary`). */
const chosenBy = ["accept", "accept-encoding", "accept-language", "origin"] as const;
/**
 * Fields that choose no answer: they end here, are of one request, or ask a cache. Any other may, whether its provider says so or not: a caller that acts for
 * many people may tell by a cookie, or by a field of its own, for whom it asks.
 */
const choosesNone: ReadonlySet<string> = new Set([
  ...["authorization", "connection", "content-length", "dpop", "host", "keep-alive", "signature", "signature-input"],
  ...["cache-control", "date", "if-match", "if-modified-since", "if-none-match", "if-unmodified-since", "max-forwards"],
  ...["baggage", "b3", "correlation-id", "pragma", "request-id", "request-timeout-ms", "traceparent", "tracestate"],
  ...["user-agent", "via", "x-amzn-trace-id", "x-b3-parentspanid", "x-b3-sampled", "x-b3-spanid", "x-b3-traceid"],
  ...["x-correlation-id", "x-request-id", "x-trace-id"],
]);
/** As true later as when it was said; a field nobody thought of is left out. */
const keptFields: ReadonlySet<string> = new Set([
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-location",
  "content-type",
  "etag",
  "last-modified",
  "link",
  "vary",
]);

export interface AskedRead {
  readonly principal: Principal;
  /** Full name of the operation, and where its system is served. */
  readonly operation: string;
  readonly places: readonly { readonly origin: string; readonly basePath: string }[];
  readonly request: Pick<CanonicalRequest, "path" | "query" | "headers">;
}

/** Everything that may have made the answer what it is, as a hash: what callers send may be a secret. Pure. */
export function staleKey({ principal, operation, places, request }: AskedRead): string {
  const { caller, client, issuer, subject, act, acr, scopes } = principal;
  const fields = Object.entries(request.headers)
    .filter(([name]) => !choosesNone.has(name))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const asked = JSON.stringify([
    ...[operation, places.map(({ origin, basePath }) => origin + basePath), request.path, request.query],
    ...[caller, client, issuer, subject, act, acr, scopes],
    fields,
  ]);
  return hash("sha256", asked, "base64url");
}

/** What of an answer may be given again; null: nothing. `fields`: as the provider sent them. Pure. */
export function keepable(answer: StandIn): StandIn | null {
  if (answer.status !== 200 || answer.content.length > staleBytesMax) return null;
  const fields: string[] = [];
  for (let i = 0; i + 1 < answer.fields.length; i += 2) {
    const name = (answer.fields[i] ?? "").toLowerCase();
    const value = answer.fields[i + 1] ?? "";
    if (name === "set-cookie" || (name === "cache-control" && forbidding.test(value))) return null;
    if (name === "vary" && !value.split(",").every((one) => isPartOfKey(one.trim().toLowerCase()))) return null;
    if (keptFields.has(name)) fields.push(name, value);
  }
  return { status: answer.status, fields, content: Buffer.from(answer.content) };
}

const isPartOfKey = (name: string): boolean => (chosenBy as readonly string[]).includes(name);

export class StaleAnswers {
  /** Oldest first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  /** What they take, by their own account. */
  get bytes(): number {
    return this.#bytes;
  }

  keep(key: string, answer: StandIn, nowMs: number): void {
    this.#drop(key);
    const kept = keepable(answer);
    if (kept === null) return;
    const bytes = entryBytes + 2 * key.length + 2 * kept.fields.join("").length + kept.content.length;
    this.#kept.set(key, { ...kept, atMs: nowMs, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= staleBytesInAllMax) return;
      this.#drop(oldest);
    }
  }

  /** The answer and how old it is in milliseconds; null: there is none so young. */
  find(key: string, on: { readonly nowMs: number; readonly ageMsMax: number }): (StandIn & { ageMs: number }) | null {
    const kept = this.#kept.get(key);
    if (kept === undefined) return null;
    const ageMs = on.nowMs - kept.atMs;
    if (ageMs <= on.ageMsMax) return { ...kept, ageMs };
    this.#drop(key);
    return null;
  }

  #drop(key: string): void {
    this.#bytes -= this.#kept.get(key)?.bytes ?? 0;
    this.#kept.delete(key);
  }
}
