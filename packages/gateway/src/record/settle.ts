// Promises exactly one outcome for every crossing, durable before its answer ends; what cannot be recorded does not pass.
// Trusts the recorder. Specified in DESIGN §4 Records.
import { problems } from "@sallyport/protocol/problem.ts";
import { type Deny, deny, type Outcome } from "@sallyport/protocol/verdict.ts";
import { pushRate, pushTimes, writeDenial } from "../answer.ts";
import type { Exchange } from "../exchange.ts";
import type { AnswerEnd, UpstreamAnswer } from "../forward/upstream-answer.ts";
import type { Gate } from "../gate.ts";
import { tooLarge } from "../inspect/content.ts";
import { keepWouldDeny, modeOf } from "../observe/decide-pass.ts";
import { keepAnswer, keepRequest } from "../payloads/keep.ts";
import type { CompiledOperation } from "../snapshot/estate.ts";
import type { Ended } from "./recorder.ts";

/** A stream writes a `progress` leaf after so many bytes or so much time, whichever comes first. */
export const progressBytes = 64 * 1024 * 1024;
export const progressMs = 5 * 60_000;

/** Before an effect: its intent, durable. */
export async function recordIntent(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  try {
    const keeping = keepRequest(exchange, gate);
    const refusal = keeping === null ? null : await keeping;
    if (refusal !== null) return refusal;
    await gate.recorder.intent(exchange);
  } catch (cause) {
    return unrecorded(cause);
  }
  exchange.intentRecorded = true;
  return exchange.aborted ? deny("forward", "client-aborted") : null;
}

/** After the provider answered: the outcome, durable, and then the answer. */
export function settle(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { upstream, operation } = exchange;
  if (upstream === null || operation === null) return Promise.resolve(deny("forward", "internal"));
  if (modeOf(exchange) !== "enforce") judgeLate(exchange, upstream);
  return upstream.whole ? settleWhole(exchange, upstream, gate) : settleLong(exchange, upstream, gate);
}

/** Bounds that enforcement would have held and that only show once the provider has answered. */
function judgeLate(exchange: Exchange, { upstreamMs }: UpstreamAnswer): void {
  const { grant, bytesIn } = exchange;
  if (grant === null || exchange.wouldDeny !== null) return;
  if (bytesIn > grant.bodyBytesMax) keepWouldDeny(exchange, tooLarge(grant.bodyBytesMax));
  else if (upstreamMs > grant.timeoutMs)
    keepWouldDeny(exchange, deny("forward", "upstream-timeout", { bound: `${grant.timeoutMs} ms` }));
}

async function settleWhole(exchange: Exchange, upstream: UpstreamAnswer, gate: Gate): Promise<Deny | null> {
  const body = upstream.bodiless ? null : upstream.takeHeld();
  exchange.bytesOut = body?.length ?? 0;
  const ended = endedOf(exchange, upstream, null);
  try {
    const keeping = keepAnswer(exchange, gate, body);
    const refusal = keeping === null ? null : await keeping;
    if (refusal !== null) return refusal;
    const record = exchange.intentRecorded
      ? gate.recorder.outcome(exchange, ended)
      : gate.recorder.crossing(exchange, ended);
    if (mayGoEarly(exchange, gate)) gate.early.follow(record);
    else await record;
  } catch (cause) {
    return unrecorded(cause, upstream.status);
  }
  exchange.ended = true;
  finished(exchange, ended, gate);
  const length = body === null ? (upstream.status === 204 ? null : upstream.contentLength) : body.length;
  exchange.response.writeHead(upstream.status, ownHeaders(exchange, gate, length), upstream.lines);
  exchange.response.end(body ?? undefined);
  return null;
}

/** An answer of the gateway's own: the outcome, durable, and then the answer. */
export async function settleOwn(
  exchange: Exchange,
  { type, body }: { readonly type: string; readonly body: Buffer },
  gate: Gate,
): Promise<Deny | null> {
  exchange.bytesOut = body.length;
  const ended: Ended = { outcome: "success", status: 200, upstreamStatus: 0, upstreamMs: 0, deny: null };
  try {
    await gate.recorder.crossing(exchange, ended);
  } catch (cause) {
    return unrecorded(cause);
  }
  exchange.ended = true;
  finished(exchange, ended, gate);
  const own = ["content-type", type, "cache-control", "no-store", "x-content-type-options", "nosniff"];
  exchange.response.writeHead(200, [...own, ...ownHeaders(exchange, gate, body.length)]);
  exchange.response.end(body);
  return null;
}

/** Only what enforcement let through, and what no intent stands for: its outcome is owed. */
function mayGoEarly(exchange: Exchange, { early }: Gate): boolean {
  const { operation, intentRecorded, wouldDeny } = exchange;
  return operation !== null && !intentRecorded && wouldDeny === null && early.isAllowed(operation.object);
}

async function settleLong(exchange: Exchange, upstream: UpstreamAnswer, gate: Gate): Promise<Deny | null> {
  if (!exchange.intentRecorded) {
    const refusal = await recordIntent(exchange, gate);
    if (refusal !== null) {
      upstream.cancel(refusal);
      return refusal;
    }
  }
  const refusal = await keepAnswer(exchange, gate, "not-whole")?.catch((cause) => unrecorded(cause, upstream.status));
  if (refusal) {
    upstream.cancel(refusal);
    return refusal;
  }
  exchange.response.writeHead(upstream.status, ownHeaders(exchange, gate, upstream.contentLength), upstream.lines);
  const end = await flow(exchange, upstream, gate);
  exchange.ended = true;
  const ended = endedOf(exchange, upstream, end);
  finished(exchange, ended, gate);
  try {
    await gate.recorder.outcome(exchange, ended);
  } catch (cause) {
    gate.logger.error(
      { err: String(cause) },
      "the outcome of a streamed crossing could not be recorded; its answer is cut",
    );
    exchange.response.destroy();
    return null;
  }
  // An answer cut short must look cut short: end() would make it complete.
  if (end === "complete") exchange.response.end();
  else exchange.response.destroy();
  return null;
}

/** Counts the end of a crossing and tells whoever observes. Its outcome is durable, or about to be: nothing here can change it. */
function finished(exchange: Exchange, ended: Ended, gate: Gate): void {
  const nowMs = gate.clock.monotonic();
  // What a denial waits for is its own record; a stage that answered has marked itself.
  if (ended.deny === null) exchange.times?.mark("outcome", nowMs);
  gate.metrics.crossing({
    code: ended.deny?.code ?? null,
    outcome: ended.outcome,
    integration: exchange.grant?.integration.id ?? null,
    totalMs: nowMs - exchange.startedMonotonicMs,
    upstreamMs: ended.upstreamMs,
  });
  if (exchange.wouldDeny !== null) gate.metrics.wouldDeny(exchange.wouldDeny.code, modeOf(exchange));
  for (const observer of gate.observers) observer.crossing(exchange, ended, nowMs);
}

function flow(exchange: Exchange, upstream: UpstreamAnswer, gate: Gate): Promise<AnswerEnd> {
  let recordedBytes = 0;
  const progress = (): void => {
    recordedBytes = exchange.bytesOut;
    gate.recorder.progress(exchange).catch((cause) => {
      gate.logger.error({ err: String(cause) }, "progress could not be recorded; the answer is cut");
      upstream.cancel(deny("record", "record-unavailable"));
    });
  };
  const timer = setInterval(progress, progressMs);
  return new Promise<AnswerEnd>((resolve) => {
    upstream.release({
      response: exchange.response,
      sent(bytes) {
        exchange.bytesOut += bytes;
        if (exchange.bytesOut - recordedBytes >= progressBytes) progress();
      },
      ended: resolve,
    });
  }).finally(() => clearInterval(timer));
}

/** What the gateway says beside the provider's own fields. */
function ownHeaders(exchange: Exchange, gate: Gate, length: number | null): string[] {
  const headers = ["sallyport-crossing", exchange.id];
  if (length !== null) headers.push("content-length", String(length));
  if (exchange.nonce !== null) headers.push("dpop-nonce", exchange.nonce);
  if (exchange.wouldDeny === null) pushRate(exchange, headers);
  pushTimes(exchange, headers, gate);
  if (gate.draining()) headers.push("connection", "close");
  return headers;
}

/** The end of every crossing that was stopped: recorded, counted, answered. */
export async function finishDenied(exchange: Exchange, verdict: Deny, gate: Gate): Promise<void> {
  if (exchange.ended) {
    // Recorded already: a failure while answering may only cut the answer, never begin another.
    if (!exchange.response.writableEnded) exchange.response.destroy();
    return;
  }
  exchange.ended = true;
  const isGone = exchange.aborted || verdict.code === "client-aborted";
  const ended: Ended = {
    outcome: outcomeOfDenial(verdict, isGone),
    status: isGone ? 0 : problems[verdict.code].status,
    upstreamStatus: exchange.upstream?.status ?? 0,
    upstreamMs: exchange.upstream?.upstreamMs ?? 0,
    deny: verdict,
  };
  finished(exchange, ended, gate);
  let answered = verdict;
  let id = exchange.id;
  try {
    const counted =
      exchange.principal === null && exchange.wouldDeny === null
        ? gate.recorder.countStranger(exchange, verdict.code)
        : null;
    if (counted !== null) id = counted;
    else if (exchange.intentRecorded) await gate.recorder.outcome(exchange, ended);
    else await gate.recorder.crossing(exchange, ended);
  } catch (cause) {
    answered = unrecorded(cause, exchange.upstream?.status ?? 0);
    if (!exchange.intentRecorded) gate.recorder.refused(exchange);
    gate.logger.error({ code: verdict.code, err: String(cause) }, "a denial could not be recorded");
  }
  if (isGone) exchange.response.destroy();
  else writeDenial(exchange, answered, { id, gate });
}

function outcomeOfDenial(verdict: Deny, isGone: boolean): Outcome {
  if (isGone) return "aborted";
  return verdict.stage === "forward" || verdict.stage === "exchange" || verdict.stage === "record"
    ? "system-error"
    : "denied";
}

function endedOf(exchange: Exchange, upstream: UpstreamAnswer, end: AnswerEnd | null): Ended {
  const cut: Outcome | null =
    end === null || end === "complete" ? null : end === "caller-gone" ? "aborted" : "system-error";
  const outcome =
    cut ?? (exchange.operation === null ? "system-error" : outcomeOf(exchange.operation, upstream.status));
  return {
    outcome,
    status: upstream.status,
    upstreamStatus: upstream.status,
    upstreamMs: upstream.upstreamMs,
    deny: null,
  };
}

/** The outcome a status means for this operation. Pure. */
export function outcomeOf(operation: Pick<CompiledOperation, "object">, status: number): Outcome {
  if (operation.object.businessErrors.includes(status)) return "business-error";
  return status >= 500 ? "system-error" : "success";
}

function unrecorded(cause: unknown, upstreamStatus = 0): Deny {
  const why = cause instanceof Error ? ("code" in cause ? String(cause.code) : cause.name) : "unknown";
  // The caller must not take this for "nothing happened" and repeat an effect.
  const detail =
    upstreamStatus === 0
      ? {}
      : { detail: `The provider answered with status ${upstreamStatus}, but the outcome could not be recorded` };
  return deny("record", "record-unavailable", { why, ...detail });
}
