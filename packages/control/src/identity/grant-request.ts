// Promises what a grant learns of a form, whoever parsed it: parameters that came once, every proof, the certificate of the connection.
// Trusts the listener for bounds. RFC 6749 §3.2: a parameter must not stand twice; only `resource` may (RFC 8707 §2).
import type { IncomingMessage } from "node:http";
import type { Form } from "./endpoint-form.ts";
import type { GrantRequest, OpenGrant } from "./seams.ts";
import { addressOf, certificateOf } from "./source-address.ts";

interface Known {
  readonly issuer: string;
  /** Parameters of the grant's own. */
  readonly names: readonly string[];
  /** "": nobody was authenticated. */
  readonly clientId: string;
  readonly url: string;
}

export function grantRequestOf(req: IncomingMessage, form: Form, known: Known): GrantRequest {
  const { resource, scope } = form;
  const { rawHeaders } = req;
  const own = known.names.flatMap((name) => {
    const value = form[name];
    return typeof value === "string" ? [[name, value] as const] : [];
  });
  return {
    issuer: known.issuer,
    clientId: known.clientId,
    resources: resource === undefined ? [] : typeof resource === "string" ? [resource] : resource,
    scope: typeof scope === "string" ? scope : undefined,
    parameters: Object.fromEntries(own),
    url: known.url,
    proofs: rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === "dpop"),
    certificate: certificateOf(req)?.raw ?? null,
    ...(req.headers.accept === undefined ? {} : { accept: req.headers.accept }),
    address: addressOf(req),
  };
}

/** Ways to authenticate a client: a request that also tries one is not quietly taken without it. */
const authenticating = ["client_assertion", "client_assertion_type", "client_secret"];

/** The request of a grant without client authentication; null when a parameter stands twice or a client is authenticated as well. */
export function openRequest(
  req: IncomingMessage,
  form: Form,
  { grant, issuer }: { readonly grant: OpenGrant; readonly issuer: string },
): GrantRequest | null {
  const once = ["grant_type", "scope", ...grant.parameters];
  if (
    req.headers.authorization !== undefined ||
    once.some((name) => Array.isArray(form[name])) ||
    authenticating.some((name) => form[name] !== undefined)
  )
    return null;
  // An empty value is an absent one (RFC 6749 §3.2).
  const sent = Object.fromEntries(Object.entries(form).filter(([, value]) => value !== ""));
  return grantRequestOf(req, sent, { issuer, names: grant.parameters, clientId: "", url: `${issuer}/token` });
}
