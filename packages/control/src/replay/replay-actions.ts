// Promises operators what a candidate estate would decide of the crossings on record, line by line: how far it is, and the report at the end.
// Trusts api.ts, which has proven the operator and put on record what is asked; control's archive and the seal for the inputs. docs/policy.md "Replay".
import { hash } from "node:crypto";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import { batchContext, findInReference } from "@sallyport/protocol/audit/reference.ts";
import { z } from "zod";
import { AdminFault } from "../admin/actions.ts";
import { heldDirectories } from "../audit/follow/held-directories.ts";
import type { ControlParts } from "../control-parts.ts";
import type { LoadedEstate } from "../registry/config/estate.ts";
import { memoryEstateIo } from "../registry/config/estate-io.ts";
import { formatFinding } from "../registry/config/finding.ts";
import { loadEstateFrom } from "../registry/config/load.ts";
import { checkPolicies } from "../snapshot/compile-policies.ts";
import { type Candidate, createCandidate } from "./decide-again.ts";
import type { DecisionLeaf } from "./recorded.ts";
import { type ReplayStep, replayRecords } from "./replay-records.ts";

const timeMax = 8.64e15;
const word = z
  .string()
  .max(128)
  .regex(/^[a-z][a-z0-9-]*$/);

export const replayQuestion = z.strictObject({
  from: z.int().min(0).max(timeMax).default(0),
  to: z.int().min(0).max(timeMax).default(timeMax),
  integrations: z.array(word).max(64).default([]),
  environments: z.array(word).max(64).default([]),
});

/** One line of the answer. */
export type ReplayLine =
  /** What is wrong with the candidate: such operations deny everything. */
  | { readonly t: "begin"; readonly errors: readonly string[] }
  | ReplayStep
  | { readonly t: "end"; readonly code: "not-permitted" };

export interface Replays {
  /** Under way at this control node. */
  running: number;
}

const runningMax = 2;
const memoEntriesMax = 10_000;
const errorsMax = 100;
/** A progress line at most so often, in milliseconds; then it is also looked whether the operator may still read. */
const progressMs = 500;

export interface ReplayRequest extends z.output<typeof replayQuestion> {
  readonly files: Readonly<Record<string, string>>;
}

export function createReplay(parts: ControlParts, replays: Replays = { running: 0 }) {
  return async (
    request: ReplayRequest,
    { permitted }: { permitted(): Promise<boolean> },
  ): Promise<ReadableStream<Uint8Array>> => {
    if (replays.running >= runningMax)
      throw new AdminFault("too-many", `${runningMax} replays are under way here already`, "wait until one has ended");
    const loaded = loadEstateFrom(memoryEstateIo(request.files, () => parts.clock.now()));
    replays.running++;
    return streamOf(lines({ parts, request, loaded, permitted }), () => {
      replays.running--;
    });
  };
}

interface Replaying {
  readonly parts: ControlParts;
  readonly request: ReplayRequest;
  readonly loaded: LoadedEstate;
  permitted(): Promise<boolean>;
}

async function* lines({ parts, request, loaded, permitted }: Replaying): AsyncGenerator<ReplayLine, void> {
  const { compiler, dataDirectory } = parts;
  const found = [...loaded.findings, ...checkPolicies(loaded.estate, compiler)];
  yield {
    t: "begin",
    errors: found
      .filter(({ severity }) => severity === "error")
      .map(formatFinding)
      .slice(0, errorsMax),
  };
  const held = openHeldLogs({ directories: () => heldDirectories(dataDirectory) });
  try {
    const open = createOpener(parts);
    let saidMs = performance.now();
    for await (const step of replayRecords(request, { held, candidates: candidatesOf(loaded, parts), open })) {
      if (step.t === "result" || performance.now() - saidMs >= progressMs) {
        if (!(await permitted())) return yield { t: "end", code: "not-permitted" };
        saidMs = performance.now();
        yield step;
      }
    }
  } finally {
    await held.close();
  }
}

export function candidatesOf(
  { estate }: LoadedEstate,
  { compiler }: Pick<ControlParts, "compiler">,
): ReadonlyMap<string, Candidate> {
  const engine = createPolicyEngine({ memoEntriesMax });
  return new Map(estate.environments.map((one) => [one.name, createCandidate(one, { compiler, engine })]));
}

/** Opens a batch once for all of its crossings, which stand beside each other. */
function createOpener({ opener }: Pick<ControlParts, "opener">) {
  let last: { readonly hash: string; readonly text: string | null } = { hash: "", text: null };
  return (leaf: DecisionLeaf, reference: Uint8Array | null): Readonly<Record<string, unknown>> | null => {
    if (reference === null || leaf.inputs === null) return null;
    if (last.hash !== leaf.inputs) {
      const { tenant, environment, node, inputs } = leaf;
      if (hash("sha256", reference, "hex") !== inputs) return null;
      last = {
        hash: inputs,
        text: openText(() => opener.open(batchContext({ tenant, environment, node }), reference)),
      };
    }
    return last.text === null ? null : findInReference(last.text, leaf.id);
  };
}

/** Null: it was sealed to another key, or moved from another log. */
function openText(open: () => Uint8Array): string | null {
  try {
    return Buffer.from(open()).toString("utf8");
  } catch {
    return null;
  }
}

/** Lines are made when they are asked for. */
function streamOf(from: AsyncGenerator<ReplayLine, void>, over: () => void): ReadableStream<Uint8Array> {
  let isOver = false;
  const end = () => {
    if (!isOver) over();
    isOver = true;
  };
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const step = await from.next();
          if (step.done !== true) return controller.enqueue(Buffer.from(`${JSON.stringify(step.value)}\n`));
          end();
          controller.close();
        } catch (error) {
          end();
          throw error;
        }
      },
      cancel: async () => {
        end();
        await from.return();
      },
    },
    { highWaterMark: 0 },
  );
}
