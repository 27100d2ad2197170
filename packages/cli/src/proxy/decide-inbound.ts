// Promises which local requests a signing proxy may carry: those of programs on this machine that were meant for it, and never a browser's page.
// Trusts nothing of a request. Pure. Specified in docs/cli/proxy.md "What it refuses".
import { createHash, timingSafeEqual } from "node:crypto";

export interface InboundRules {
  /** `127.0.0.1:9000`, `localhost:9000`, `[::1]:9000`; null on a Unix socket, which no page can reach. */
  readonly hosts: ReadonlySet<string> | null;
  readonly allowedOrigins: ReadonlySet<string>;
  /** SHA-256 of the shared secret, when one is asked for. */
  readonly secretHash: Uint8Array | null;
}

export interface Inbound {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface Refusal {
  readonly status: number;
  readonly why: string;
  readonly fix: string;
}

export const secretHeader = "sallyport-proxy-token";

const methods = new Set(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]);
/** What would say who calls, or prove it: the proxy does both, and a mixture would leave open which of the two counted. */
const credentials = ["authorization", "dpop", "proxy-authorization"];

/** Null: it may go on. */
export function decideInbound({ method, target, headers }: Inbound, rules: InboundRules): Refusal | null {
  return (
    decideHost(headers, rules) ??
    decideBrowser(headers, rules) ??
    decideSecret(headers, rules) ??
    decideForm(method, target) ??
    decideCredentials(headers)
  );
}

const no = (status: number, why: string, fix: string): Refusal => ({ status, why, fix });

/** A page whose name was rebound to 127.0.0.1 sends its own name here: that is how DNS rebinding is told. */
function decideHost(headers: Inbound["headers"], { hosts }: InboundRules): Refusal | null {
  if (hosts === null) return null;
  const host = headers["host"];
  if (typeof host === "string" && hosts.has(host.toLowerCase())) return null;
  return no(421, "the Host is not this proxy's", `call it as http://${[...hosts][0] ?? "127.0.0.1"}`);
}

function decideBrowser(headers: Inbound["headers"], { allowedOrigins }: InboundRules): Refusal | null {
  const { origin } = headers;
  if (typeof origin === "string") {
    if (allowedOrigins.has(origin)) return null;
    return no(403, "the request comes from a web page", "pages that may use this proxy are named with --allow-origin");
  }
  // Set by browsers alone, and no page can change it. `none` is a person at the address bar.
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "none") return null;
  return no(403, "the request comes from a web page", "pages that may use this proxy are named with --allow-origin");
}

function decideSecret(headers: Inbound["headers"], { secretHash }: InboundRules): Refusal | null {
  if (secretHash === null) return null;
  const given = headers[secretHeader];
  if (typeof given === "string" && timingSafeEqual(hashSecret(given), secretHash)) return null;
  return no(403, "the shared secret is missing or wrong", "send the content of --token-file as Sallyport-Proxy-Token");
}

function decideForm(method: string, target: string): Refusal | null {
  if (!methods.has(method))
    return no(405, "the method is not one that crosses", `use one of ${[...methods].join(", ")}`);
  // URL parsers read a backslash as a slash, and then a host behind two of them.
  if (/^\/(?!\/)[\x21-\x7e]*$/.test(target) && !/[#\\]/.test(target)) return null;
  return no(
    400,
    "the target is not a path",
    "call it as an origin, not as a forward proxy: http://127.0.0.1:9000/path",
  );
}

function decideCredentials(headers: Inbound["headers"]): Refusal | null {
  const own = Object.keys(headers).find(
    (name) => credentials.includes(name) || (name.startsWith("sallyport-") && name !== secretHeader),
  );
  if (own === undefined) return null;
  return no(400, `the request brings its own ${own}`, "this proxy proves the caller itself; leave that field out");
}

export function hashSecret(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

/** RFC 9110 §7.6.1, framing, and what is this proxy's own. */
const endsHere = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "expect",
  "host",
  "content-length",
  secretHeader,
]);

/** Names and values alternating, as they go on; `connection` names more that end here. */
export function keptHeaders(raw: readonly string[], connection: string | undefined): string[] {
  const named = new Set((connection ?? "").split(",").map((option) => option.trim().toLowerCase()));
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (endsHere.has(name.toLowerCase()) || named.has(name.toLowerCase())) continue;
    kept.push(name, raw[i + 1] ?? "");
  }
  return kept;
}
