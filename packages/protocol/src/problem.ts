// Promises a stable code, status and title for every denial and fault. Trusts nothing. Specified by RFC 9457 and docs/problems/.

export interface ProblemType {
  readonly status: number;
  /** Public title: says what is wrong without saying anything about anyone else. */
  readonly title: string;
  /** May the very same request succeed later without a change? */
  readonly retryable: boolean;
  /** Strangers get only the generic answer of the same status; callers we know get the detail with the fix. */
  readonly audience: "stranger" | "caller";
}

const stranger = (status: number, title: string, retryable = false): ProblemType => ({
  status,
  title,
  retryable,
  audience: "stranger",
});
const caller = (status: number, title: string, retryable = false): ProblemType => ({
  status,
  title,
  retryable,
  audience: "caller",
});

/** Every code that can end a crossing, with its status. A code without a page in docs/problems fails a test. */
export const problems = {
  // receive
  "bad-framing": stranger(400, "The message framing is ambiguous or malformed"),
  "bad-request-line": stranger(400, "The request line is malformed"),
  "bad-header": stranger(400, "A header field is malformed or not allowed"),
  "duplicate-header": stranger(400, "A header field that may occur once occurs more than once"),
  "ambiguous-path": stranger(400, "The path can be read in more than one way"),
  "bad-host": stranger(400, "The Host header is missing, malformed or contradicts the request target"),
  "bad-version": stranger(505, "Only HTTP/1.1 is served here"),
  "upgrade-not-supported": stranger(400, "Protocol upgrades are not served here"),
  "method-not-supported": stranger(501, "The method is not supported"),
  "header-too-large": stranger(431, "The header section is too large"),
  "uri-too-long": stranger(414, "The request target is too long"),
  "request-timeout": stranger(408, "The request did not arrive in time", true),
  // admit
  "too-many-from-source": stranger(429, "Too many requests from this source", true),
  overloaded: stranger(503, "The gateway is at its limit", true),
  "not-ready": stranger(503, "The gateway is not ready", true),
  // route
  "no-route": caller(404, "Nothing is served here"),
  // identify: all the same 401 to a stranger
  "credentials-missing": stranger(401, "Authentication is required"),
  "credentials-malformed": stranger(401, "Authentication is required"),
  "token-malformed": stranger(401, "Authentication is required"),
  "token-unknown": stranger(401, "Authentication is required"),
  "token-unresolved": stranger(503, "The gateway cannot tell now what this token stands for", true),
  "token-algorithm": stranger(401, "Authentication is required"),
  "token-key-unknown": stranger(401, "Authentication is required"),
  "token-signature": stranger(401, "Authentication is required"),
  "token-type": stranger(401, "Authentication is required"),
  "token-issuer": stranger(401, "Authentication is required"),
  "token-unmapped": stranger(401, "Authentication is required"),
  "token-audience": stranger(401, "Authentication is required"),
  "token-expired": stranger(401, "Authentication is required"),
  "token-not-yet-valid": stranger(401, "Authentication is required"),
  "token-claims": stranger(401, "Authentication is required"),
  "token-revoked": stranger(401, "Authentication is required"),
  "token-bound-as-bearer": stranger(401, "Authentication is required"),
  "token-unbound": stranger(401, "Authentication is required"),
  "client-unknown": stranger(401, "Authentication is required"),
  "dpop-missing": stranger(401, "Authentication is required"),
  "dpop-malformed": stranger(401, "Authentication is required"),
  "dpop-algorithm": stranger(401, "Authentication is required"),
  "dpop-signature": stranger(401, "Authentication is required"),
  "dpop-method": stranger(401, "Authentication is required"),
  "dpop-url": stranger(401, "Authentication is required"),
  "dpop-token-hash": stranger(401, "Authentication is required"),
  "dpop-expired": stranger(401, "Authentication is required"),
  "dpop-nonce": stranger(401, "Authentication is required", true),
  "dpop-replayed": stranger(401, "Authentication is required"),
  "dpop-key-mismatch": stranger(401, "Authentication is required"),
  "certificate-unknown": stranger(401, "Authentication is required"),
  "certificate-untrusted": stranger(401, "Authentication is required"),
  "certificate-expired": stranger(401, "Authentication is required"),
  "certificate-mismatch": stranger(401, "Authentication is required"),
  "identity-conflict": stranger(401, "Authentication is required"),
  "replay-table-full": stranger(503, "The gateway is at its limit", true),
  // bind
  "not-granted": caller(403, "No integration grants this operation to the caller"),
  "not-active": caller(403, "The integration is not active"),
  "not-served": caller(503, "The object is broken or expired and is not served"),
  "receipt-unknown": caller(404, "There is no receipt"),
  "receipt-pending": caller(503, "There is no receipt yet", true),
  // limit
  "rate-limited": caller(429, "The rate limit of this integration is used up", true),
  "limit-table-full": caller(503, "The gateway is at its limit", true),
  // authorize
  "proof-not-accepted": caller(403, "The integration does not accept this kind of proof"),
  "scope-missing": caller(403, "The token does not carry the scope of this operation"),
  "insufficient-user-authentication": caller(401, "The user has to sign in again, in a stronger way or more recently"),
  "attribute-missing": caller(403, "An attribute that the operation declares could not be resolved"),
  "policy-denied": caller(403, "A policy denies this crossing"),
  "policy-error": caller(403, "A policy could not be evaluated, so the crossing is denied"),
  "stale-snapshot": caller(503, "The gateway has not heard from its control plane for too long", true),
  // inspect
  "body-too-large": caller(413, "The body is larger than this operation allows"),
  "content-type": caller(415, "The content type is not the one this operation declares"),
  "body-malformed": caller(400, "The body is not well-formed"),
  "schema-mismatch": caller(422, "The body does not match the schema of this operation"),
  // record
  "record-unavailable": caller(503, "The crossing could not be recorded, so it did not pass", true),
  "payload-unavailable": caller(
    503,
    "What has to be kept of this crossing cannot be kept now, so it did not pass",
    true,
  ),
  // exchange, forward
  "exchange-unavailable": caller(503, "No token for the next hop could be made", true),
  "upstream-refused-address": caller(502, "The provider's address is not one that may be dialled"),
  "upstream-unreachable": caller(502, "The provider could not be reached", true),
  "upstream-timeout": caller(504, "The provider did not answer in time", true),
  "upstream-protocol": caller(502, "The provider's answer is not valid HTTP"),
  "client-aborted": caller(499, "The caller went away"),
  internal: stranger(500, "Something went wrong inside the gateway", true),
} as const satisfies Record<string, ProblemType>;

export type ProblemCode = keyof typeof problems;

/** Base of the `type` member; each code has a page of the same name in docs/problems. */
export const problemTypeBase = "https://sallyport.dev/problems/";

export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail?: string;
  readonly correlationId: string;
  readonly retryable: boolean;
}

/** Codes of stage `identify` share one public face: nobody may learn from the answer which check failed. */
export function publicCode(code: ProblemCode): string {
  const problem = problems[code];
  if (problem.status === 401 && problem.audience === "stranger")
    return code === "dpop-nonce" ? code : "unauthenticated";
  return code;
}

/**
 * The body of a denial (RFC 9457). `detail` is dropped for codes whose audience is a stranger.
 * The caller serialises it as application/problem+json with `problems[code].status`.
 */
export function problemDocument(code: ProblemCode, correlationId: string, detail?: string): ProblemDocument {
  const problem: ProblemType = problems[code];
  const face = publicCode(code);
  return {
    type: problemTypeBase + face,
    title: problem.title,
    status: problem.status,
    code: face,
    ...(detail !== undefined && problem.audience === "caller" ? { detail } : {}),
    correlationId,
    retryable: problem.retryable,
  };
}
