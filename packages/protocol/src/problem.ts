// Promises a stable code, status and title for every denial and fault. Trusts nothing. Specified by RFC 9457 and docs/problems/.
import {
  caller,
  documentOf,
  faceOf,
  identifyProblems,
  type ProblemDocument,
  type ProblemType,
  stranger,
} from "./problem-face.ts";

/** Every code that can end a crossing, with its status. A code without a page in docs/problems fails a test. */
export const problems = {
  // receive
  "bad-framing": stranger(400, "The message framing is ambiguous or malformed"),
  "bad-request-line": stranger(400, "The request line is malformed"),
  "bad-header": stranger(400, "A header field is malformed or not allowed"),
  "duplicate-header": stranger(400, "A header field that may occur once occurs more than once"),
  "ambiguous-path": stranger(400, "The path can be read in more than one way"),
  "bad-host": stranger(400, "The Host header is missing, malformed or contradicts the request target"),
  "bad-version": stranger(505, "This version of HTTP is not served here"),
  "upgrade-not-supported": stranger(400, "This protocol upgrade is not served here"),
  "method-not-supported": stranger(501, "The method is not supported"),
  "header-too-large": stranger(431, "The header section is too large"),
  "uri-too-long": stranger(414, "The request target is too long"),
  "request-timeout": stranger(408, "The request did not arrive in time", true),
  "proxy-not-trusted": stranger(403, "This listener answers its own proxies alone"),
  "proxy-request": stranger(400, "The proxy did not say in one way which request it asks about"),
  // admit
  "too-many-from-source": stranger(429, "Too many requests from this source", true),
  "agent-refused": caller(403, "This listener does not serve this kind of client"),
  overloaded: stranger(503, "The gateway is at its limit", true),
  "not-ready": stranger(503, "The gateway is not ready", true),
  // route
  "no-route": caller(404, "Nothing is served here"),
  ...identifyProblems,
  // bind
  "not-granted": caller(403, "No integration grants this operation to the caller"),
  "not-active": caller(403, "The integration is not active"),
  "not-served": caller(503, "The object is broken or expired and is not served"),
  "not-in-authorizer-mode": caller(403, "The operation has rules that cannot be kept where only a proxy asks"),
  "receipt-unknown": caller(404, "There is no receipt"),
  "stream-unknown": caller(404, "There is no such stream"),
  "receipt-pending": caller(503, "There is no receipt yet", true),
  // limit
  "rate-limited": caller(429, "The rate limit of this integration is used up", true),
  "concurrency-limited": caller(429, "As many crossings of this integration are under way as it allows", true),
  "quota-exhausted": caller(429, "The quota of this integration is used up until it renews", true),
  "limit-unavailable": caller(503, "Whether a limit still holds cannot be found out, so it did not pass", true),
  "limit-table-full": caller(503, "The gateway is at its limit", true),
  // authorize
  "proof-not-accepted": caller(403, "The integration does not accept this kind of proof"),
  "api-key-scope": caller(403, "The API key is not for this integration"),
  "scope-missing": caller(403, "The token does not carry the scope of this operation"),
  "insufficient-user-authentication": caller(401, "The user has to sign in again, in a stronger way or more recently"),
  "attribute-missing": caller(403, "An attribute that the operation declares could not be resolved"),
  "policy-denied": caller(403, "A policy denies this crossing"),
  "policy-error": caller(403, "A policy could not be evaluated, so the crossing is denied"),
  "decision-unavailable": caller(503, "What decides about this operation could not be asked", true),
  "stale-snapshot": caller(503, "The gateway has not heard from its control plane for too long", true),
  // inspect
  "body-too-large": caller(413, "The body is larger than this operation allows"),
  "content-type": caller(415, "The content type is not the one this operation declares"),
  "content-digest": caller(400, "The content is not what its signed digest says"),
  "body-malformed": caller(400, "The body is not well-formed"),
  "schema-mismatch": caller(422, "The request does not match the schema of this operation"),
  "threat-found": caller(400, "The request holds what a rule of this operation refuses"),
  "upgrade-required": caller(400, "This operation is a WebSocket"),
  "origin-not-allowed": caller(403, "Pages of this origin may not open this WebSocket"),
  "websocket-malformed": caller(400, "What was sent on the WebSocket is not RFC 6455"),
  // idempotency
  "idempotency-key-missing": caller(400, "This operation needs an Idempotency-Key"),
  "idempotency-key-malformed": caller(400, "The Idempotency-Key cannot be read in one way"),
  "idempotency-key-reused": caller(422, "The Idempotency-Key was used for something else"),
  "idempotency-in-flight": caller(409, "A request with this Idempotency-Key is still under way", true),
  "idempotency-outcome-unknown": caller(409, "What came of the first request with this Idempotency-Key is not known"),
  "idempotency-answer-not-kept": caller(409, "The answer to the first request with this Idempotency-Key is not kept"),
  "idempotency-keys-full": caller(429, "The calling system has used up its Idempotency-Keys", true),
  "idempotency-unavailable": caller(503, "Whether this was asked before cannot be found out, so it did not pass", true),
  "precondition-required": caller(428, "This operation needs to be told which version it changes (If-Match)"),
  "precondition-malformed": caller(400, "The If-Match field does not name a version"),
  "resource-busy": caller(409, "Another crossing is writing to the same resource", true),
  // record
  "record-unavailable": caller(503, "The crossing could not be recorded, so it did not pass", true),
  "payload-unavailable": caller(
    503,
    "What has to be kept of this crossing cannot be kept now, so it did not pass",
    true,
  ),
  // exchange, forward
  "exchange-unavailable": caller(503, "No token for the next hop could be made", true),
  "next-hop-refused": caller(403, "The provider is called with a token of its own, and for this caller there is none"),
  "next-hop-unavailable": caller(503, "The token that the provider is called with could not be got", true),
  "next-hop-rejected": caller(502, "The provider does not take the token it was called with"),
  "upstream-refused-address": caller(502, "The provider's address is not one that may be dialled"),
  "upstream-unreachable": caller(502, "The provider could not be reached", true),
  "upstream-timeout": caller(504, "The provider did not answer in time", true),
  "upstream-open": caller(503, "The provider was failing and is left alone for a while", true),
  shed: caller(503, "Under load others come first: refused by a rule of priority or of fair shares", true),
  "upstream-overloaded": caller(503, "The provider has as many requests as it is given", true),
  "upstream-protocol": caller(502, "The provider's answer is not valid HTTP"),
  "response-content": caller(502, "The provider's answer cannot be looked into"),
  "response-too-large": caller(502, "The provider's answer is larger than may be held"),
  "response-schema": caller(502, "The provider's answer does not match the schema of this operation"),
  "response-leak": caller(502, "The provider's answer holds data that this integration is not classified for"),
  "client-aborted": caller(499, "The caller went away"),
  internal: stranger(500, "Something went wrong inside the gateway", true),
} as const satisfies Record<string, ProblemType>;

export type ProblemCode = keyof typeof problems;

/** Codes of stage `identify` share one public face: nobody may learn from the answer which check failed. */
export function publicCode(code: ProblemCode): string {
  return faceOf(code, problems[code]);
}

/**
 * The body of a denial (RFC 9457). `detail` is dropped for codes whose audience is a stranger.
 * The caller serialises it as application/problem+json with `problems[code].status`.
 */
export function problemDocument(code: ProblemCode, correlationId: string, detail?: string): ProblemDocument {
  return documentOf(code, problems[code], { correlationId, ...(detail === undefined ? {} : { detail }) });
}
