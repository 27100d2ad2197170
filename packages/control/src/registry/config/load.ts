// Promises the whole estate of a directory with every finding; one broken object is left out and named, and never stops the others.
// Trusts estate-io.ts to stay inside the directory. Specified in docs/configuration.md.

import { describeSystem } from "../openapi/describe-system.ts";
import { findingsMax } from "./bounds.ts";
import type {
  BrokenConfig,
  EnvironmentConfig,
  EnvironmentSources,
  Estate,
  EstateSources,
  IntegrationConfig,
  LoadedEstate,
  TrustConfig,
} from "./estate.ts";
import { diskEstateIo, type EstateIo } from "./estate-io.ts";
import { compareText, errorAt, type Finding, fileSpot, placeOf, sortFindings } from "./finding.ts";
import {
  type EstateNames,
  type LinkedEnvironment,
  type LinkedIntegration,
  type LinkedSystem,
  linkIntegrations,
  linkSystems,
  refuseSharedIdentities,
} from "./link.ts";
import { finishIssuers, type LinkedIssuer, linkIssuers, linkPeople } from "./link-issuers.ts";
import { overlay, readEnvironments } from "./overlay.ts";
import { type EnvironmentRules, type EstateSettings, readEstateSettings, saidOf } from "./read-estate-file.ts";
import { type IntegrationSourceTree, integrationOfUse, readIntegration } from "./read-integration.ts";
import { readIssuer } from "./read-issuer.ts";
import { listenersOf } from "./read-listener.ts";
import { linkLookups } from "./read-lookups.ts";
import { readPolicies } from "./read-policies.ts";
import { readSystem } from "./read-system.ts";
import { readTrust } from "./read-trust.ts";
import { readFolder, type SourceFile } from "./source-files.ts";
import { findStrays, keepReads } from "./stray-names.ts";
import { warnNoIdentity } from "./warn-no-identity.ts";
import { type MapTree, pathOfEnvironment, textAt, withoutKey } from "./yaml-tree.ts";

/** The estate in a directory. Throws only when the directory itself cannot be read. */
export function loadEstate(dir: string, io: { now(): number }): LoadedEstate {
  return loadEstateFrom(diskEstateIo(dir, () => io.now()));
}

/** A source file with the environments it stands for. */
interface Sited {
  readonly source: SourceFile;
  readonly names: readonly string[] | null;
  readonly overrides: ReadonlyMap<string, MapTree>;
  /** Errors that hold in every environment (also when it is the only one). */
  readonly everywhere: readonly Finding[];
}

/** The estate behind an io; pure but for its reads. */
export function loadEstateFrom(io: EstateIo): LoadedEstate {
  const kept = keepReads(io);
  const { estate, findings, sources } = readEstate(kept.io);
  return { estate, sources, findings: bounded(sortFindings([...findings, ...findStrays(io, kept.reads)])) };
}

function readEstate(io: EstateIo): LoadedEstate {
  const settings = readEstateSettings(io);
  const declared = new Set(settings.environments.map((environment) => environment.name));
  const folders = [
    readFolder(io, "systems", "system"),
    readFolder(io, "integrations", "integration"),
    readFolder(io, "trust", "trust"),
    readFolder(io, "issuers", "issuer"),
  ] as const;
  const [systems, integrations, trust, issuers] = folders.map((folder) =>
    folder.sources.map((source) => site(source, declared)),
  );
  const policies = readPolicies(io, declared);
  const findings: Finding[] = [
    ...settings.findings,
    ...folders.flatMap((folder) => folder.findings),
    ...policies.findings,
  ];
  for (const { source, everywhere } of [systems, integrations, trust, issuers].flatMap((sited) => sited ?? []))
    findings.push(...source.findings, ...everywhere);
  const names: EstateNames = {
    systems: new Set((systems ?? []).map(({ source }) => source.id)),
    teams: new Set(settings.teams.map((team) => team.id)),
    trust: new Set((trust ?? []).map(({ source }) => source.id)),
  };
  const parts: Parts = {
    io,
    systems: systems ?? [],
    integrations: integrations ?? [],
    trust: trust ?? [],
    issuers: issuers ?? [],
    findings,
  };
  const linked = settings.environments.map((rules) => readEnvironment(rules, parts));
  for (const environment of linked) linkSystems(environment, names);
  for (const environment of linked) linkLookups(environment);
  refuseSharedIdentities(linked);
  for (const environment of linked) linkIntegrations(environment, names);
  for (const environment of linked) linkIssuers(environment, names);
  findings.push(...linkPeople(settings.root, settings.environments, { linked, names }));
  const environments = linked.map((environment, index) =>
    finish(environment, { rules: settings.environments[index], settings, policies, findings, names }),
  );
  const estate: Estate = {
    name: settings.name,
    tenant: settings.tenant,
    managedBy: `config:${settings.name}`,
    teams: settings.teams,
    operators: settings.operators,
    ...(settings.witnesses === null ? {} : { witnesses: settings.witnesses }),
    environments,
  };
  const sources: EstateSources = {
    root: settings.root,
    environments: new Map(linked.map((environment) => [environment.name, sourcesOf(environment)])),
    waivers: [settings.root, ...folders.flatMap((folder) => folder.sources.map(({ root }) => root))].flatMap(waiversOf),
  };
  return { estate, findings, sources };
}

function waiversOf(root: MapTree | null): EstateSources["waivers"] {
  const entry = root?.entries.get("waivers");
  return entry === undefined ? [] : [{ file: entry.keyAt.file, tree: entry.value }];
}

function sourcesOf(environment: LinkedEnvironment): EnvironmentSources {
  const systems = [...environment.systems.values()];
  return {
    systems: new Map(systems.flatMap(({ id, tree }): [string, MapTree][] => (tree === null ? [] : [[id, tree]]))),
    descriptions: new Map(systems.flatMap(({ id, notes }) => (notes === undefined ? [] : [[id, notes] as const]))),
    integrations: new Map(environment.integrations.map(({ draft }) => [draft.id, draft.tree])),
    trust: environment.trustTrees,
    issuers: new Map([...environment.issuers].flatMap(([id, { tree }]) => (tree === null ? [] : [[id, tree]]))),
  };
}

function bounded(findings: Finding[]): Finding[] {
  if (findings.length <= findingsMax) return findings;
  const rest = errorAt(
    fileSpot("sallyport.yaml"),
    `${findings.length - findingsMax} more findings are not shown`,
    "correct these first",
  );
  return [...findings.slice(0, findingsMax), rest];
}

function site(source: SourceFile, declared: ReadonlySet<string>): Sited {
  if (source.root === null) return { source, names: null, overrides: new Map(), everywhere: [] };
  const { names, overrides, findings } = readEnvironments(source.root, declared);
  // What is waived changes nothing about the object: lint reads it (sources).
  return { source: { ...source, root: withoutKey(source.root, "waivers") }, names, overrides, everywhere: findings };
}

interface Parts {
  readonly io: EstateIo;
  readonly systems: readonly Sited[];
  readonly integrations: readonly Sited[];
  readonly trust: readonly Sited[];
  readonly issuers: readonly Sited[];
  readonly findings: Finding[];
}

/** Errors of the file's text that hold in this environment: all but those inside the overrides of another one. */
function textErrors(sited: Sited, environment: string): Finding[] {
  const all = [...sited.source.findings, ...sited.everywhere].filter((finding) => finding.severity === "error");
  // A file whose environments are all mistaken is broken wherever it might have been meant for.
  if (sited.names?.length === 0) return all;
  return all.filter((finding) => {
    const other = pathOfEnvironment(finding.path);
    return other === null || other === environment;
  });
}

function readEnvironment(rules: EnvironmentRules, parts: Parts): LinkedEnvironment {
  const name = rules.name;
  const trust = new Map<string, TrustConfig | null>();
  const trustTrees = new Map<string, MapTree>();
  for (const sited of parts.trust) {
    const { source } = sited;
    // Without `environments` a bundle is trusted wherever something names it.
    if (sited.names !== null && !sited.names.includes(name)) continue;
    const tree = source.root === null ? null : overlay(source.root, sited.overrides.get(name));
    if (tree !== null) trustTrees.set(source.id, tree);
    const read = tree === null ? null : readTrust(parts.io, tree);
    parts.findings.push(...(read?.findings ?? []));
    const isBroken = rules.broken !== null || textErrors(sited, name).length > 0;
    trust.set(source.id, isBroken ? null : (read?.trust ?? null));
  }
  const systems = new Map<string, LinkedSystem>();
  const integrations: LinkedIntegration[] = [];
  for (const sited of parts.systems) {
    // A system that says nothing exists in production only: one URL for two environments would be a hole in the wall.
    const inside =
      sited.names === null ? name === "production" || sited.source.root === null : sited.names.includes(name);
    if (inside || (sited.names?.length === 0 && sited.everywhere.length > 0))
      readSystemParts(sited, rules, { parts, systems, integrations });
  }
  for (const sited of parts.integrations) readIntegrationParts(sited, rules, { parts, systems, integrations });
  const issuers = new Map(
    parts.issuers.flatMap((sited) => {
      const issuer = readIssuerHere(sited, rules, parts.io);
      return issuer === null ? [] : [[issuer.id, issuer] as const];
    }),
  );
  return { name, systems, integrations, trust, trustTrees, issuers };
}

/** An issuer that says nothing is trusted in production only: like a system, it stands on one side of the wall. */
function readIssuerHere(sited: Sited, rules: EnvironmentRules, io: EstateIo): LinkedIssuer | null {
  const { source } = sited;
  if (!(sited.names ?? ["production"]).includes(rules.name)) return null;
  const tree = source.root === null ? null : overlay(source.root, sited.overrides.get(rules.name));
  const read = tree === null ? null : readIssuer(io, tree);
  const inherited = rules.broken === null ? [] : [rules.broken];
  const findings = [...inherited, ...textErrors(sited, rules.name), ...(read?.findings ?? [])];
  return { id: source.id, tree, config: read?.issuer ?? null, findings };
}

interface Collected {
  readonly parts: Parts;
  readonly systems: Map<string, LinkedSystem>;
  readonly integrations: LinkedIntegration[];
}

function readSystemParts(sited: Sited, rules: EnvironmentRules, collected: Collected): void {
  const { source } = sited;
  const { parts, systems, integrations } = collected;
  const inherited = rules.broken === null ? [] : [rules.broken];
  const errors = textErrors(sited, rules.name);
  if (source.root === null) {
    systems.set(source.id, { id: source.id, tree: null, config: null, findings: [...inherited, ...errors] });
    return;
  }
  const merged = overlay(source.root, sited.overrides.get(rules.name));
  const uses = merged.entries.get("uses");
  const { tree, findings: inDescription, notes } = describeSystem(parts.io, withoutKey(merged, "uses"));
  const read = readSystem(parts.io, tree);
  const inUses = (finding: Finding): boolean => uses !== undefined && finding.path.startsWith(uses.keyAt.path);
  const own = errors.filter((finding) => !inUses(finding));
  const findings = [...inherited, ...own, ...inDescription, ...read.findings];
  if (uses !== undefined && uses.value.kind !== "list")
    findings.push(errorAt(uses.value.at, "expected a list", "write `- to: <system>` entries"));
  systems.set(source.id, { id: source.id, tree, config: read.system, findings, ...(notes === null ? {} : { notes }) });
  for (const item of uses?.value.kind === "list" ? uses.value.items : []) {
    const use = integrationOfUse(source.id, item);
    if ("finding" in use) {
      parts.findings.push(use.finding);
      continue;
    }
    const draft = readIntegration(use, parts.io.now());
    if (!isHere(draft.config?.to ?? textAt(use.tree, ["to"]), collected, rules.name)) continue;
    const text = errors.filter((finding) => finding.path.startsWith(item.at.path));
    integrations.push({ draft, findings: [...inherited, ...draft.findings, ...text], config: null });
  }
}

/** A `uses` entry holds where both systems are; a provider that exists nowhere is an error, so the entry stays to say so. */
function isHere(to: string | null, { parts }: Collected, environment: string): boolean {
  const provider = parts.systems.find(({ source }) => source.id === to);
  if (provider === undefined) return true;
  return provider.names === null
    ? environment === "production" || provider.source.root === null
    : provider.names.includes(environment);
}

function readIntegrationParts(sited: Sited, rules: EnvironmentRules, collected: Collected): void {
  const { source } = sited;
  if (source.root === null) return;
  const explicit = sited.names !== null;
  if (explicit && !sited.names.includes(rules.name)) return;
  const tree = overlay(source.root, sited.overrides.get(rules.name));
  const use: IntegrationSourceTree = { id: source.id, tree, explicit };
  const draft = readIntegration(use, collected.parts.io.now());
  const { config } = draft;
  // Said nothing: it holds where both systems are. Where neither end is known the first environment says so.
  const ends = [config?.from ?? textAt(tree, ["from"]), config?.to ?? textAt(tree, ["to"])];
  if (
    !explicit &&
    ends.some(
      (id) =>
        id !== null && collected.parts.systems.some((known) => known.source.id === id) && !collected.systems.has(id),
    )
  )
    return;
  const inherited = rules.broken === null ? [] : [rules.broken];
  collected.integrations.push({
    draft,
    findings: [...inherited, ...textErrors(sited, rules.name), ...draft.findings],
    config: null,
  });
}

interface Finishing {
  readonly rules: EnvironmentRules | undefined;
  readonly settings: EstateSettings;
  readonly policies: ReturnType<typeof readPolicies>;
  readonly findings: Finding[];
  readonly names: EstateNames;
}

function finish(
  environment: LinkedEnvironment,
  { rules, settings, policies, findings, names }: Finishing,
): EnvironmentConfig {
  const broken: BrokenConfig[] = [];
  const say = (object: string, finding: Finding, known: Pick<BrokenConfig, "public" | "grants"> = {}): void => {
    broken.push({ object, ...placeOf(finding), why: `${finding.message}. Fix: ${finding.fix}`, ...known });
  };
  const isHealthy = ({ findings: own, config }: LinkedSystem): boolean =>
    firstError(own) === undefined && config !== null;
  const healthy = new Map([...environment.systems].filter(([, system]) => isHealthy(system)));
  for (const system of environment.systems.values()) {
    findings.push(...system.findings, ...warnNoIdentity(system, environment));
    const error = firstError(system.findings);
    const known = system.config === null ? {} : { public: system.config.public };
    if (error !== undefined) say(`system/${system.id}`, error, known);
  }
  const integrations = environment.integrations.flatMap(({ draft, config, findings: own }) => {
    findings.push(...own);
    const error = firstError(own);
    if (error !== undefined || config === null) {
      if (error !== undefined) say(`integration/${draft.id}`, error, grantsOf(config));
      return [];
    }
    const sick = [config.from, config.to].find((id) => !healthy.has(id));
    if (sick === undefined) return [config];
    broken.push({
      object: `integration/${config.id}`,
      ...config.declaredAt,
      why: `the system \`${sick}\` is broken. Fix: correct systems/${sick}.yaml`,
      ...grantsOf(config),
    });
    return [];
  });
  for (const [name, bundle] of environment.trust) {
    const error = findings.find((finding) => finding.severity === "error" && finding.file === `trust/${name}.yaml`);
    if (bundle === null && error !== undefined) say(`trust/${name}`, error);
  }
  for (const [object, finding] of settings.broken) if (!object.startsWith("environment/")) say(object, finding);
  if (rules !== undefined && rules.broken !== null) say(`environment/${environment.name}`, rules.broken);
  return {
    name: environment.name,
    approval: rules?.approval ?? "operator",
    stalenessMs: rules?.stalenessMs ?? { public: 3_000, internal: 3_000, confidential: 3_000, restricted: 3_000 },
    ...(rules === undefined ? {} : saidOf(rules)),
    systems: [...healthy.values()]
      .flatMap(({ config }) => (config === null ? [] : [config]))
      .sort((a, b) => compareText(a.id, b.id)),
    integrations: integrations.sort((a, b) => compareText(a.id, b.id)),
    trust: [...environment.trust.values()]
      .filter((bundle) => bundle !== null)
      .sort((a, b) => compareText(a.name, b.name)),
    issuers: finishIssuers(environment, findings, say),
    policies: policies.of(environment.name),
    listeners: listenersOf(settings.listeners, { environment, names }, (object, finding) => {
      findings.push(finding);
      say(object, finding);
    }),
    broken: uniqueBroken(broken),
  };
}

function grantsOf(config: IntegrationConfig | null): Pick<BrokenConfig, "grants"> {
  if (config === null) return {};
  return { grants: { from: config.from, to: config.to, operations: config.operations.map(({ name }) => name) } };
}

function firstError(findings: readonly Finding[]): Finding | undefined {
  return findings.find((finding) => finding.severity === "error");
}

function uniqueBroken(broken: readonly BrokenConfig[]): BrokenConfig[] {
  const first = new Map<string, BrokenConfig>();
  for (const entry of broken) if (!first.has(entry.object)) first.set(entry.object, entry);
  return [...first.values()].sort((a, b) => compareText(a.object, b.object));
}
