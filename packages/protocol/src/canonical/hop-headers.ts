// Promises that nothing a caller sends can pass for what Sallyport says, and that hop-by-hop fields end at this hop.
// Trusts nothing. Specified by RFC 9110 §7.6.1 and docs/formats/canonical-request.md (CVE-2026-39998, CVE-2025-48865, CVE-2025-64484).
import type { CanonicalHeaders } from "./request.ts";

/** RFC 9110 §7.6.1, and the fields that frame a message: the next hop gets its own. */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  // Of the handshake of this hop (RFC 6455 §11.3); the next one has a handshake of its own.
  "sec-websocket-key",
  "sec-websocket-accept",
  "sec-websocket-version",
  "sec-websocket-protocol",
  "sec-websocket-extensions",
]);

/** Read by a stage and then never passed on: framing, and the proof that was made for this hop. */
const endsHere: ReadonlySet<string> = new Set(["host", "content-length", "expect", "authorization", "dpop"]);

/**
 * Names under which some server, somewhere, believes who the caller is, where it came from or what it asked for.
 * Only a gateway may set them, so they are cut from every request before any stage reads it.
 */
const identityNames: ReadonlySet<string> = new Set([
  "forwarded",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "client-ip",
  "true-client-ip",
  "fastly-client-ip",
  "x-originating-ip",
  "x-azure-clientip",
  "x-azure-socketip",
  "x-forwarded",
  "front-end-https",
  "x-scheme",
  "x-nginx-proxy",
  "x-username",
  "x-user-email",
  "x-groups",
  "x-middleware-subrequest",
  "proxy",
  "x-user",
  "x-user-id",
  "x-userinfo",
  "x-endpoint-api-userinfo",
  "x-apigateway-api-userinfo",
  "x-id-token",
  "x-access-token",
  "x-original-url",
  "x-original-uri",
  "x-original-host",
  "x-original-method",
  "x-original-forwarded-for",
  "x-rewrite-url",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-host",
]);
const identityPrefixes =
  /^(?:sallyport-|x-forwarded-|x-sallyport-|client-cert|x-client-cert|x-client-dn|x-client-san|x-client-verify|ssl-client|x-ssl-|x-tls-client|x-mtls-|x-amzn-mtls-|x-amzn-oidc-|x-auth-request-|x-authenticated-|x-consumer-|x-credential-|x-envoy-|x-goog-authenticated-|x-goog-iap-|x-ms-client-principal|x-ms-token-|x-webauth-|x-jwt-|x-claim|x-spiffe|cf-access-|cf-connecting-|remote-|x-remote-|impersonate-|x-arr-|x-pomerium-|x-authentik-|x-vouch-|x-appengine-)/;

/** May only Sallyport say this? `name` in lower case. Authorization and DPoP are not among them: they are the caller's to send, to us. */
export function isIdentityHeader(name: string): boolean {
  return identityNames.has(name) || identityPrefixes.test(name);
}

/** What a received field name is, whoever sends it: judged once, because callers send the same few names again and again. */
export interface JudgedName {
  /** In lower case. */
  readonly name: string;
  /** Only Sallyport may say this. */
  readonly isIdentity: boolean;
  /** Goes on to the provider, unless a Connection field names it. */
  readonly goesUp: boolean;
  /** Goes back to the caller, unless a Connection field names it. */
  readonly goesDown: boolean;
}

/** Names remembered; when they are too many, remembering begins anew. */
const judgedNamesMax = 1024;
const judgedNameLengthMax = 64;
let judgedNames = new Map<string, JudgedName>();

/** Judges a name in any case. It must have been found to be a field name; nothing here looks at its characters. */
export function judgeName(received: string): JudgedName {
  const known = judgedNames.get(received);
  if (known !== undefined) return known;
  const name = received.toLowerCase();
  const isIdentity = isIdentityHeader(name);
  const isHopByHop = hopByHop.has(name);
  const judged: JudgedName = {
    name,
    isIdentity,
    goesUp: !isHopByHop && !endsHere.has(name) && !isIdentity,
    goesDown: !isHopByHop && !oursInResponses.test(name),
  };
  if (received.length > judgedNameLengthMax) return judged;
  if (judgedNames.size >= judgedNamesMax) judgedNames = new Map();
  judgedNames.set(received, judged);
  return judged;
}

/** Lower-case option names of all Connection fields (RFC 9110 §7.6.1). */
export function connectionOptions(values: readonly string[] | undefined): ReadonlySet<string> {
  if (values === undefined) return nothing;
  // What nearly every caller sends.
  const known = values.length === 1 ? commonOptions.get(values[0] ?? "") : undefined;
  if (known !== undefined) return known;
  const options = values.flatMap((value) => value.split(","));
  return new Set(options.map((option) => option.trim().toLowerCase()).filter((option) => option !== ""));
}

const nothing: ReadonlySet<string> = new Set();
const commonOptions: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  ["keep-alive", "Keep-Alive", "close"].map((value) => [value, new Set([value.toLowerCase()])]),
);

/** What a caller's Connection may name: all of it ends at this hop anyway, so naming it changes nothing (RFC 9110 §7.6.1). */
const connectionNames: ReadonlySet<string> = new Set([
  "close",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
]);

/** May a caller's Connection field name this option? In lower case. */
export function isConnectionOption(option: string): boolean {
  return connectionNames.has(option);
}

/** Fields that the provider gets from us alone, whatever the caller sent under the name. */
const replacedByOurs: ReadonlySet<string> = new Set(["traceparent", "request-timeout-ms"]);

/** Can a provider ever see a caller's field of this name (lower case)? Only such a field may decide an attribute. */
export function reachesProvider(name: string): boolean {
  return keepsRequestHeader(name, nothing) && !replacedByOurs.has(name);
}

/** Does this request field of the caller go on to the provider? `named`: connectionOptions of the same request. */
export function keepsRequestHeader(name: string, named: ReadonlySet<string>): boolean {
  return judgeName(name).goesUp && !named.has(name);
}

/**
 * Fields for the provider, names and values alternating. `own` is what the gateway says (Host, traceparent, Sallyport-Identity …):
 * it replaces the caller's field of the same name and is appended last, so no Connection option of the caller can take it away.
 */
export function requestHeadersForUpstream(headers: CanonicalHeaders, own: Readonly<Record<string, string>>): string[] {
  const ownNames = Object.keys(own);
  const sent = headersPassedUpstream(headers, ownNames);
  for (const name of ownNames) sent.push(name, own[name] ?? "");
  return sent;
}

/** The caller's part of them. `replaced`: names, in any case, under which the gateway says something of its own. */
export function headersPassedUpstream(headers: CanonicalHeaders, replaced: readonly string[]): string[] {
  const named = connectionOptions(headers["connection"]);
  const passed: string[] = [];
  for (const name of Object.keys(headers)) {
    if (!keepsRequestHeader(name, named) || isOneOf(replaced, name)) continue;
    for (const value of headers[name] ?? []) passed.push(name, value);
  }
  return passed;
}

/** `names` are few and in any case, `name` is in lower case. */
function isOneOf(names: readonly string[], name: string): boolean {
  for (const one of names) if (one === name || (one.length === name.length && one.toLowerCase() === name)) return true;
  return false;
}

/**
 * Fields that a provider must not say in our name: a verdict, a nonce or a limit of ours, which pages may read our answers, or a way around us (RFC 7838).
 * Content-Length is framing: whoever sends the answer on sets it anew.
 */
const oursInResponses =
  /^(?:sallyport-|dpop-nonce$|alt-svc$|alt-used$|ratelimit$|ratelimit-|access-control-|content-length$)/;

/** Is this response field (lower case) a word to pages of browsers (Fetch §3.2)? */
export const isForPages = (name: string): boolean => name.startsWith("access-control-");

/** Does this response field of the provider go back to the caller? `named`: connectionOptions of the same response. */
export function keepsResponseHeader(name: string, named: ReadonlySet<string>): boolean {
  return judgeName(name).goesDown && !named.has(name);
}
