// Promises what an operator is told of a node with several workers: sums of what is under way, and of everything else the worst. Pure.
// Trusts the reports. Specified in docs/workers.md.
import {
  type ObservedGroup,
  type ObservedShadow,
  observedExamplesMax,
  observedGroupsMax,
  observedShadowsMax,
  type UpMessage,
} from "@sallyport/protocol/channel/messages.ts";
import type { GatewayStatus, Readiness } from "../observe/status.ts";
import type { WorkerReport } from "./messages.ts";

/** A worker that has said nothing for so long does not serve. */
export const silenceMsMax = 5_000;

/** `silentMs`: since each report came. */
export interface HeardReport extends WorkerReport {
  readonly silentMs: number;
}

/** `heard`: at least one. */
export function statusOfAll(heard: readonly HeardReport[]): GatewayStatus {
  const all = heard.map(({ status }) => status);
  const [first] = all;
  if (first === undefined) throw new Error("a node has a worker");
  const behind = all.reduce((a, b) => (order(b) < order(a) ? b : a));
  const lost = all.reduce((a, b) => (isWorse(b, a) ? b : a));
  const bad = all.find(({ dataPlane }) => dataPlane.why !== null) ?? first;
  return {
    ...first,
    snapshot: behind.snapshot,
    broken: behind.broken,
    unenforced: behind.unenforced,
    stalenessMs: all.some(({ stalenessMs }) => stalenessMs === null)
      ? null
      : Math.max(...heard.map(({ status, silentMs }) => (status.stalenessMs ?? 0) + silentMs)),
    keySeq: Math.min(...all.map(({ keySeq }) => keySeq)),
    revocationSeq: Math.min(...all.map(({ revocationSeq }) => revocationSeq)),
    refused: all.find(({ refused }) => refused !== null)?.refused ?? null,
    waiting: all.map(({ waiting }) => waiting).reduce((a, b) => ((b?.waitingMs ?? -1) > (a?.waitingMs ?? -1) ? b : a)),
    inFlight: all.reduce((sum, { inFlight }) => sum + inFlight, 0),
    draining: all.some(({ draining }) => draining),
    dataPlane: bad.dataPlane,
    sharedLimits: lost.sharedLimits,
    workers: heard.length,
  };
}

/** Best first. A node that counts by itself in one worker does not share its limits. */
const sharedStates = ["unused", "shared", "connecting", "absent", "lost"] as const;
const isWorse = (one: GatewayStatus, other: GatewayStatus): boolean =>
  sharedStates.indexOf(one.sharedLimits.state) > sharedStates.indexOf(other.sharedLimits.state);

/** Where a worker's snapshot stands among the others'. */
const order = ({ snapshot }: GatewayStatus): number =>
  snapshot === null ? -1 : snapshot.epoch * 2 ** 32 + snapshot.version;

export function readinessOfAll(heard: readonly HeardReport[]): Readiness {
  const missing = new Set<string>();
  const broken = new Set<string>();
  for (const [number, { readiness, silentMs }] of heard.entries()) {
    if (silentMs > silenceMsMax)
      missing.add(`worker ${number + 1} of ${heard.length} has said nothing for ${Math.round(silentMs / 1_000)} s`);
    for (const one of readiness.missing) missing.add(one);
    for (const one of readiness.broken) broken.add(one);
  }
  return { ready: missing.size === 0, missing: [...missing], broken: [...broken] };
}

type Observed = Extract<UpMessage, { t: "observed" }>;

/** `answers`: at least one. What finds no room in one answer is counted as without room. */
export function observedOfAll(answers: readonly Observed[]): Observed {
  const [first, ...others] = answers;
  if (first === undefined) throw new Error("a node has a worker");
  const groups = new Map<string, ObservedGroup>();
  const shadows = new Map<string, ObservedShadow>();
  for (const answer of answers) {
    for (const group of answer.groups) add(groups, group);
    for (const shadow of answer.shadows ?? []) add(shadows, shadow);
  }
  const [kept, left] = cut([...groups.values()], observedGroupsMax);
  const [keptShadows, leftShadows] = cut([...shadows.values()], observedShadowsMax);
  const sum = (of: (answer: Observed) => number) => answers.reduce((total, one) => total + of(one), 0);
  return {
    ...first,
    sinceMs: others.reduce((since, one) => Math.max(since, one.sinceMs), first.sinceMs),
    uncounted: sum(({ uncounted }) => uncounted) + left,
    groups: kept,
    ...(first.shadows === undefined
      ? {}
      : { shadows: keptShadows, uncountedShadows: sum((one) => one.uncountedShadows ?? 0) + leftShadows }),
  };
}

interface Counted {
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly examples: readonly string[];
}

function add<T extends Counted>(to: Map<string, T>, one: T): void {
  const { count, firstMs, lastMs, examples, ...named } = one;
  const key = JSON.stringify(named);
  const known = to.get(key);
  if (known === undefined) {
    to.set(key, one);
    return;
  }
  const [newer, older] = known.lastMs >= lastMs ? [known.examples, examples] : [examples, known.examples];
  to.set(key, {
    ...known,
    count: known.count + count,
    firstMs: Math.min(known.firstMs, firstMs),
    lastMs: Math.max(known.lastMs, lastMs),
    examples: [...newer, ...older].slice(0, observedExamplesMax),
  });
}

function cut<T extends Counted>(all: readonly T[], max: number): [readonly T[], number] {
  return [all.slice(0, max), all.slice(max).reduce((sum, { count }) => sum + count, 0)];
}
