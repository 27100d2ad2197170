// Promises the path of a crossing in one table: every kind of traffic runs its rows downwards, the first deny ends it, the record is written either way.
// Trusts each stage to write only its own fields of the exchange. Specified in DESIGN §4; the README's table is checked against this one.
import { type Deny, deny, type StageName } from "@sallyport/protocol/verdict.ts";
import { admit } from "./admit/stage.ts";
import { authorize } from "./authorize/stage.ts";
import {
  answerService,
  authorizeService,
  bindService,
  limitService,
  settleService,
} from "./authorizer/evaluation-stages.ts";
import { refuseUnseen, settleQuestion } from "./authorizer/stages.ts";
import { bind } from "./bind/stage.ts";
import { exchangeToken } from "./exchange/stage.ts";
import type { Exchange } from "./exchange.ts";
import type { Gate } from "./gate.ts";
import { keepOnce } from "./idempotency/stage.ts";
import { identifyCaller } from "./identify/stage.ts";
import { forwardAndInspect } from "./inspect/answer.ts";
import { inspectHead, inspectRequest } from "./inspect/stage.ts";
import { limit } from "./limit/stage.ts";
import { decidePass, decidingStages, keepWouldDeny } from "./observe/decide-pass.ts";
import { authorizeReceipts, findReceipt, limitReceipts, settleReceipt } from "./receipts/stages.ts";
import { receive } from "./receive/stage.ts";
import { finishDenied, recordIntent, settle } from "./record/settle.ts";
import { settleReplay } from "./record/settle-replay.ts";
import { route } from "./route/stage.ts";
import { authorizeRefresh, findOwnStream, limitRefreshes, settleRefresh } from "./streams/stages.ts";

type Kind = "api" | "receipt" | "authz" | "stream" | "question" | "replay";
type Step = (exchange: Exchange, gate: Gate) => Deny | null | Promise<Deny | null>;

interface Row {
  readonly stage: StageName;
  /** Name in `Server-Timing` and traces where the stage's own stands twice in the table. */
  readonly timed?: string;
  readonly kinds: readonly Kind[];
  /** One sentence a reader can hold the row to. */
  readonly promise: string;
  readonly run: Step;
  /** Once a denial has passed: does it have what it needs to run? Absent: always. */
  readonly canRun?: (exchange: Exchange) => boolean;
}

const all: readonly Kind[] = ["api", "receipt", "authz", "stream", "question", "replay"];
const api: readonly Kind[] = ["api"];
/** A proxy asks whether a request may pass, which it will send on itself. */
const authz: readonly Kind[] = ["authz"];
/** A service asks about a caller of one of its own operations. */
const question: readonly Kind[] = ["question"];
/** As far as an answer is released for, be it a new one or one of before. */
const granted: readonly Kind[] = ["api", "authz", "replay"];
const passing: readonly Kind[] = ["api", "authz"];
/** Asking for the record of an earlier crossing, which no integration grants. */
const receipt: readonly Kind[] = ["receipt"];
/** Another token for a stream that goes on. */
const stream: readonly Kind[] = ["stream"];
const onlyEffects: Step = (exchange, gate) =>
  exchange.operation?.object.effect === false && exchange.request?.upgrade === null
    ? null
    : recordIntent(exchange, gate);

const pipeline: readonly Row[] = [
  {
    stage: "receive",
    kinds: all,
    run: receive,
    promise: "strict parse, limits, one canonical frozen request; ambiguous input is refused, never repaired",
  },
  { stage: "admit", kinds: all, run: admit, promise: "caps per source network and over all, before any costly work" },
  {
    stage: "route",
    kinds: all,
    run: route,
    promise: "host, method and path lead to one operation of one system; a miss is answered only to callers we know",
  },
  {
    stage: "identify",
    kinds: all,
    run: identifyCaller,
    promise: "certificate, token and proof agree on one caller; everything else is the same 401",
  },
  {
    stage: "bind",
    kinds: granted,
    run: bind,
    canRun: (exchange) => exchange.caller !== null,
    promise: "one active integration grants this operation to this caller, or it ends here with the fix",
  },
  {
    stage: "bind",
    timed: "unseen",
    kinds: authz,
    run: refuseUnseen,
    promise: "an operation with rules about content or answers is refused: nobody would keep them",
  },
  {
    stage: "limit",
    kinds: granted,
    run: limit,
    canRun: (exchange) => exchange.grant !== null,
    promise: "every rate limit of the integration, exact under concurrency",
  },
  {
    stage: "authorize",
    kinds: granted,
    run: authorize,
    canRun: (exchange) => exchange.grant !== null,
    promise: "proof, freshness, scope, attributes and Cedar all say yes; any error is a no",
  },
  {
    stage: "inspect",
    // Of a question nobody sends the content: what cannot be judged without it was refused above.
    kinds: ["api", "replay"],
    run: inspectRequest,
    canRun: (exchange) => exchange.operation?.undeclared === false,
    promise: "declared content type, size and JSON Schema; the bytes checked are the bytes sent",
  },
  {
    stage: "inspect",
    timed: "parameters",
    kinds: authz,
    run: inspectHead,
    promise: "parameters that are declared match their schema: of a request that is told, its head is known",
  },
  {
    stage: "idempotency",
    kinds: ["api", "replay"],
    run: keepOnce,
    canRun: (exchange) => exchange.operation?.undeclared === false,
    promise:
      "one effect per key of a principal: a repeat gets the first answer, one writer at a time where that is declared",
  },
  {
    stage: "record",
    timed: "intent",
    kinds: passing,
    run: onlyEffects,
    promise: "the intent of an effect is durable before it is forwarded; cannot record, cannot pass",
  },
  {
    stage: "exchange",
    kinds: passing,
    run: exchangeToken,
    // Its token says that we authorised the crossing: of one that would be denied we say nothing.
    canRun: () => false,
    promise:
      "the caller's token stays here; the provider gets a signed identity, for this one crossing where it has an effect",
  },
  {
    stage: "forward",
    kinds: api,
    run: forwardAndInspect,
    promise: "checked addresses alone, within one deadline; tried again only where nothing can happen twice",
  },
  { stage: "record", kinds: api, run: settle, promise: "exactly one outcome, durable before the answer ends" },
  {
    stage: "record",
    kinds: authz,
    run: settleQuestion,
    promise: "the yes is durable before it goes out, with the outcome `unobserved`",
  },
  { stage: "bind", kinds: question, run: bindService, promise: "services ask at one place, in one form" },
  { stage: "limit", kinds: question, run: limitService, promise: "so many questions a second for each asking system" },
  { stage: "authorize", kinds: question, run: authorizeService, promise: "a bound proof and a fresh snapshot" },
  {
    stage: "inspect",
    kinds: question,
    run: answerService,
    promise: "a bounded strict question about the service's own operations, decided as a crossing would be",
  },
  {
    stage: "record",
    kinds: question,
    run: settleService,
    promise: "question and decision are durable before the answer",
  },
  {
    stage: "record",
    kinds: ["replay"],
    run: settleReplay,
    promise: "the release of an earlier answer is durable before it leaves; the provider is not asked",
  },
  { stage: "limit", kinds: receipt, run: limitReceipts, promise: "so many receipts a second for each calling system" },
  {
    stage: "authorize",
    kinds: receipt,
    run: authorizeReceipts,
    promise: "a bound proof and a fresh snapshot; no body",
  },
  {
    stage: "bind",
    kinds: receipt,
    run: findReceipt,
    promise: "the receipt goes to the principal that made the crossing; to all others there is none",
  },
  { stage: "record", kinds: receipt, run: settleReceipt, promise: "the asking is durable before the receipt leaves" },
  { stage: "limit", kinds: stream, run: limitRefreshes, promise: "so many refreshes a second for each calling system" },
  {
    stage: "bind",
    kinds: stream,
    run: findOwnStream,
    promise: "the stream is of the same client, user, issuer and key; to all others there is none",
  },
  {
    stage: "authorize",
    kinds: stream,
    run: authorizeRefresh,
    promise: "a bound proof, and the verdict that a new request would get with this token",
  },
  {
    stage: "record",
    kinds: stream,
    run: settleRefresh,
    promise: "the asking is durable before the stream stands on the new token",
  },
];

/** The table as README shows it: the way of what integrations grant. */
export const pipelineTable: readonly { readonly stage: StageName; readonly promise: string }[] = pipeline
  .filter(({ kinds }) => kinds.includes("api"))
  .map(({ stage, promise }) => ({ stage, promise }));

interface Steps {
  readonly run: readonly Step[];
  readonly stages: readonly StageName[];
  /** What each is called where its time is told. */
  readonly timed: readonly string[];
}

const rows = pipeline.filter(({ kinds }) => kinds.includes("api"));
const stepsOf = (chosen: readonly Row[], run: readonly Step[] = chosen.map((row) => row.run)): Steps => ({
  run,
  stages: chosen.map(({ stage }) => stage),
  timed: chosen.map((row) => row.timed ?? row.stage),
});
const steps = stepsOf(rows);
/** The rows that all kinds have come first, so a request may turn out to be of this kind on the way. */
const receiptSteps = stepsOf(pipeline.filter(({ kinds }) => kinds.includes("receipt")));
const streamSteps = stepsOf(pipeline.filter(({ kinds }) => kinds.includes("stream")));
const questionSteps = stepsOf(pipeline.filter(({ kinds }) => kinds.includes("question")));
const authzSteps = stepsOf(pipeline.filter(({ kinds }) => kinds.includes("authz")));
/** Likewise: that there is an answer already is known once `idempotency` has run. */
const replaySteps = stepsOf(pipeline.filter(({ kinds }) => kinds.includes("replay")));
/** After a denial that passed: each stage as far as it can. */
const stepsBehindDenial = stepsOf(
  rows,
  rows.map(({ run, canRun }) =>
    canRun === undefined ? run : (exchange, gate) => (canRun(exchange) ? run(exchange, gate) : null),
  ),
);

function stepsFor({ receiptOf, streamOf, asked, claim, wouldDeny }: Exchange): Steps {
  if (asked !== null) return asked === "services" ? questionSteps : authzSteps;
  if (receiptOf !== null) return receiptSteps;
  if (streamOf !== null) return streamSteps;
  if (claim !== null && claim.replay !== null) return replaySteps;
  return wouldDeny === null ? steps : stepsBehindDenial;
}

/** Runs one crossing to its recorded end. Stages that need not wait do not: a crossing is asynchronous from the first that must. */
export function runPipeline(exchange: Exchange, gate: Gate, from = 0): Promise<void> | void {
  try {
    for (let i = from; ; i++) {
      // Looked up at each step: which table it is, `route` decides.
      const step = stepsFor(exchange).run[i];
      if (step === undefined) return;
      const verdict = step(exchange, gate);
      if (verdict instanceof Promise)
        return verdict.then(
          (late) => {
            markStage(exchange, gate, i);
            return late === null ? runPipeline(exchange, gate, i + 1) : denied({ exchange, gate, at: i }, late);
          },
          (bug: unknown) => finish(exchange, internal(bug, gate), gate),
        );
      markStage(exchange, gate, i);
      if (verdict !== null) return denied({ exchange, gate, at: i }, verdict);
    }
  } catch (bug) {
    return finish(exchange, internal(bug, gate), gate);
  }
}

/** The last row marks itself: its time is part of the answer it writes. */
function markStage(exchange: Exchange, gate: Gate, row: number): void {
  if (exchange.times === null) return;
  const { run, timed } = stepsFor(exchange);
  if (row < run.length - 1) exchange.times.mark(timed[row] ?? "", gate.clock.monotonic());
}

interface Here {
  readonly exchange: Exchange;
  readonly gate: Gate;
  readonly at: number;
}

/** A denial ends the crossing, unless a word of the configuration lets it pass. */
function denied({ exchange, gate, at }: Here, verdict: Deny): Promise<void> | void {
  try {
    // What forward finds out (a body over the last bound) comes after the intent and ends the crossing, whatever it is about.
    const decided = decidingStages.has(stepsFor(exchange).stages[at] ?? "forward")
      ? decidePass(exchange, verdict, gate)
      : verdict;
    if (decided !== "pass") return finish(exchange, decided, gate);
    keepWouldDeny(exchange, verdict);
  } catch (bug) {
    return finish(exchange, internal(bug, gate), gate);
  }
  return runPipeline(exchange, gate, at + 1);
}

function finish(exchange: Exchange, verdict: Deny, gate: Gate): Promise<void> {
  return finishDenied(exchange, verdict, gate).catch((bug: unknown) => {
    gate.logger.error({ err: String(bug) }, "a crossing could not be ended cleanly; its connection is cut");
    exchange.response.destroy();
  });
}

/** A bug ends the crossing as a denial, never as a pass; its text is for operators. */
function internal(bug: unknown, gate: Gate): Deny {
  gate.logger.error({ err: bug instanceof Error ? (bug.stack ?? bug.message) : String(bug) }, "a stage failed");
  return deny("receive", "internal");
}
