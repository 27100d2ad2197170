// Promises the stages of a service's question, behind those that identify the service: so many a second, a bound proof, a bounded strict body, and an answer
// that is on record, with what was asked and why it was decided so, before it goes out. Trusts evaluation.ts for the decision. docs/authorizer.md.
import { isBound } from "@sallyport/protocol/principal.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { decideStaleness } from "../authorize/staleness.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { decideContent } from "../inspect/content.ts";
import { readJson, requestBounds } from "../inspect/json.ts";
import { type BodyReading, readBody } from "../inspect/read-body.ts";
import { settleOwn } from "../record/settle.ts";
import { evaluate, readQuestion } from "./evaluation.ts";

/** The AuthZEN endpoint, and its short name. */
const evaluationPaths: ReadonlySet<string> = new Set(["/access/v1/evaluation", "/decide"]);
/** Of one asking system. */
export const questionRate = { rate: 500, periodMs: 1_000, burst: 1_000 } as const;
export const questionBytesMax = 16 * 1024;

export function bindService({ request, caller }: Exchange): Deny | null {
  if (request === null || caller === null) return deny("bind", "not-ready");
  if (request.method !== "POST" || request.query !== "" || !evaluationPaths.has(request.path))
    return deny("bind", "no-route", { detail: "Services ask with POST at /access/v1/evaluation" });
  if (caller.object.broken === undefined) return null;
  return deny("bind", "not-served", {
    detail: `The system ${caller.id} is broken and not served until its configuration is mended`,
    broken: caller.object.broken,
  });
}

export function limitService(exchange: Exchange, gate: Gate): Deny | null {
  const { principal } = exchange;
  if (principal === null) return deny("limit", "not-ready");
  const key = gate.limiter.key(`questions\n${principal.caller}`);
  const state = gate.limiter.take(key, questionRate, gate.clock.monotonic());
  if (state === null) return deny("limit", "limit-table-full", { bound: "things counted at once" });
  if (state.allowed) return null;
  exchange.rate = { state, quota: questionRate.burst, windowS: questionRate.burst / questionRate.rate };
  const rate = `${questionRate.rate} a second, burst ${questionRate.burst}`;
  return deny("limit", "rate-limited", { limit: rate, detail: `Questions: ${rate} for each asking system` });
}

export function authorizeService({ lease, principal }: Exchange, gate: Gate): Deny | null {
  if (lease === null || principal === null) return deny("authorize", "not-ready");
  if (!isBound(principal.proof.kind))
    return deny("authorize", "proof-not-accepted", {
      proof: principal.proof.kind,
      accepted: "dpop, mtls",
      detail: "Services ask with a DPoP proof or a client certificate, not with a bearer token",
    });
  return decideStaleness({
    stalenessMs: gate.freshness.stalenessMs(),
    boundsMs: lease.estate.object.stalenessMs,
    classification: "internal",
    offline: "bound",
    snapshotExpired: gate.clock.now() >= lease.estate.manifest.expiresAt,
  });
}

export function answerService(exchange: Exchange, gate: Gate): Promise<Deny | null> | Deny | null {
  const { request } = exchange;
  if (request === null) return deny("inspect", "not-ready");
  const verdict = decideContent({
    declared: { content: "json", contentType: "application/json" },
    bodyBytesMax: questionBytesMax,
    contentLength: request.chunked ? null : (request.contentLength ?? 0),
    contentType: request.headers["content-type"],
    contentEncoding: request.headers["content-encoding"],
  });
  if (verdict !== null) return verdict;
  const read = readBody(exchange, questionBytesMax);
  return read instanceof Promise ? read.then((late) => answer(exchange, late, gate)) : answer(exchange, read, gate);
}

async function answer(exchange: Exchange, read: BodyReading, gate: Gate): Promise<Deny | null> {
  if ("kind" in read) return read;
  const { lease, caller } = exchange;
  if (lease === null || caller === null) return deny("inspect", "not-ready");
  const reading = readJson(read.bytes, requestBounds);
  if (!reading.ok)
    return deny("inspect", "body-malformed", { why: reading.why, detail: "The content is not strict JSON" });
  const question = readQuestion(reading.value, caller.id);
  if ("kind" in question) return question;
  const { estate, pools } = lease;
  const evaluation = await evaluate(question, {
    ...{ estate, pools, asker: caller, stalenessMs: gate.freshness.stalenessMs(), nowMs: gate.clock.now() },
    isRevoked: (integration) => gate.identify.revocations.revokesIntegration(integration, estate.manifest.issuedAt),
  });
  if (exchange.aborted) return deny("forward", "client-aborted");
  exchange.policies = evaluation.policies;
  exchange.shadow = evaluation.shadow ?? null;
  exchange.question = { question, evaluation };
  return null;
}

export function settleService(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { question, id } = exchange;
  if (question === null) return Promise.resolve(deny("record", "internal"));
  const { deny: denied } = question.evaluation;
  const why = denied === null ? {} : { code: denied.code, reason: denied.facts["detail"] ?? "" };
  const body = JSON.stringify({ decision: denied === null, context: { crossing: id, ...why } });
  return settleOwn(exchange, { type: "application/json", body: Buffer.from(body, "utf8") }, gate);
}
