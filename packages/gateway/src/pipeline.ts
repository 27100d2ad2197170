// Promises the path of a crossing in one table: every kind of traffic runs its rows downwards, the first deny ends it, the record is written either way.
// Trusts each stage to write only its own fields of the exchange. Specified in DESIGN §4; the README's table is checked against this one.
import { type Deny, deny, type StageName } from "@sallyport/protocol/verdict.ts";
import { admit } from "./admit/stage.ts";
import { authorize } from "./authorize/stage.ts";
import { bind } from "./bind/stage.ts";
import { exchangeToken } from "./exchange/stage.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward/stage.ts";
import type { Gate } from "./gate.ts";
import { identifyCaller } from "./identify/stage.ts";
import { inspectRequest } from "./inspect/stage.ts";
import { limit } from "./limit/stage.ts";
import { receive } from "./receive/stage.ts";
import { finishDenied, recordIntent, settle } from "./record/settle.ts";
import { route } from "./route/stage.ts";

type Kind = "api";
type Step = (exchange: Exchange, gate: Gate) => Deny | null | Promise<Deny | null>;

interface Row {
  readonly stage: StageName;
  /** Name in `Server-Timing` and traces where the stage's own stands twice in the table. */
  readonly timed?: string;
  readonly kinds: readonly Kind[];
  /** One sentence a reader can hold the row to. */
  readonly promise: string;
  readonly run: Step;
}

const all: readonly Kind[] = ["api"];
const onlyEffects: Step = (exchange, gate) =>
  exchange.operation?.object.effect === false ? null : recordIntent(exchange, gate);

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
    kinds: all,
    run: bind,
    promise: "one active integration grants this operation to this caller, or it ends here with the fix",
  },
  { stage: "limit", kinds: all, run: limit, promise: "every rate limit of the integration, exact under concurrency" },
  {
    stage: "authorize",
    kinds: all,
    run: authorize,
    promise: "proof, freshness, scope, attributes and Cedar all say yes; any error is a no",
  },
  {
    stage: "inspect",
    kinds: all,
    run: inspectRequest,
    promise: "declared content type, size and JSON Schema; the bytes checked are the bytes sent",
  },
  {
    stage: "record",
    timed: "intent",
    kinds: all,
    run: onlyEffects,
    promise: "the intent of an effect is durable before it is forwarded; cannot record, cannot pass",
  },
  {
    stage: "exchange",
    kinds: all,
    run: exchangeToken,
    promise:
      "the caller's token stays here; the provider gets a signed identity, for this one crossing where it has an effect",
  },
  {
    stage: "forward",
    kinds: all,
    run: forward,
    promise: "one attempt to a checked address within its deadline; fields judged both ways",
  },
  { stage: "record", kinds: all, run: settle, promise: "exactly one outcome, durable before the answer ends" },
];

/** The table as README shows it. */
export const pipelineTable: readonly { readonly stage: StageName; readonly promise: string }[] = pipeline.map(
  ({ stage, promise }) => ({ stage, promise }),
);

const rows = pipeline.filter((row) => row.kinds.includes("api"));
const steps: readonly Step[] = rows.map((row) => row.run);
const timed: readonly string[] = rows.map((row) => row.timed ?? row.stage);

/** Runs one crossing to its recorded end. Stages that need not wait do not: a crossing is asynchronous from the first that must. */
export function runPipeline(exchange: Exchange, gate: Gate, from = 0): Promise<void> | void {
  try {
    for (let i = from; i < steps.length; i++) {
      const verdict = steps[i]?.(exchange, gate) ?? null;
      if (verdict instanceof Promise)
        return verdict.then(
          (late) => {
            markStage(exchange, gate, i);
            return late === null ? runPipeline(exchange, gate, i + 1) : finish(exchange, late, gate);
          },
          (bug: unknown) => finish(exchange, internal(bug, gate), gate),
        );
      markStage(exchange, gate, i);
      if (verdict !== null) return finish(exchange, verdict, gate);
    }
  } catch (bug) {
    return finish(exchange, internal(bug, gate), gate);
  }
}

/** The last row marks itself: its time is part of the answer it writes. */
function markStage(exchange: Exchange, gate: Gate, row: number): void {
  if (exchange.times !== null && row < steps.length - 1) exchange.times.mark(timed[row] ?? "", gate.clock.monotonic());
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
