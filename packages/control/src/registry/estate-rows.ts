// Promises that an estate and the rows it is kept as are the same thing: rows of an estate give back its environments, whoever else applied beside it.
// Trusts registry/config for the shapes. Specified in docs/configuration.md "What apply keeps".

import { stableJson } from "../snapshot/stable-json.ts";
import type {
  BrokenConfig,
  EnvironmentConfig,
  Estate,
  IntegrationConfig,
  IssuerConfig,
  ListenerConfig,
  PolicyFile,
  SystemConfig,
  TrustConfig,
  WitnessesConfig,
} from "./config/estate.ts";
import { defaultTokens } from "./config/tokens-schema.ts";

export type RowKind = "environment" | "system" | "integration" | "trust" | "issuer" | "policy" | "witnesses";

/** One applied object of one environment: what the store keeps and compares. */
export interface EstateRow {
  readonly environment: string;
  readonly kind: RowKind;
  readonly id: string;
  /** JSON with sorted keys: equal text means an equal object. */
  readonly json: string;
}

interface EnvironmentRow {
  readonly approval: EnvironmentConfig["approval"];
  readonly stalenessMs: EnvironmentConfig["stalenessMs"];
  readonly mode?: NonNullable<EnvironmentConfig["mode"]>;
  readonly people?: NonNullable<EnvironmentConfig["people"]>;
  readonly tokens?: NonNullable<EnvironmentConfig["tokens"]>;
  readonly listeners: readonly ListenerConfig[];
  readonly broken: readonly BrokenConfig[];
}

const strictest: Readonly<Record<EnvironmentConfig["approval"], number>> = { none: 0, operator: 1 };

/** Where what concerns the installation itself is kept: no environment can have this name. */
const ownEnvironment = "sallyport";

/** The rows of an estate, in a fixed order. */
export function rowsOfEstate(estate: Estate): readonly EstateRow[] {
  const { name, witnesses, environments } = estate;
  const json = Buffer.from(stableJson(witnesses)).toString();
  return [
    ...environments.flatMap((environment) => rowsOfEnvironment(estate, environment)),
    ...(witnesses === undefined ? [] : [{ environment: ownEnvironment, kind: "witnesses", id: name, json } as const]),
  ];
}

function rowsOfEnvironment(estate: Estate, environment: EnvironmentConfig): readonly EstateRow[] {
  const row = (kind: RowKind, id: string, value: unknown): EstateRow => ({
    environment: environment.name,
    kind,
    id,
    json: Buffer.from(stableJson(value)).toString(),
  });
  const { approval, stalenessMs, mode, people, tokens, listeners, broken } = environment;
  return [
    row("environment", `${environment.name}-by-${estate.name}`, {
      approval,
      stalenessMs,
      ...(mode === undefined ? {} : { mode }),
      ...(people === undefined ? {} : { people }),
      ...(tokens === undefined ? {} : { tokens }),
      listeners,
      broken,
    } satisfies EnvironmentRow),
    ...environment.systems.map((system) => row("system", system.id, system)),
    ...environment.integrations.map((integration) => row("integration", integration.id, integration)),
    ...environment.trust.map((trust) => row("trust", trust.name, trust)),
    ...environment.issuers.map((issuer) => row("issuer", issuer.id, issuer)),
    ...environment.policies.map((policy) => row("policy", policy.file, policy)),
  ];
}

/** What every estate says of witnesses, together: each witness and log once by name, and the larger quorum. */
export function witnessesOfRows(rows: readonly EstateRow[]): WitnessesConfig {
  // Written by rowsOfEstate only.
  const said = byId(rows.filter(({ kind }) => kind === "witnesses")).map(
    ({ json }) => JSON.parse(json) as WitnessesConfig,
  );
  const once = <T extends { readonly id: string }>(all: readonly T[]): readonly T[] =>
    byId([...new Map(all.toReversed().map((one) => [one.id, one])).values()]);
  const quorums = said.filter(({ outside }) => outside.length > 0).map(({ quorum }) => quorum);
  return {
    quorum: quorums.includes("all") || quorums.length === 0 ? "all" : Math.max(...quorums.map(Number)),
    outside: once(said.flatMap(({ outside }) => outside)),
    logs: once(said.flatMap(({ logs }) => logs)),
  };
}

/** The environments that rows describe, in ascending order of name. Where several estates say something of one environment, the strictest holds. */
export function environmentsOfRows(rows: readonly EstateRow[]): readonly EnvironmentConfig[] {
  // In one order whatever the store's: where two estates name one listener, the same one must win on every node and every start.
  const ordered = byId(rows.filter(({ kind }) => kind !== "witnesses"));
  const names = [...new Set(ordered.map((row) => row.environment))].sort();
  return names.map((name) => {
    const here = ordered.filter((row) => row.environment === name);
    // Rows are written by rowsOfEstate only: each kind's JSON is the shape it was made from.
    const all = <T>(kind: RowKind): T[] =>
      here.filter((row) => row.kind === kind).map((row) => JSON.parse(row.json) as T);
    const settings = all<EnvironmentRow>("environment");
    return {
      name,
      ...mergeSettings(settings),
      systems: byId(all<SystemConfig>("system")),
      integrations: byId(all<IntegrationConfig>("integration")),
      trust: all<TrustConfig>("trust").sort((a, b) => compare(a.name, b.name)),
      issuers: byId(all<IssuerConfig>("issuer")),
      policies: all<PolicyFile>("policy").sort((a, b) => compare(a.file, b.file)),
    };
  });
}

/** An environment that no row describes any more: nothing is served there, and nobody is its client. */
export function emptyEnvironment(name: string): EnvironmentConfig {
  return { name, ...empty, systems: [], integrations: [], trust: [], issuers: [], policies: [] };
}

function mergeSettings([first, ...others]: readonly EnvironmentRow[]): EnvironmentRow {
  return others.reduce(
    (a, b) => ({
      approval: strictest[a.approval] >= strictest[b.approval] ? a.approval : b.approval,
      stalenessMs: {
        public: Math.min(a.stalenessMs.public, b.stalenessMs.public),
        internal: Math.min(a.stalenessMs.internal, b.stalenessMs.internal),
        confidential: Math.min(a.stalenessMs.confidential, b.stalenessMs.confidential),
        restricted: Math.min(a.stalenessMs.restricted, b.stalenessMs.restricted),
      },
      ...stricterMode(a.mode, b.mode),
      ...stricterPeople(a.people, b.people),
      ...shorterTokens(a.tokens, b.tokens),
      listeners: [
        ...a.listeners,
        ...b.listeners.filter(({ name }) => !a.listeners.some((other) => other.name === name)),
      ],
      broken: [...a.broken, ...b.broken],
    }),
    first ?? empty,
  );
}

/** Only where every estate says `observe` is anything left out, and only to the first end. */
function stricterMode(a: EnvironmentRow["mode"], b: EnvironmentRow["mode"]): Pick<EnvironmentRow, "mode"> {
  if (a?.mode !== "observe" || b?.mode !== "observe") return {};
  return { mode: a.untilMs <= b.untilMs ? a : b };
}

/** Pages are served where any estate asks for them, by the ways all of those allow, for the shortest time; a provider outside where all describe it alike. */
function stricterPeople(a: EnvironmentRow["people"], b: EnvironmentRow["people"]): Pick<EnvironmentRow, "people"> {
  const one = a ?? b;
  if (a === undefined || b === undefined) return one === undefined ? {} : { people: one };
  const theirs = new Set(b.providers?.map((provider) => textOf(provider)));
  const providers = a.providers?.filter((provider) => theirs.has(textOf(provider))) ?? [];
  const others = [...(a.providers ?? []), ...(b.providers ?? [])].filter(
    ({ id }) => !providers.some((one) => one.id === id),
  );
  const signIn = a.signIn.filter((way) => b.signIn.includes(way) && !others.some(({ id }) => id === way));
  const [idleMs, absoluteMs] = [Math.min(a.idleMs, b.idleMs), Math.min(a.absoluteMs, b.absoluteMs)];
  return { people: { signIn, ...(providers.length === 0 ? {} : { providers }), idleMs, absoluteMs } };
}

const textOf = (value: unknown) => Buffer.from(stableJson(value)).toString();

/** The shorter of each life; another algorithm than the default only where every estate wants it. */
function shorterTokens(
  a: EnvironmentRow["tokens"] = defaultTokens,
  b: EnvironmentRow["tokens"] = defaultTokens,
): Pick<EnvironmentRow, "tokens"> {
  const shorter = (key: Exclude<keyof typeof defaultTokens, "algorithm">) => Math.min(a[key], b[key]);
  return {
    tokens: {
      algorithm: a.algorithm === b.algorithm ? a.algorithm : defaultTokens.algorithm,
      rotateEveryMs: shorter("rotateEveryMs"),
      machineSeconds: shorter("machineSeconds"),
      userSeconds: shorter("userSeconds"),
      refreshMs: shorter("refreshMs"),
      refreshIdleMs: shorter("refreshIdleMs"),
    },
  };
}

/** Rows of an environment nobody describes: nothing is served without an operator's word. */
const empty: EnvironmentRow = {
  approval: "operator",
  stalenessMs: { public: 0, internal: 0, confidential: 0, restricted: 0 },
  listeners: [],
  broken: [],
};

function byId<T extends { readonly id: string }>(objects: readonly T[]): readonly T[] {
  return [...objects].sort((a, b) => compare(a.id, b.id));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
