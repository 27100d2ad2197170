// Promises exactly one outcome for every crossing, durable before its answer ends; what cannot be recorded does not pass.
// Trusts the recorder. Specified in DESIGN §4 Records.
import { problems } from "@sallyport/protocol/problem.ts";
import { type Deny, deny, type Outcome } from "@sallyport/protocol/verdict.ts";
import { pushRate, pushTimes, writeDenial } from "../answer.ts";
import { allowedCheck, writeCheck } from "../authorizer/check-answer.ts";
import { statusToProxy } from "../authorizer/status-to-proxy.ts";
import { pushForPages } from "../cors/pages.ts";
import type { Exchange } from "../exchange.ts";
import { type AnswerEnd, heldBytesMax, type UpstreamAnswer } from "../forward/upstream-answer.ts";
import type { Gate } from "../gate.ts";
import { endCall, outcomeOfCall } from "../grpc/answer.ts";
import { decideAnswered } from "../idempotency/effect-end.ts";
import { endWithoutAnswer } from "../idempotency/end-without-answer.ts";
import { tooLarge } from "../inspect/content.ts";
import { keepWouldDeny, modeOf } from "../observe/decide-pass.ts";
import { keepAnswer, keepRequest } from "../payloads/keep.ts";
import type { CompiledOperation } from "../snapshot/estate.ts";
import { SentEvents } from "../streams/sent-events.ts";
import { countThreats } from "../threats/threats.ts";
import { runWebSocket } from "../websocket/run.ts";
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
  if (upstream.isSwitched) return settleSwitched(exchange, upstream, gate);
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
  // Whatever becomes of this crossing: the provider has answered, and its repeats have a right to that answer.
  const kept = keepForRepeats(exchange, upstream, body);
  try {
    const keeping = keepAnswer(exchange, gate, body);
    const refusal = keeping === null ? null : await keeping;
    if (refusal !== null) return refusal;
    const record = exchange.intentRecorded
      ? gate.recorder.outcome(exchange, ended)
      : gate.recorder.crossing(exchange, ended);
    if (mayGoEarly(exchange, gate)) gate.early.follow(record);
    else await record;
    // A caller that has its answer, and loses it, finds it here.
    if (kept !== null) await kept;
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

/** Ends what the crossing holds by what the provider answered. `body`: `unkept` where it is passed on as it comes. Null: it holds nothing. */
function keepForRepeats(
  { claim, operation }: Exchange,
  { status, headers: fields }: UpstreamAnswer,
  body: Buffer | null | "unkept",
): Promise<void> | null {
  if (claim === null || operation === null) return null;
  const answered = decideAnswered(status, operation.object.businessErrors);
  if (answered !== "final") return claim.end({ kind: answered });
  if (body === "unkept" || (body?.length ?? 0) > heldBytesMax) return claim.end({ kind: "unkept" });
  return claim.end({ kind: "answered", answer: { status, fields, body } });
}

/** An answer of the gateway's own: the outcome, durable, and then the answer. */
export async function settleOwn(
  exchange: Exchange,
  { type, body }: { readonly type: string; readonly body: Buffer },
  gate: Gate,
  /** Called once it is on record, before the answer. */
  recorded: () => void | Promise<void> = () => undefined,
): Promise<Deny | null> {
  exchange.bytesOut = body.length;
  const ended: Ended = { outcome: "success", status: 200, upstreamStatus: 0, upstreamMs: 0, deny: null };
  try {
    await gate.recorder.crossing(exchange, ended);
  } catch (cause) {
    return unrecorded(cause);
  }
  exchange.ended = true;
  await recorded();
  finished(exchange, ended, gate);
  const own = ["content-type", type, "cache-control", "no-store", "x-content-type-options", "nosniff"];
  exchange.response.writeHead(200, [...own, ...ownHeaders(exchange, gate, body.length)]);
  exchange.response.end(body);
  return null;
}

/** A yes to whoever will send the request on: how it ends there, nobody tells us. */
export async function settleAllowed(exchange: Exchange, headers: readonly string[], gate: Gate): Promise<Deny | null> {
  const ended: Ended = { outcome: "unobserved", status: 200, upstreamStatus: 0, upstreamMs: 0, deny: null };
  try {
    if (exchange.intentRecorded) await gate.recorder.outcome(exchange, ended);
    else await gate.recorder.crossing(exchange, ended);
  } catch (cause) {
    return unrecorded(cause);
  }
  exchange.ended = true;
  finished(exchange, ended, gate);
  const own = ownHeaders(exchange, gate, 0);
  if (exchange.asked === "envoy-grpc") {
    const toProvider = [...headers, "sallyport-crossing", exchange.id];
    const message = allowedCheck({ toProvider, toClient: own, toRemove: exchange.toRemove ?? [] });
    writeCheck(exchange.response, message, own);
    return null;
  }
  exchange.response.writeHead(200, [...headers, "cache-control", "no-store", ...own]);
  exchange.response.end();
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
  await keepForRepeats(exchange, upstream, "unkept");
  // Its caller left while the provider was at work: nobody takes the rest.
  if (exchange.aborted) upstream.cancel(deny("forward", "client-aborted"));
  const refusal = await keepAnswer(exchange, gate, "not-whole")?.catch((cause) => unrecorded(cause, upstream.status));
  if (refusal) {
    upstream.cancel(refusal);
    return refusal;
  }
  exchange.response.writeHead(upstream.status, ownHeaders(exchange, gate, upstream.contentLength), upstream.lines);
  const isCall = exchange.operation?.object.grpc !== undefined;
  if (isCall) exchange.response.expectTrailers();
  const { end, verdict, lastWord } = await flow(exchange, upstream, gate);
  exchange.ended = true;
  const ended = endedOf(exchange, upstream, { end, verdict });
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
  if (isCall) endCall(exchange, upstream, { end, verdict });
  else if (end === "complete") exchange.response.end();
  else if (lastWord !== null) exchange.response.cutBehind(lastWord);
  else exchange.response.destroy();
  return null;
}

/** A WebSocket: it was recorded as an intent before the provider heard of it. */
async function settleSwitched(exchange: Exchange, upstream: UpstreamAnswer, gate: Gate): Promise<Deny | null> {
  const end = await runWebSocket(exchange, upstream, { gate, progressBytes, progressMs });
  if (end.kind === "deny") return end;
  exchange.ended = true;
  const ended = endedOf(exchange, upstream, {
    end: end.kind === "caller-gone" ? "caller-gone" : "complete",
    verdict: end.kind === "ended" ? end.verdict : null,
  });
  finished(exchange, ended, gate);
  try {
    await gate.recorder.outcome(exchange, ended);
  } catch (cause) {
    gate.logger.error({ err: String(cause) }, "the outcome of a WebSocket could not be recorded; it has ended");
  }
  return null;
}

/** Counts the end of a crossing and tells whoever observes. Its outcome is durable, or about to be: nothing here can change it. */
export function finished(exchange: Exchange, ended: Ended, gate: Gate): void {
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
  for (const { policy, would } of exchange.shadow ?? []) gate.metrics.shadowPolicy(policy, would);
  countThreats(exchange, ended.deny, gate);
  for (const observer of gate.observers) observer.crossing(exchange, ended, nowMs);
}

interface Flowed {
  readonly end: AnswerEnd;
  /** What ended it, where it was let pass and is not any more. */
  readonly verdict: Deny | null;
  /** Said to a caller that can hear it, behind what it got. */
  readonly lastWord: Buffer | null;
}

function flow(exchange: Exchange, upstream: UpstreamAnswer, gate: Gate): Promise<Flowed> {
  let recordedBytes = 0;
  const progress = (): void => {
    recordedBytes = exchange.bytesOut;
    gate.recorder.progress(exchange).catch((cause) => {
      gate.logger.error({ err: String(cause) }, "progress could not be recorded; the answer is cut");
      upstream.cancel(deny("record", "record-unavailable"));
    });
  };
  const timer = setInterval(progress, progressMs);
  const events = upstream.isEventStream ? new SentEvents(exchange) : null;
  let verdict: Deny | null = null;
  let leave = (): void => undefined;
  return new Promise<AnswerEnd>((resolve) => {
    upstream.release({
      response: exchange.response,
      sent(piece) {
        exchange.bytesOut += piece.length;
        events?.take(piece);
        if (exchange.bytesOut - recordedBytes >= progressBytes) progress();
      },
      ended: resolve,
    });
    const end = (said: Deny): void => {
      verdict = said;
      upstream.stop();
    };
    if (!upstream.isOver) leave = gate.streams.add({ exchange, end });
  })
    .then((end) => ({ end, verdict, lastWord: verdict === null ? null : (events?.lastWord(verdict) ?? null) }))
    .finally(() => {
      clearInterval(timer);
      leave();
    });
}

/** What the gateway says beside the provider's own fields. */
export function ownHeaders(exchange: Exchange, gate: Gate, length: number | null): string[] {
  const headers = ["sallyport-crossing", exchange.id];
  if (exchange.fallback !== null)
    headers.push("sallyport-fallback", `${exchange.fallback.by}; code=${exchange.fallback.instead.code}`);
  if (length !== null) headers.push("content-length", String(length));
  if (exchange.nonce !== null) headers.push("dpop-nonce", exchange.nonce);
  if (exchange.wouldDeny === null) pushRate(exchange, headers);
  if (exchange.operation !== null) pushForPages(exchange, exchange.operation, headers);
  pushTimes(exchange, headers, gate);
  if (gate.draining()) headers.push("connection", "close");
  return headers;
}

function statusOf({ preflight, asked }: Exchange, verdict: Deny): number {
  return preflight?.verdict === verdict ? 204 : statusToProxy(asked, problems[verdict.code].status);
}

/** The end of every crossing that was stopped: recorded, counted, answered. */
export async function finishDenied(exchange: Exchange, verdict: Deny, gate: Gate): Promise<void> {
  if (exchange.ended) {
    // Recorded already: a failure while answering may only cut the answer, never begin another.
    if (!exchange.response.writableEnded) exchange.response.destroy();
    return;
  }
  exchange.ended = true;
  // Before the answer: whoever may try again at once finds the key free.
  if (exchange.claim !== null) await exchange.claim.end({ kind: endWithoutAnswer(exchange, verdict) });
  const isGone = exchange.aborted || verdict.code === "client-aborted";
  const ended: Ended = {
    outcome: outcomeOfDenial(verdict, isGone),
    status: isGone ? 0 : statusOf(exchange, verdict),
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
  // Control said no to it, and nothing failed.
  if (verdict.code === "next-hop-refused") return "denied";
  return verdict.stage === "forward" || verdict.stage === "exchange" || verdict.stage === "record"
    ? "system-error"
    : "denied";
}

const outcomeOfEnd: Readonly<Record<AnswerEnd, Outcome | null>> = {
  complete: null,
  "caller-gone": "aborted",
  truncated: "system-error",
  timeout: "system-error",
  denied: "denied",
};

/** `how`: null of an answer that was whole before any of it was passed on. */
function endedOf(exchange: Exchange, upstream: UpstreamAnswer, how: Pick<Flowed, "end" | "verdict"> | null): Ended {
  const { fallback } = exchange;
  if (fallback !== null)
    return {
      outcome: "system-error",
      status: upstream.status,
      upstreamStatus: fallback.upstreamStatus,
      upstreamMs: fallback.upstreamMs,
      deny: fallback.instead,
    };
  const verdict = how?.verdict ?? null;
  // A caller that left before an effect was over has it all the same, and can ask for its answer.
  const isGone = exchange.aborted && exchange.claim !== null;
  const end = isGone ? "caller-gone" : (how?.end ?? "complete");
  const cut = verdict === null ? outcomeOfEnd[end] : outcomeOfDenial(verdict, false);
  const outcome = cut ?? (exchange.operation === null ? "system-error" : outcomeOfAnswer(exchange.operation, upstream));
  return {
    outcome,
    status: isGone ? 0 : upstream.status,
    upstreamStatus: upstream.status,
    upstreamMs: upstream.upstreamMs,
    deny: verdict,
  };
}

const outcomeOfAnswer = (operation: CompiledOperation, upstream: UpstreamAnswer): Outcome =>
  operation.object.grpc === undefined
    ? outcomeOf(operation, upstream.status, upstream.saysNo)
    : outcomeOfCall(operation, upstream);

/** The outcome a status means for this operation. Pure. */
export function outcomeOf(operation: Pick<CompiledOperation, "object">, status: number, saysNo = false): Outcome {
  if (saysNo || operation.object.businessErrors.includes(status)) return "business-error";
  return status >= 500 ? "system-error" : "success";
}

export function unrecorded(cause: unknown, upstreamStatus = 0): Deny {
  const why = cause instanceof Error ? ("code" in cause ? String(cause.code) : cause.name) : "unknown";
  // The caller must not take this for "nothing happened" and repeat an effect.
  const detail =
    upstreamStatus === 0
      ? {}
      : { detail: `The provider answered with status ${upstreamStatus}, but the outcome could not be recorded` };
  return deny("record", "record-unavailable", { why, ...detail });
}
