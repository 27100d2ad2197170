// Promises that an error of the token endpoint says what to fix and nothing about who exists. Trusts only the error codes listed here.
// Codes: RFC 6749 §5.2, RFC 8707 §2, RFC 9449 §5 and §8.

export interface PublicAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, string | number>>;
}

/** Errors whose text comes from us (the client is authenticated by then) or is one fixed sentence. */
const ours = new Set(["invalid_target", "invalid_scope", "invalid_dpop_proof", "use_dpop_nonce"]);

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
    body: { error: "unsupported_grant_type", error_description: "only client_credentials is served here" },
  },
  temporarily_unavailable: {
    status: 503,
    headers: { "Retry-After": "1" },
    body: { error: "temporarily_unavailable", error_description: "no token can be issued right now; try again" },
  },
};

const malformed: PublicAnswer = {
  status: 400,
  headers: {},
  body: {
    error: "invalid_request",
    error_description:
      "send one client_assertion, client_assertion_type, grant_type=client_credentials and resource, each once, form-encoded",
  },
};

/** The answer to give for an error of oidc-provider or of the grant. Everything unknown becomes 503. */
export function answerOf(status: number, body: unknown): PublicAnswer {
  const { error, error_description: description } =
    typeof body === "object" && body !== null ? (body as { error?: unknown; error_description?: unknown }) : {};
  const unavailable = fixed["temporarily_unavailable"] ?? malformed;
  if (typeof error !== "string" || status >= 500) return unavailable;
  if (ours.has(error) && typeof description === "string")
    return { status: 400, headers: {}, body: { error, error_description: description } };
  if (
    error === "invalid_request" &&
    typeof description === "string" &&
    spoken.some((start) => description.startsWith(start))
  ) {
    return { status: 400, headers: {}, body: { error, error_description: description } };
  }
  return fixed[error] ?? (error === "invalid_request" ? malformed : unavailable);
}

/** Sentences of our own grant that may be passed on with invalid_request. */
const spoken = ["the token must be bound", "the integration accepts no proof", "the TLS client certificate is not"];

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
  [/mechanism does not match/, "client-authentication-method"],
];

/** The code of oidc-provider's refusal for the record: a known detail translated, anything else by its error. Never text of the request. */
export function refusalCode(error: string, detail: string | undefined): string {
  const known = details.find(([pattern]) => detail !== undefined && pattern.test(detail));
  if (known !== undefined) return known[1];
  return error in fixed || ours.has(error) ? error.replaceAll("_", "-") : "request-malformed";
}
