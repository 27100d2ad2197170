// Promises that an error of the token endpoint says what to fix and nothing about who exists. Trusts only the error codes listed here.
// Codes: RFC 6749 §5.2, RFC 8707 §2, RFC 9449 §5 and §8.

import type { GrantRefusal } from "./seams.ts";

export interface PublicAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, string | number>>;
}

const fixed: Readonly<Record<string, PublicAnswer>> = {
  // One face for unknown client, wrong key, wrong audience, expired, replayed: nobody learns which clients exist.
  invalid_client: {
    status: 401,
    headers: { "WWW-Authenticate": 'private_key_jwt realm="sallyport"' },
    body: { error: "invalid_client", error_description: "client authentication failed" },
  },
  unsupported_grant_type: {
    status: 400,
    headers: {},
    body: { error: "unsupported_grant_type", error_description: "this grant_type is not served here" },
  },
  temporarily_unavailable: {
    status: 503,
    headers: { "Retry-After": "1" },
    body: { error: "temporarily_unavailable", error_description: "no token can be issued right now; try again" },
  },
};

/** Too many failures of one client from one network (RFC 6585 §4). */
export const throttled = (retryAfterSeconds: number): PublicAnswer => ({
  status: 429,
  headers: { "Retry-After": String(retryAfterSeconds) },
  body: {
    error: "temporarily_unavailable",
    error_description: "too many failed attempts of this client from this network; wait as long as Retry-After says",
  },
});

/** A page at another origin than that of a public client. */
export const notForBrowsers: PublicAnswer = {
  status: 400,
  headers: {},
  body: { error: "invalid_request", error_description: "this endpoint is not for browsers" },
};

const malformed: PublicAnswer = {
  status: 400,
  headers: {},
  body: {
    error: "invalid_request",
    error_description:
      "send client_assertion, client_assertion_type, grant_type and what the grant needs, each once, form-encoded",
  },
};

/** Errors of oidc-provider that are the request's fault; what it says about them is not passed on. */
const fromRequest: Readonly<Record<string, PublicAnswer>> = {
  invalid_request: malformed,
  invalid_scope: {
    status: 400,
    headers: {},
    body: { error: "invalid_scope", error_description: "scope must be operation names separated by single spaces" },
  },
  unauthorized_client: {
    status: 400,
    headers: {},
    body: { error: "unauthorized_client", error_description: "this client may not use this grant_type" },
  },
};

/** What a pushed request may be refused for (RFC 6749 §4.1.2.1, RFC 9101, RFC 9126, RFC 9449, OpenID Connect Core §3.1.2.6). */
const ofRequests = new Set([
  "invalid_request",
  "invalid_request_object",
  "invalid_redirect_uri",
  "invalid_scope",
  "invalid_target",
  "unauthorized_client",
  "unsupported_response_type",
  "unsupported_response_mode",
  "request_uri_not_supported",
  "registration_not_supported",
  "invalid_dpop_proof",
  "use_dpop_nonce",
]);
const describedForm = /^[\x20-\x7e]{1,200}$/;

/** The answer to give a client that has proven who it is for its pushed request: what is wrong with it, in fixed sentences of oidc-provider and ours. */
export function answerOfPushed(status: number, body: unknown): PublicAnswer {
  const { error, error_description: described } =
    typeof body === "object" && body !== null ? (body as { error?: unknown; error_description?: unknown }) : {};
  if (typeof error !== "string" || status >= 500 || !ofRequests.has(error)) return answerOf(status, body);
  const text =
    typeof described === "string" && describedForm.test(described) ? described : "the request is not acceptable";
  // RFC 9126 §2.3 has no code of its own for a wrong redirect URI.
  const code = error === "invalid_redirect_uri" ? "invalid_request" : error;
  return { status: 400, headers: {}, body: { error: code, error_description: text } };
}

/** The answer to give for a refusal by one of our handlers, whose text may be shown. */
export function answerOfRefusal(refusal: GrantRefusal): PublicAnswer {
  const { error, description } = refusal;
  return fixed[error] ?? { status: 400, headers: {}, body: { error, error_description: description } };
}

/** The answer to give for an error of oidc-provider. Everything unknown becomes 503. */
export function answerOf(status: number, body: unknown): PublicAnswer {
  const { error } = typeof body === "object" && body !== null ? (body as { error?: unknown }) : {};
  const unavailable = fixed["temporarily_unavailable"] ?? malformed;
  if (typeof error !== "string" || status >= 500) return unavailable;
  return fixed[error] ?? fromRequest[error] ?? unavailable;
}

/** What oidc-provider says in a refusal's detail, in the words of our records. */
const details: readonly (readonly [RegExp, string])[] = [
  [/^client not found/, "client-unknown"],
  [/^alg mismatch/, "assertion-algorithm"],
  [/^no applicable key/, "assertion-key-unknown"],
  [/^signature verification failed/, "assertion-signature"],
  [/^jwt expired/, "assertion-expired"],
  [/^(jwt not active|jwt issued in the future)/, "assertion-future"],
  [/audience|^aud /, "assertion-audience"],
  [/^iss /, "assertion-issuer"],
  [/^(expiration|unique jti|invalid (nbf|iat|exp|jti|iss|aud|sub))/, "assertion-malformed"],
  [/^Request Object must be used/, "request-object-missing"],
  [/grant type is not allowed/, "grant-type-not-allowed"],
  [/mechanism does not match/, "client-authentication-method"],
  [/^invalid secret/, "client-secret-wrong"],
  [/^client certificate was not provided/, "certificate-missing"],
];

/** The code of oidc-provider's refusal for the record: a known detail translated, anything else by its error. Never text of the request. */
export function refusalCode(error: string, detail: string | undefined): string {
  const known = details.find(([pattern]) => detail !== undefined && pattern.test(detail));
  if (known !== undefined) return known[1];
  if (ofRequests.has(error) && error !== "invalid_request") return error.replaceAll("_", "-");
  return error in fixed || (error in fromRequest && error !== "invalid_request")
    ? error.replaceAll("_", "-")
    : "request-malformed";
}
