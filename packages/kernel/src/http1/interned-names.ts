// Promises one and the same string for a field name seen often, so that it is made once and its hash is known. Trusts nothing: any other name is sliced.
// Not a list of what is allowed. Names are those of RFC 9110 and of DPoP, W3C trace context and common clients and servers.

const known = [
  ...["accept", "accept-encoding", "accept-language", "age", "allow", "authorization", "cache-control", "connection"],
  ...[
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "cookie",
    "date",
  ],
  ...["dpop", "dpop-nonce", "etag", "expect", "expires", "forwarded", "from", "host", "idempotency-key", "if-match"],
  ...["if-modified-since", "if-none-match", "keep-alive", "last-modified", "link", "location", "origin", "pragma"],
  ...["range", "referer", "retry-after", "sallyport-crossing", "sallyport-identity", "sec-fetch-mode", "server"],
  ...["set-cookie", "strict-transport-security", "te", "traceparent", "tracestate", "trailer", "transfer-encoding"],
  ...["upgrade", "user-agent", "vary", "via", "www-authenticate", "x-content-type-options", "x-forwarded-for"],
  ...["x-powered-by", "x-request-id"],
];

const bucketsMask = 1_023;
const buckets = bucketsOf([
  ...known,
  ...known.map(inTitleCase),
  "DPoP",
  "DPoP-Nonce",
  "ETag",
  "TE",
  "WWW-Authenticate",
]);

/** The name that stands from `start` to `end`; null where it is none of those known in this very spelling. */
export function internedName(octets: Uint8Array, start: number, end: number): string | null {
  const candidates = buckets[bucketOf(end - start, octets[start] ?? 0, octets[end - 1] ?? 0)];
  if (candidates === undefined) return null;
  for (const name of candidates) if (stands(name, octets, start, end)) return name;
  return null;
}

function stands(name: string, octets: Uint8Array, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) !== octets[start + i]) return false;
  return true;
}

function bucketOf(length: number, first: number, last: number): number {
  return (length * 61 + first * 7 + last) & bucketsMask;
}

function bucketsOf(names: readonly string[]): readonly (readonly string[] | undefined)[] {
  const table: string[][] = [];
  for (const name of names) {
    const at = bucketOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
    table[at] = [...(table[at] ?? []), name];
  }
  return Array.from({ length: bucketsMask + 1 }, (_, i) => table[i]);
}

function inTitleCase(name: string): string {
  return name
    .split("-")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("-");
}
