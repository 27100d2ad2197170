// Promises one way to say no: RFC 9457, who said it, a code, an id, and nothing a stranger could learn from. Trusts problem.ts for the public face.
// Specified by RFC 9457, DESIGN §6 Denials and §7.13.
import { problemDocument, problems } from "@sallyport/protocol/problem.ts";
import type { ProblemType } from "@sallyport/protocol/problem-face.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { deniedCheck, isFailure, writeCheck } from "./authorizer/check-answer.ts";
import { statusToProxy } from "./authorizer/status-to-proxy.ts";
import { pushForPages } from "./cors/pages.ts";
import { preflightFields } from "./cors/preflight.ts";
import type { Exchange } from "./exchange.ts";
import type { Gate } from "./gate.ts";
import { grpcDenial, isGrpcCaller } from "./grpc/answer.ts";
import { acceptSignature, challenge, stepUpChallenge } from "./identify/challenge.ts";
import { unwantedBytesMax } from "./listen/input-bounds.ts";
import { saidVerdict } from "./record/said-verdict.ts";

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
  if (exchange.preflight !== null && exchange.preflight.verdict === verdict) {
    const fields = preflightFields(exchange.preflight, on.id);
    response.writeHead(204, on.gate.draining() ? [...fields, "connection", "close"] : fields);
    response.end();
    return;
  }
  const isCheck = exchange.asked === "envoy-grpc";
  const isGrpc = isCheck ? isFailure(verdict.code) : isGrpcCaller(exchange);
  const { status, headers, body } = isGrpc ? grpcDenial(verdict, on.id) : httpDenial(exchange, verdict, on.id);
  const problem: ProblemType = problems[verdict.code];
  pushChallenge(verdict, headers);
  if (exchange.nonce !== null) headers.push("dpop-nonce", exchange.nonce);
  if (problem.status === 401 && exchange.lease !== null && exchange.lease.estate.signatures !== null)
    headers.push("accept-signature", acceptSignature(exchange.nonce, !exchange.incoming.complete));
  pushRate(exchange, headers);
  if (exchange.operation !== null) pushForPages(exchange, exchange.operation, headers);
  pushTimes(exchange, headers, on.gate);
  // A rate that refused has said when.
  const retryAfter = verdict.facts["retryAfterS"] ?? (exchange.rate?.state.allowed === false ? undefined : "1");
  if (problem.retryable && problem.status !== 401 && retryAfter !== undefined) headers.push("retry-after", retryAfter);
  if (on.gate.draining() || endsConnection(exchange, verdict)) headers.push("connection", "close");
  if (isCheck && !isGrpc) {
    writeCheck(response, deniedCheck({ status, headers, body }), headers);
    return;
  }
  if (isGrpc) response.expectTrailers();
  response.writeHead(status, headers);
  if (isGrpc) response.endWith([]);
  else response.end(body);
}

interface Denial {
  readonly status: number;
  readonly headers: string[];
  readonly body: string;
}

function httpDenial(exchange: Exchange, verdict: Deny, id: string): Denial {
  const problem: ProblemType = problems[verdict.code];
  const status = statusToProxy(exchange.asked, problem.status);
  const document = problemDocument(verdict.code, id, verdict.facts["detail"]);
  const body = JSON.stringify(status === problem.status ? document : { ...document, status });
  const headers = [
    "content-type",
    "application/problem+json",
    "content-length",
    String(Buffer.byteLength(body)),
    "cache-control",
    "no-store",
    "sallyport-verdict",
    saidVerdict(verdict),
    "sallyport-crossing",
    id,
  ];
  return { status, headers, body };
}

function pushChallenge(verdict: Deny, headers: string[]): void {
  if (verdict.code === "insufficient-user-authentication")
    headers.push("www-authenticate", stepUpChallenge(verdict.facts));
  else if (problems[verdict.code].status === 401) headers.push("www-authenticate", challenge(verdict.code));
  if (verdict.code === "scope-missing")
    headers.push("www-authenticate", `DPoP error="insufficient_scope", scope="${verdict.facts["scope"] ?? ""}"`);
}

/** After a refusal by `receive` nobody can be sure where the next request begins; after a refused certificate only a new handshake can help. */
function endsConnection(exchange: Exchange, verdict: Deny): boolean {
  // A question is over before what it asks about is refused.
  if (exchange.asked !== null && exchange.incoming.complete) return false;
  if (verdict.code.startsWith("certificate-")) return true;
  // There the end of a stream says where the next request begins, whatever was wrong with this one.
  if (exchange.incoming.httpVersion === "2") return false;
  if (verdict.stage === "receive") return true;
  if (exchange.incoming.complete) return false;
  // RFC 9110 §10.1.1: told no before `100 Continue`, a caller may leave the body out; what comes next would be read as that body.
  if (exchange.continueWanted !== null) return true;
  const length = exchange.request?.contentLength ?? null;
  return length === null || length > unwantedBytesMax || exchange.framingDeny !== null;
}

/** RateLimit fields of the tightest rate and the tightest quota (draft-ietf-httpapi-ratelimit-headers), and Retry-After where a rate is used up. */
export function pushRate({ rate, quota }: Exchange, headers: string[]): void {
  if (rate === null && quota === null) return;
  const policies: string[] = [];
  const states: string[] = [];
  if (rate !== null) {
    policies.push(`"default";q=${rate.quota};w=${rate.windowS}`);
    states.push(`"default";r=${rate.state.remaining};t=${Math.ceil(rate.state.resetMs / 1000)}`);
    if (!rate.state.allowed)
      headers.push("retry-after", String(Math.max(1, Math.ceil(rate.state.retryAfterMs / 1000))));
  }
  if (quota !== null) {
    policies.push(`"${quota.period}";q=${quota.max};w=${Math.round(quota.lengthMs / 1000)}`);
    states.push(`"${quota.period}";r=${quota.remaining};t=${Math.ceil(quota.renewsInMs / 1000)}`);
  }
  headers.push("ratelimit-policy", policies.join(", "), "ratelimit", states.join(", "));
}

/** `Server-Timing`, where this gateway offers it, to callers it knows: to others it would be a clock to measure us with. */
export function pushTimes(exchange: Exchange, headers: string[], gate: Pick<Gate, "clock" | "serverTiming">): void {
  if (!gate.serverTiming || exchange.times === null || exchange.principal === null) return;
  headers.push("server-timing", exchange.times.serverTiming(gate.clock.monotonic() - exchange.startedMonotonicMs));
}
