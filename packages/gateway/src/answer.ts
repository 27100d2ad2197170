// Promises one way to say no: RFC 9457, who said it, a code, an id, and nothing a stranger could learn from. Trusts problem.ts for the public face.
// Specified by RFC 9457, DESIGN §6 Denials and §7.13.
import { type ProblemType, problemDocument, problems, publicCode } from "@sallyport/protocol/problem.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "./exchange.ts";
import type { Gate } from "./gate.ts";
import { challenge, stepUpChallenge } from "./identify/challenge.ts";
import { unwantedBytesMax } from "./listen/connection.ts";

/** Writes a denial. `id` is what the caller may quote: the crossing's own id, or that of the leaf it was counted in. */
export function writeDenial(
  exchange: Exchange,
  verdict: Deny,
  on: { readonly id: string; readonly gate: Pick<Gate, "draining" | "clock" | "serverTiming"> },
): void {
  const { response } = exchange;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const problem: ProblemType = problems[verdict.code];
  const body = JSON.stringify(problemDocument(verdict.code, on.id, verdict.facts["detail"]));
  const headers = [
    "content-type",
    "application/problem+json",
    "content-length",
    String(Buffer.byteLength(body)),
    "cache-control",
    "no-store",
    "sallyport-verdict",
    `deny; by=gateway; code=${publicCode(verdict.code)}`,
    "sallyport-crossing",
    on.id,
  ];
  if (verdict.code === "insufficient-user-authentication")
    headers.push("www-authenticate", stepUpChallenge(verdict.facts));
  else if (problem.status === 401) headers.push("www-authenticate", challenge(verdict.code));
  if (verdict.code === "scope-missing")
    headers.push("www-authenticate", `DPoP error="insufficient_scope", scope="${verdict.facts["scope"] ?? ""}"`);
  if (exchange.nonce !== null) headers.push("dpop-nonce", exchange.nonce);
  pushRate(exchange, headers);
  pushTimes(exchange, headers, on.gate);
  if (problem.retryable && problem.status !== 401 && exchange.rate === null) headers.push("retry-after", "1");
  if (on.gate.draining() || endsConnection(exchange, verdict)) headers.push("connection", "close");
  response.writeHead(problem.status, headers);
  response.end(body);
}

/** After a refusal by `receive` nobody can be sure where the next request begins; after a refused certificate only a new handshake can help. */
function endsConnection(exchange: Exchange, verdict: Deny): boolean {
  if (verdict.stage === "receive" || verdict.code.startsWith("certificate-")) return true;
  if (exchange.incoming.complete) return false;
  // RFC 9110 §10.1.1: told no before `100 Continue`, a caller may leave the body out; what comes next would be read as that body.
  if (exchange.continueWanted !== null) return true;
  const length = exchange.request?.contentLength ?? null;
  return length === null || length > unwantedBytesMax || exchange.framingDeny !== null;
}

/** RateLimit fields of the tightest limit (draft-ietf-httpapi-ratelimit-headers), and Retry-After where it is used up. */
export function pushRate(exchange: Exchange, headers: string[]): void {
  const { rate } = exchange;
  if (rate === null) return;
  headers.push("ratelimit-policy", `"default";q=${rate.quota};w=${rate.windowS}`);
  headers.push("ratelimit", `"default";r=${rate.state.remaining};t=${Math.ceil(rate.state.resetMs / 1000)}`);
  if (!rate.state.allowed) headers.push("retry-after", String(Math.max(1, Math.ceil(rate.state.retryAfterMs / 1000))));
}

/** `Server-Timing`, where this gateway offers it, to callers it knows: to others it would be a clock to measure us with. */
export function pushTimes(exchange: Exchange, headers: string[], gate: Pick<Gate, "clock" | "serverTiming">): void {
  if (!gate.serverTiming || exchange.times === null || exchange.principal === null) return;
  headers.push("server-timing", exchange.times.serverTiming(gate.clock.monotonic() - exchange.startedMonotonicMs));
}
