// Promises to decide every recorded decision of some logs again, in order, and to say how far it is; it stops for nothing but the records' end, and lets
// others run in between. Trusts held-log.ts for what is signed. Specified in docs/policy.md "Replay".
import { setImmediate as breathe } from "node:timers/promises";
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { peekLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { atOf, firstSince } from "../audit/archive/find-archived.ts";
import { readLeaf } from "../audit/search/record-terms.ts";
import type { Candidate } from "./decide-again.ts";
import { type DecisionLeaf, readRecorded } from "./recorded.ts";
import { ReplayTally } from "./replay-report.ts";

export interface ReplayQuestion {
  /** Milliseconds since the epoch: from inclusive, to exclusive. */
  readonly from: number;
  readonly to: number;
  /** Empty: all. */
  readonly integrations: readonly string[];
  /** Empty: all. */
  readonly environments: readonly string[];
}

export interface ReplayPorts {
  readonly held: HeldRecords;
  /** By environment. */
  readonly candidates: ReadonlyMap<string, Candidate>;
  /** The sealed part of a leaf; null: it is not there, is not this leaf's, or cannot be opened. */
  open(leaf: DecisionLeaf, reference: Uint8Array | null): Readonly<Record<string, unknown>> | null;
}

export type ReplayStep =
  | { readonly t: "progress"; readonly read: number; readonly of: number; readonly decisions: number }
  | { readonly t: "result"; readonly report: ReturnType<ReplayTally["report"]> };

const readMax = 512;
/** Records of one log may stand so much out of order. */
const slackMs = 60_000;

export async function* replayRecords(question: ReplayQuestion, ports: ReplayPorts): AsyncGenerator<ReplayStep, void> {
  const tally = new ReplayTally();
  const wanted = ({ environment, role }: HeldOrigin) =>
    role !== "control" && (question.environments.length === 0 || question.environments.includes(environment));
  const origins = (await ports.held.origins()).filter(wanted);
  const starts = new Map<string, number>();
  for (const one of origins)
    starts.set(one.origin, await firstSince(ports.held, one, question.from - slackMs).catch(() => 0));
  const of = origins.reduce((sum, { origin, size }) => sum + size - (starts.get(origin) ?? 0), 0);
  let read = 0;
  for (const { origin, size } of origins) {
    for (let next = starts.get(origin) ?? 0; next < size; ) {
      const records = await ports.held.read(origin, next, readMax).catch((error: unknown) => String(error));
      if (typeof records === "string") tally.fault(records);
      if (typeof records === "string" || records.length === 0) break;
      next += records.length;
      read += records.length;
      for (const record of records) replayOne(record, question, { ...ports, tally });
      yield { t: "progress", read, of, decisions: tally.records };
      const last = records.at(-1);
      if (last !== undefined && atOf(textOf(last)) > question.to + slackMs) break;
      await breathe();
    }
  }
  yield { t: "result", report: tally.report() };
}

const textOf = ({ leaf }: FoundRecord): string => Buffer.from(leaf).toString("latin1");

function replayOne(
  record: FoundRecord,
  { from, to, integrations }: ReplayQuestion,
  { candidates, open, tally }: ReplayPorts & { readonly tally: ReplayTally },
): void {
  const text = textOf(record);
  const head = peekLeaf(text);
  if (head === null || (head.t !== "crossing" && head.t !== "intent")) return;
  const leaf = readLeaf(record.leaf);
  const at = leaf?.at ?? atOf(text);
  if (at < from || at >= to) return;
  if (leaf === null) tally.undecided("this version cannot read its record: a later one wrote it", head.id ?? "");
  if (leaf?.t !== "crossing" && leaf?.t !== "intent") return;
  if (integrations.length > 0 && !integrations.includes(leaf.integration ?? "")) return;
  const opened = open(leaf, record.reference);
  const recorded = readRecorded(leaf, opened);
  if (typeof recorded === "string") {
    tally.undecided(undecidedWords[recorded], leaf.id);
    return;
  }
  const candidate = candidates.get(leaf.environment);
  const again =
    candidate === undefined
      ? ({ kind: "unknown", why: `the estate has no environment ${leaf.environment}` } as const)
      : candidate.decide(recorded);
  if (again.kind !== "unknown") tally.decided(recorded, again);
  else
    tally.undecided(
      recorded.inputs === null ? `${again.why}, and its sealed inputs are not at hand` : again.why,
      leaf.id,
    );
}

const undecidedWords = {
  "before-policies": "it was denied before any policy was asked",
  "decided-by-answer": "the policies were to be asked once the answer was there",
  undeclared: "passthrough: no integration and no policy is about it",
  unreadable: "its sealed inputs are not as a gateway writes them",
} as const;
