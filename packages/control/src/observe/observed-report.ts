// Promises operators what enforcement would deny, with the fix for each, and for each system whether it could be enforced now; says what it does not
// know (a node away, a table that was full). Trusts nodes for their counts, api.ts for the record of the look-up. Specified in docs/observe.md.

import type { ObservedGroup } from "@sallyport/protocol/channel/messages.ts";
import type { ModeObject } from "@sallyport/protocol/snapshot/objects.ts";
import { AdminFault, type CrossingReport } from "../admin/actions.ts";
import { readCrossing } from "../admin/read-crossing.ts";
import type { ControlParts } from "../control-parts.ts";
import type { IntegrationConfig, SystemConfig } from "../registry/config/estate.ts";
import { type ShadowRow, shadowRows } from "./shadow-report.ts";
import { type DeclaredParts, type Fix, suggestFix } from "./suggest-fix.ts";

const answerTimeoutMs = 3_000;
/** Records opened for one report; the groups behind them are listed without caller and path. */
const lookupsMax = 256;
const lookupsAtOnce = 16;
/** A caller answers these by itself: the next request is a good one. */
const answeredByCaller: ReadonlySet<string> = new Set(["dpop-nonce"]);

export interface ObservedRow {
  readonly environment: string;
  readonly system: string;
  /** `billing:invoice.read`, `billing:(undeclared)` */
  readonly operation: string;
  readonly mode: "observe" | "passthrough";
  /** System id; the pseudonym of the records where they are gone; null: nobody was proven. */
  readonly caller: string | null;
  readonly addressClass: string;
  readonly code: string;
  readonly stage: string;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly examples: readonly string[];
  /** Codes of what would be denied next, in the newest example. */
  readonly next: readonly string[];
  /** Templates of what was called, where it is not declared. */
  readonly shapes: readonly string[];
  readonly fix: Fix;
}

export interface ObservedSystem {
  readonly environment: string;
  readonly system: string;
  /** Of the system, or of the environment around it. */
  readonly observeUntilMs: number | null;
  readonly passthroughUntilMs: number | null;
  readonly allowed: number;
  readonly wouldDeny: number;
  readonly ready: boolean;
  /** Why it is not, or on what the yes stands. */
  readonly why: string;
}

export interface ObservedReport {
  readonly sinceMs: number;
  readonly nodes: readonly {
    readonly node: string;
    readonly environment: string;
    /** Null: it is away or did not answer. */
    readonly sinceMs: number | null;
    readonly uncounted: number;
  }[];
  readonly systems: readonly ObservedSystem[];
  /** The most frequent first. */
  readonly groups: readonly ObservedRow[];
  /** What policies in shadow would have changed; the most frequent first. */
  readonly shadows: readonly ShadowRow[];
}

interface NodeGroup extends ObservedGroup {
  readonly environment: string;
  readonly system: string;
}

export async function readObserved(parts: ControlParts, sinceMs: number): Promise<ObservedReport> {
  const known = (await parts.store.run("listNodes", { tenant: parts.tenant })).filter(
    ({ state }) => state === "active",
  );
  const answers = await Promise.all(
    known.map(async ({ node, environment }) => ({
      node,
      environment,
      answer: await parts.hub.askObserved(node, sinceMs, answerTimeoutMs),
    })),
  );
  const all = answers.flatMap(({ environment, answer }) =>
    (answer?.groups ?? []).map((group): NodeGroup => ({ ...group, environment, system: systemOf(group.operation) })),
  );
  const declared = await readDeclared(parts);
  const merged = mergeAlike(all);
  const denied = merged.filter(({ code }) => code !== null && !answeredByCaller.has(code));
  const opened = await openExamples(parts, denied);
  const nodes = answers.map(({ node, environment, answer }) => ({
    node,
    environment,
    sinceMs: answer?.sinceMs ?? null,
    uncounted: (answer?.uncounted ?? 0) + (answer?.uncountedShadows ?? 0),
  }));
  return {
    sinceMs,
    nodes,
    systems: systemsOf({ declared, merged, nodes, nowMs: parts.clock.now() }),
    groups: rowsOf(denied, { opened, declared }),
    shadows: await shadowRows(
      answers.map(({ environment, answer }) => ({ environment, shadows: answer?.shadows ?? [] })),
      (id) => decisionOf(parts, id),
    ),
  };
}

function systemOf(operation: string): string {
  return operation.slice(0, operation.indexOf(":"));
}

/** The same group of several nodes is one. */
function mergeAlike(groups: readonly NodeGroup[]): NodeGroup[] {
  const alike = Map.groupBy(groups, ({ environment, mode, operation, caller, addressClass, code, stage, shape }) =>
    JSON.stringify([environment, mode, operation, caller, addressClass, code, stage, shape]),
  );
  return [...alike.values()].flatMap((same) => {
    const [newest] = same.sort((a, b) => b.lastMs - a.lastMs);
    if (newest === undefined) return [];
    return {
      ...newest,
      count: same.reduce((sum, { count }) => sum + count, 0),
      firstMs: Math.min(...same.map(({ firstMs }) => firstMs)),
      examples: same.flatMap(({ examples }) => examples).slice(0, 3),
    };
  });
}

type Opened = ReadonlyMap<NodeGroup, CrossingReport["decision"]>;

async function openExamples(parts: ControlParts, groups: readonly NodeGroup[]): Promise<Opened> {
  const frequent = [...groups].sort((a, b) => b.count - a.count).slice(0, lookupsMax);
  const opened = new Map<NodeGroup, CrossingReport["decision"]>();
  for (let i = 0; i < frequent.length; i += lookupsAtOnce) {
    const some = frequent.slice(i, i + lookupsAtOnce);
    await Promise.all(some.map(async (group) => opened.set(group, await decisionOf(parts, group.examples[0]))));
  }
  return opened;
}

async function decisionOf(parts: ControlParts, id: string | undefined): Promise<CrossingReport["decision"]> {
  if (id === undefined) return null;
  try {
    return (await readCrossing(parts, id)).decision;
  } catch (fault) {
    // Its node went away meanwhile, or the record is gone: the count stands all the same.
    if (fault instanceof AdminFault) return null;
    throw fault;
  }
}

interface Declared {
  readonly systems: readonly { readonly environment: string; readonly config: SystemConfig }[];
  readonly integrations: readonly { readonly environment: string; readonly config: IntegrationConfig }[];
  readonly modes: ReadonlyMap<string, ModeObject>;
  parts(environment: string): DeclaredParts;
}

async function readDeclared(parts: ControlParts): Promise<Declared> {
  const objects = await parts.store.run("listObjects", { tenant: parts.tenant, environment: null, kind: null });
  // Written by estate-rows from these shapes.
  const of = <T>(kind: string) =>
    objects
      .filter((one) => one.kind === kind)
      .map(({ environment, json }) => ({ environment, config: JSON.parse(json) as T }));
  const systems = of<SystemConfig>("system");
  const integrations = of<IntegrationConfig>("integration");
  const rules = of<{ readonly mode?: ModeObject }>("environment");
  return {
    systems,
    integrations,
    modes: new Map(rules.flatMap(({ environment, config: { mode } }) => (mode ? [[environment, mode] as const] : []))),
    parts: (environment) => ({
      integrations: integrations
        .filter((one) => one.environment === environment)
        .map(({ config: { id, from, to, declaredAt } }) => ({
          id,
          from,
          to,
          declaredAt: `${declaredAt.file}:${declaredAt.line}`,
        })),
      operations: new Map(
        systems.filter((one) => one.environment === environment).map(({ config }) => [config.id, config.operations]),
      ),
    }),
  };
}

interface Systems {
  readonly declared: Declared;
  readonly merged: readonly NodeGroup[];
  readonly nodes: ObservedReport["nodes"];
  readonly nowMs: number;
}

/** Every system that observes, passes, or was seen to. */
function systemsOf({ declared, merged, nodes, nowMs }: Systems): ObservedSystem[] {
  const untilOf = (mode: ModeObject | undefined) =>
    mode?.mode === "observe" && mode.untilMs > nowMs ? mode.untilMs : null;
  return declared.systems.flatMap(({ environment, config }): ObservedSystem[] => {
    const observeUntilMs = untilOf(config.mode ?? declared.modes.get(environment));
    const passing = config.passthrough?.untilMs ?? 0;
    const passthroughUntilMs = passing > nowMs ? passing : null;
    const seen = merged.filter((one) => one.environment === environment && one.system === config.id);
    const isServed = config.operations.length > 0 || config.passthrough !== undefined;
    if (!isServed || (observeUntilMs === null && passthroughUntilMs === null && seen.length === 0)) return [];
    const sum = (groups: readonly NodeGroup[]) => groups.reduce((total, { count }) => total + count, 0);
    const allowed = sum(seen.filter(({ code }) => code === null || answeredByCaller.has(code)));
    const wouldDeny = sum(seen.filter(({ code }) => code !== null && !answeredByCaller.has(code)));
    const here = nodes.filter((one) => one.environment === environment);
    const isLetPass =
      observeUntilMs !== null ||
      passthroughUntilMs !== null ||
      declared.integrations.some(
        (one) => one.environment === environment && one.config.to === config.id && untilOf(one.config.mode) !== null,
      );
    return [
      {
        environment,
        system: config.id,
        observeUntilMs,
        passthroughUntilMs,
        allowed,
        wouldDeny,
        ...(isLetPass
          ? decideReady({ allowed, wouldDeny, nodes: here })
          : { ready: true, why: "enforced now; this was seen before" }),
      },
    ];
  });
}

/** A yes needs traffic that was seen whole and would all be allowed. */
export function decideReady(seen: {
  readonly allowed: number;
  readonly wouldDeny: number;
  readonly nodes: ObservedReport["nodes"];
}): Pick<ObservedSystem, "ready" | "why"> {
  const away = seen.nodes.filter(({ sinceMs }) => sinceMs === null).map(({ node }) => node);
  if (seen.wouldDeny > 0) return { ready: false, why: `${seen.wouldDeny} crossings would be denied` };
  if (away.length > 0) return { ready: false, why: `not known: ${away.join(", ")} did not answer` };
  if (seen.nodes.some(({ uncounted }) => uncounted > 0))
    return { ready: false, why: "not known: a gateway had no room to count everything" };
  if (seen.allowed === 0) return { ready: false, why: "not known: nothing was seen" };
  return { ready: true, why: `all ${seen.allowed} crossings would be allowed` };
}

function rowsOf(
  denied: readonly NodeGroup[],
  on: { readonly opened: Opened; readonly declared: Declared },
): ObservedRow[] {
  const drafts = denied.map((group): Draft => ({ group, ...toldOf(group, on.opened.get(group) ?? null) }));
  const together = Map.groupBy(drafts, mendedWith);
  return drafts
    .map((draft): ObservedRow => {
      const { group, caller, facts, shapes, next } = draft;
      const { environment, system, operation, mode, addressClass, count, firstMs, lastMs, examples } = group;
      const same = together.get(mendedWith(draft)) ?? [];
      const fix = suggestFix(
        {
          system,
          operation: nameOf(operation),
          caller,
          code: group.code ?? "",
          facts,
          shapes: [...new Set(same.flatMap((one) => one.shapes))],
          wanted: [...new Set(same.map((one) => nameOf(one.group.operation)))].sort(),
        },
        on.declared.parts(environment),
      );
      const said = { code: group.code ?? "", stage: group.stage ?? "", next, shapes, fix };
      return { environment, system, operation, mode, caller, addressClass, count, firstMs, lastMs, examples, ...said };
    })
    .sort((a, b) => b.count - a.count || b.lastMs - a.lastMs);
}

/** Rows that one change mends: what is not declared is declared for everybody, all of one system together. */
function mendedWith({ group, caller }: Draft): string {
  const { environment, system, code } = group;
  return JSON.stringify(
    nameOf(group.operation) === "(undeclared)" ? [environment, system] : [environment, system, caller, code],
  );
}

function nameOf(operation: string): string {
  return operation.slice(operation.indexOf(":") + 1);
}

interface Draft extends Told {
  readonly group: NodeGroup;
}

interface Told {
  readonly caller: string | null;
  readonly facts: Readonly<Record<string, string>>;
  readonly shapes: readonly string[];
  readonly next: readonly string[];
}

/** What the newest example's sealed reference says of its group. */
function toldOf(group: NodeGroup, decision: CrossingReport["decision"]): Told {
  const principal = recordOf(decision?.["principal"]);
  const undeclared = decision?.["undeclared"];
  const also = decision?.["also"];
  const facts = Object.entries(recordOf(decision?.["facts"])).filter(
    (one): one is [string, string] => typeof one[1] === "string",
  );
  return {
    caller: group.caller === null ? null : String(principal["caller"] ?? group.caller),
    facts: Object.fromEntries(facts),
    shapes: typeof undeclared === "string" ? [undeclared] : [],
    next: Array.isArray(also) ? also.map((one) => String(recordOf(one)["code"])) : [],
  };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
