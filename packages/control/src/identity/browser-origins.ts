// Promises that a page may read what the token endpoint answers only where a public client of the issuer lives at the page's very origin, never with
// credentials and never by wildcard. Trusts the directory for the redirect URIs. Fetch §3.2, RFC 6454 §6, docs/identity/authorization-code.md "Apps in a browser".
import type { IncomingMessage } from "node:http";
import type { Directory, IdentityClient } from "./directory.ts";

/** How long a browser may keep the answer to its preflight, in seconds: a client that is taken out is gone for browsers after that. */
const preflightSeconds = 600;
/** What a page may send besides the fields every page may. */
const requestFields: ReadonlySet<string> = new Set(["content-type", "dpop"]);

/** Origins of a public client's https redirect URIs. An app at a scheme of its own, or on loopback, is no page. */
export function originsOf({ isPublic, redirectUris }: IdentityClient): ReadonlySet<string> {
  if (!isPublic) return new Set();
  return new Set(redirectUris.filter((uri) => uri.startsWith("https://")).map((uri) => new URL(uri).origin));
}

const origins = new WeakMap<Directory, ReadonlySet<string>>();

/** Whether some public client lives at this origin, compared character by character. Clients are gone through once for each directory. */
export function isOriginOf(directory: Directory, origin: string): boolean {
  const known =
    origins.get(directory) ?? new Set([...directory.clients.values()].flatMap((one) => [...originsOf(one)]));
  origins.set(directory, known);
  return known.has(origin);
}

const allowed = new WeakMap<IncomingMessage, string>();

/** The answer to this request may be read at this origin. */
export function allowOrigin(req: IncomingMessage, origin: string): void {
  allowed.set(req, origin);
}

/** Fields of the answer to a request whose page may read it; none for every other one. */
export function corsFields(req: IncomingMessage): Readonly<Record<string, string>> {
  const origin = allowed.get(req);
  if (origin === undefined) return {};
  return { "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "DPoP-Nonce", Vary: "Origin" };
}

/** The answer to a preflight for a POST; null: the browser is told nothing, and does not send it. */
export function preflightFields(req: IncomingMessage): Readonly<Record<string, string>> | null {
  const { origin, "access-control-request-method": method, "access-control-request-headers": asked = "" } = req.headers;
  const names = String(asked)
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  if (origin === undefined || method !== "POST" || names.some((name) => !requestFields.has(name))) return null;
  return {
    "Access-Control-Allow-Origin": origin,
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": [...requestFields].join(", "),
    "Access-Control-Max-Age": String(preflightSeconds),
    Vary: "Origin",
  };
}
