// Promises the request line and the header section that HTTP/2 sends as fields, with one reading, or a refusal: nothing is repaired, and nothing that
// HTTP/1.1 would frame or route by can hide among them. Trusts nothing. Specified in RFC 9113 §8.2-8.3 and docs/formats/canonical-request.md.
import { type Deny, deny } from "../verdict.ts";

export interface Http2Request {
  readonly kind: "http2";
  readonly method: string;
  /** `:path` as sent. */
  readonly target: string;
  /** Names and values alternating; `host` first, from `:authority` or the field. */
  readonly rawHeaders: readonly string[];
}

const no = (code: "bad-request-line" | "bad-header" | "bad-host" | "method-not-supported", why: string): Deny =>
  deny("receive", code, { why });

/** RFC 9113 §8.2.2: what belongs to a connection of HTTP/1.1 has no meaning here, but it would have one behind us. */
const ofConnection: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

const pseudoNames: ReadonlySet<string> = new Set([":method", ":scheme", ":path", ":authority"]);

/** `fields`: names and values alternating, as sent. `scheme`: of the listener. Pure. */
export function readHttp2Fields(fields: readonly string[], scheme: "https" | "http"): Http2Request | Deny {
  const pseudo = new Map<string, string>();
  let at = 0;
  for (; at + 1 < fields.length && fields[at]?.startsWith(":") === true; at += 2) {
    const name = fields[at] ?? "";
    // `:protocol` too: extended CONNECT (RFC 8441) is not offered.
    if (!pseudoNames.has(name)) return no("bad-request-line", "a pseudo-header field is none of a request's four");
    if (pseudo.has(name)) return no("bad-request-line", `${name} occurs more than once`);
    pseudo.set(name, fields[at + 1] ?? "");
  }
  const section = readSection(fields, at);
  if (section.kind === "deny") return section;
  const method = pseudo.get(":method");
  if (method === undefined) return no("bad-request-line", ":method is missing");
  if (method === "CONNECT") return no("method-not-supported", "CONNECT: no tunnel is made");
  if (pseudo.get(":scheme") !== scheme)
    return no("bad-request-line", `:scheme is not ${scheme}, that of the connection`);
  const target = pseudo.get(":path");
  // CVE-2026-33186: without the slash another reader would make another path of it. `*` and the empty one are no resource.
  if (target?.startsWith("/") !== true) return no("bad-request-line", ":path does not begin with a slash");
  const host = hostOf(pseudo.get(":authority"), section.host);
  if (typeof host !== "string") return host;
  return { kind: "http2", method, target, rawHeaders: ["host", host, ...section.rest] };
}

interface Section {
  readonly kind: "section";
  readonly host: string | undefined;
  readonly rest: readonly string[];
}

function readSection(fields: readonly string[], from: number): Section | Deny {
  const rest: string[] = [];
  const crumbs: string[] = [];
  let host: string | undefined;
  for (let i = from; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    const wrong = judge(name, value);
    if (wrong !== null) return no("bad-header", wrong);
    if (name === "host") {
      if (host !== undefined) return no("bad-host", "host occurs more than once");
      host = value;
    } else if (name === "cookie") crumbs.push(value);
    else rest.push(name, value);
  }
  // RFC 9113 §8.2.3: crumbs are one field, and this is how they are joined.
  if (crumbs.length > 0) rest.push("cookie", crumbs.join("; "));
  return { kind: "section", host, rest };
}

const upperCase = /[A-Z]/;

/** What HTTP/2 adds to the rules that header-fields.ts holds for every version. */
function judge(name: string, value: string): string | null {
  if (name.startsWith(":")) return "a pseudo-header field behind the others";
  if (upperCase.test(name)) return "a field name in upper case";
  if (ofConnection.has(name)) return `${name} belongs to connections of HTTP/1.1`;
  if (name === "te" && value !== "trailers") return "te says something else than trailers";
  const edges = value === "" ? "" : (value[0] ?? "") + (value.at(-1) ?? "");
  if (/[ \t]/.test(edges)) return `white space around the value of ${name}`;
  return null;
}

function hostOf(authority: string | undefined, host: string | undefined): string | Deny {
  if (authority === undefined) return host ?? "";
  // User information is none of an authority here, and whoever cuts it off reads another host.
  if (authority === "" || authority.includes("@")) return no("bad-host", ":authority is no host with an optional port");
  return host === undefined || host === authority ? authority : no("bad-host", ":authority and host differ");
}

/** Are these fields (names and values alternating, no pseudo-header fields) ones that HTTP/2 and we allow? Null, or why not. */
export function judgeHttp2Fields(fields: readonly string[]): string | null {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (!anyName.test(name) || !fieldValue.test(value)) return "a field with characters that no field has";
    const wrong = judge(name, value);
    if (wrong !== null) return wrong;
  }
  return null;
}

/** May fields that came behind the content (names and values alternating) be what they claim to be? Null, or why not. */
export function judgeTrailers(fields: readonly string[]): string | null {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (name.startsWith(":")) return "a pseudo-header field among the trailers";
    if (framing.has(name)) return `${name} among the trailers`;
    const value = fields[i + 1] ?? "";
    if (!fieldName.test(name) || !fieldValue.test(value)) return "a trailer with characters that no field has";
    const wrong = judge(name, value);
    if (wrong !== null) return wrong;
  }
  return null;
}

/** RFC 9110 §5.6.2, in lower case: providers use more of it than callers may. */
const anyName = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const fieldName = /^[a-z0-9-]+$/;
const fieldValue = /^[\x20-\x7e]*$/;
/** What decides about a message that has been decided about already (RFC 9110 §6.5.1). */
const framing: ReadonlySet<string> = new Set(["content-length", "host", "authorization", "dpop", "te", "trailer"]);
