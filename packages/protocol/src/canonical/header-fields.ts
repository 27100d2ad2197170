// Promises header fields with one reading: known characters, bounded, and no second value where the first could be believed.
// Trusts nothing. Specified in docs/formats/canonical-request.md (RFC 9110 §5, RFC 9112 §5; CVE-2026-26308, CVE-2025-64484).
import { type Deny, deny } from "../verdict.ts";
import { judgeName } from "./hop-headers.ts";
import type { CanonicalHeaders, CanonicalLimits } from "./request.ts";

/** Two of them are two requests in one; which counts depends on who reads. */
const singletons: ReadonlySet<string> = new Set([
  "host",
  "authorization",
  "dpop",
  "content-type",
  "content-length",
  "content-encoding",
  "content-location",
  "content-range",
  "transfer-encoding",
  "cookie",
  "date",
  "expect",
  "idempotency-key",
  "if-modified-since",
  "if-range",
  "if-unmodified-since",
  "max-forwards",
  "origin",
  "proxy-authorization",
  "range",
  "referer",
  "traceparent",
  "user-agent",
]);

// Narrower than the token of RFC 9110 §5.6.2: CGI-like servers fold every other character to "_", which makes aliases.
const fieldName = /^[A-Za-z0-9-]+$/;
// No control character, tab included, and no obs-text: bytes above 0x7e have no agreed reading, and some clients re-encode them, so that the next hop would see others.
const fieldValue = /^[\x20-\x7e]*$/;

const no = (code: "bad-header" | "duplicate-header" | "bad-framing" | "header-too-large", why: string): Deny =>
  deny("receive", code, { why });

export interface HeaderFields {
  readonly kind: "fields";
  readonly headers: CanonicalHeaders;
}

/** Lower-case names with all their values; identity headers are judged like any other and then left out. */
export function parseHeaderFields(rawHeaders: readonly string[], limits: CanonicalLimits): HeaderFields | Deny {
  if (rawHeaders.length > limits.headerCountMax * 2)
    return no("header-too-large", `more than ${limits.headerCountMax} header fields`);
  // Object.create(null) is typed any; an empty object without prototype has exactly this type.
  const headers = Object.create(null) as Record<string, readonly string[]>;
  let bytes = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const received = rawHeaders[i] ?? "";
    const value = trimWhitespace(rawHeaders[i + 1] ?? "");
    bytes += received.length + value.length + 4;
    if (bytes > limits.headerBytesMax)
      return no("header-too-large", `the header section exceeds ${limits.headerBytesMax} bytes`);
    if (received.length > limits.headerNameBytesMax) return no("header-too-large", "a header field name is too long");
    if (!fieldName.test(received))
      return no("bad-header", "a header field name holds other characters than letters, digits and hyphens");
    const { name, isIdentity } = judgeName(received);
    if (value.length > limits.headerValueBytesMax) return no("header-too-large", `the value of ${name} is too long`);
    if (!fieldValue.test(value))
      return no("bad-header", `the value of ${name} holds a control character or a byte above 0x7e`);
    if (isIdentity) continue;
    const values = headers[name];
    if (values === undefined) headers[name] = Object.freeze([value]);
    else if (singletons.has(name)) return refuseSecond(name);
    else headers[name] = Object.freeze([...values, value]);
  }
  return { kind: "fields", headers: Object.freeze(headers) };
}

function refuseSecond(name: string): Deny {
  const framing = name === "content-length" || name === "transfer-encoding";
  return no(framing ? "bad-framing" : "duplicate-header", `${name} occurs more than once`);
}

/** Optional white space around a value is not part of it (RFC 9110 §5.5): space and tab, nothing else. */
function trimWhitespace(value: string): string {
  const edge = (index: number): boolean => {
    const code = value.charCodeAt(index);
    return code === 0x20 || code === 0x09;
  };
  let start = 0;
  let end = value.length;
  while (start < end && edge(start)) start++;
  while (end > start && edge(end - 1)) end--;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}
