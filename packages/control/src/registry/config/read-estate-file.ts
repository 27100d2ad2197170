// Promises sallyport.yaml and teams/ as estate-wide settings; a broken part never opens anything.
// An error in one named entry breaks that entry; any other error breaks every environment, because approval rules may be what is lost.
// Trusts the types (estate-schema.ts). Specified in docs/configuration.md "sallyport.yaml".
import { readJwks } from "./attachments.ts";
import { environmentsMax } from "./bounds.ts";
import type { EnvironmentConfig, OperatorConfig, TeamConfig, WitnessesConfig } from "./estate.ts";
import { type EstateIo, namesIn } from "./estate-io.ts";
import {
  type EstateScalars,
  environmentSchema,
  estateScalarsSchema,
  operatorSchema,
  teamFileSchema,
  teamSchema,
} from "./estate-schema.ts";
import { compareText, errorAt, type Finding, fileSpot } from "./finding.ts";
import { peopleOf } from "./people-schema.ts";
import { closedListener, type DeclaredListener, readListener } from "./read-listener.ts";
import { readMode } from "./read-mode.ts";
import { refusePeople } from "./read-people.ts";
import { readWitnesses } from "./read-witnesses.ts";
import { shape } from "./shape.ts";
import { readFolder, readYamlFile } from "./source-files.ts";
import { tokensOf } from "./tokens-schema.ts";
import { refuseId } from "./words.ts";
import { type MapEntry, type MapTree, spotOf, withoutKey } from "./yaml-tree.ts";

export interface EnvironmentRules
  extends Pick<EnvironmentConfig, "name" | "approval" | "stalenessMs" | "mode" | "people" | "tokens"> {
  /** Why nothing may be served in it, or null. */
  readonly broken: Finding | null;
}

export interface EstateSettings {
  readonly name: string;
  readonly tenant: string;
  readonly environments: readonly EnvironmentRules[];
  readonly teams: readonly TeamConfig[];
  readonly operators: readonly OperatorConfig[];
  readonly listeners: readonly DeclaredListener[];
  readonly witnesses: WitnessesConfig | null;
  /** Object -> the error that breaks it: `listener/…`, `operator/…`, `team/…`, `witness/…`, `witnessed-log/…`. */
  readonly broken: ReadonlyMap<string, Finding>;
  readonly findings: readonly Finding[];
  /** sallyport.yaml as it is written; null where there is none. */
  readonly root: MapTree | null;
}

const file = "sallyport.yaml";
const sections = ["environments", "teams", "listeners", "operators"];

/** Defaults where the file is absent: tenant `main`, environment `production`, estate `default`, team `default`. */
export function readEstateSettings(io: EstateIo): EstateSettings {
  const source = readYamlFile(io, file);
  const findings: Finding[] = [...(source?.findings ?? []), ...misplaced(io)];
  const root: MapTree = withoutKey(source?.root ?? emptyRoot(), "waivers");
  const whole = wholeErrors(root, findings);
  const scalars = readScalars(root);
  findings.push(...scalars.findings);
  const broken = new Map<string, Finding>();
  for (const finding of findings) {
    const object = entryOf(finding.path);
    if (finding.severity === "error" && object !== null && !broken.has(object)) broken.set(object, finding);
  }
  const reader: Reader = { io, root, findings, broken };
  const everything =
    source !== null && source.root === null ? (source.findings[0] ?? null) : (whole ?? scalars.findings[0] ?? null);
  const environments = readEnvironmentRules(reader, everything);
  const listeners = readListenersHere(reader, new Set(environments.map((environment) => environment.name)));
  const { estate, tenant } = scalars.value;
  return {
    name: estate,
    tenant,
    environments,
    teams: readTeams(reader),
    operators: readOperators(reader),
    listeners,
    witnesses: readWitnessesHere(reader),
    broken,
    findings,
    root: source?.root ?? null,
  };
}

interface Reader {
  readonly io: EstateIo;
  readonly root: MapTree;
  readonly findings: Finding[];
  readonly broken: Map<string, Finding>;
}

function emptyRoot(): MapTree {
  return { kind: "map", at: fileSpot(file), entries: new Map() };
}

function misplaced(io: EstateIo): Finding[] {
  return namesIn(io, "")
    .filter((name) => /^sallyport\.(yml|YAML|YML|json)$/i.test(name) && name !== file)
    .map((name) => errorAt(fileSpot(name), "the file is not read", "rename it to sallyport.yaml"));
}

/** Errors of the text (traps, secrets) that stand outside of every named entry. */
function wholeErrors(root: MapTree, findings: readonly Finding[]): Finding | null {
  for (const section of sections) {
    const entry = root.entries.get(section);
    if (entry !== undefined && entry.value.kind === "scalar")
      return errorAt(entry.value.at, "expected a map", `write the ${section} below it, indented`);
  }
  return findings.find((finding) => finding.severity === "error" && entryOf(finding.path) === null) ?? null;
}

function readScalars(root: MapTree): { value: EstateScalars; findings: readonly Finding[] } {
  const scalars = [...root.entries].filter(([key]) => !sections.includes(key) && key !== "witnesses");
  const tree: MapTree = { ...root, entries: new Map(scalars) };
  const shaped = shape(estateScalarsSchema, tree);
  return shaped.value === null ? { value: { estate: "default", tenant: "main" }, findings: shaped.findings } : shaped;
}

/** `$.listeners.public.url` -> `listener/public`, `$.witnesses.outside.notary.url` -> `witness/notary`. */
function entryOf(path: string): string | null {
  const witnesses = /^\$\.witnesses(?:\.(outside|logs)(?:\.([A-Za-z_]\w*)|\['([^']+)'\]))?/.exec(path);
  if (witnesses !== null) {
    const [, kind, plain, quoted] = witnesses;
    return kind === undefined
      ? "witnesses/quorum"
      : `${kind === "outside" ? "witness" : "witnessed-log"}/${plain ?? quoted ?? kind}`;
  }
  const [, section, plain, quoted] =
    /^\$\.(environments|teams|listeners|operators)(?:\.([A-Za-z_]\w*)|\['([^']+)'\])/.exec(path) ?? [];
  const name = plain ?? quoted;
  return section === undefined || name === undefined ? null : `${section.slice(0, -1)}/${name}`;
}

function entriesOf(reader: Reader, section: string): [string, MapEntry][] {
  const value = reader.root.entries.get(section)?.value;
  if (value?.kind !== "map") {
    if (value?.kind === "list" && section !== "environments")
      reader.findings.push(errorAt(value.at, "expected a map", "write `<name>:` and its keys below, indented"));
    return [];
  }
  return [...value.entries].filter(([name, entry]) => {
    const refused = refuseId(name);
    if (refused !== null)
      breakEntry(reader, `${section.slice(0, -1)}/${name}`, [errorAt(entry.keyAt, refused.refused, refused.fix)]);
    return refused === null;
  });
}

function breakEntry(reader: Reader, object: string, findings: readonly Finding[]): void {
  reader.findings.push(...findings);
  const first = findings.find((finding) => finding.severity === "error");
  if (first !== undefined && !reader.broken.has(object)) reader.broken.set(object, first);
}

function readEnvironmentRules(reader: Reader, everything: Finding | null): EnvironmentRules[] {
  const value = reader.root.entries.get("environments")?.value;
  const names =
    value === undefined
      ? ["production"]
      : value.kind === "list"
        ? listedNames(reader)
        : entriesOf(reader, "environments").map(([name]) => name);
  if (value !== undefined && names.length === 0 && everything === null) {
    const finding = errorAt(value.at, "no environment is declared", "write `environments: [production]`");
    reader.findings.push(finding);
    return [rulesOf("production", { findings: [finding] })];
  }
  if (everything !== null && !reader.findings.includes(everything)) reader.findings.push(everything);
  return [...new Set(names)]
    .slice(0, environmentsMax)
    .sort(compareText)
    .map((name) => {
      const own = value?.kind === "map" ? value.entries.get(name) : undefined;
      const isBare = own === undefined || (own.value.kind === "scalar" && own.value.value === null);
      const tree = isBare ? { ...emptyRoot(), at: own?.keyAt ?? fileSpot(file) } : own.value;
      const shaped = shape(environmentSchema, tree);
      const mode = shaped.value === null || tree.kind !== "map" ? null : readMode(tree, shaped.value, reader.io.now());
      const refused = tree.kind === "map" ? refusePeople(tree, shaped.value?.people) : [];
      breakEntry(reader, `environment/${name}`, [...shaped.findings, ...(mode?.findings ?? []), ...refused]);
      const text = reader.broken.get(`environment/${name}`);
      const findings = [
        ...(everything === null ? [] : [everything]),
        ...shaped.findings,
        ...(mode?.findings ?? []),
        ...refused,
        ...(text === undefined ? [] : [text]),
      ];
      if (shaped.value === null) return rulesOf(name, { findings });
      const { approval, staleness, people, tokens } = shaped.value;
      const rules = { approval, staleness, mode: mode?.mode, ...peopleOf(people), ...tokensOf(tokens) };
      return rulesOf(name, { findings, rules });
    });
}

function rulesOf(
  name: string,
  read: {
    readonly findings: readonly Finding[];
    readonly rules?: {
      readonly approval: "none" | "operator";
      readonly staleness: EnvironmentConfig["stalenessMs"];
      readonly mode?: EnvironmentConfig["mode"] | undefined;
      readonly people?: EnvironmentConfig["people"];
      readonly tokens?: EnvironmentConfig["tokens"];
    };
  },
): EnvironmentRules {
  const strictest = { public: 3_000, internal: 3_000, confidential: 3_000, restricted: 3_000 };
  const broken = read.findings.find((finding) => finding.severity === "error") ?? null;
  const mode = read.rules?.mode;
  // An environment whose rules could not be read has no pages: what limits them may be what is lost.
  const { people, tokens } = read.rules ?? {};
  return {
    name,
    approval: read.rules?.approval ?? "operator",
    stalenessMs: read.rules?.staleness ?? strictest,
    ...(mode === undefined ? {} : { mode }),
    ...(people === undefined || broken !== null ? {} : { people }),
    ...(tokens === undefined ? {} : { tokens }),
    broken,
  };
}

/** Of the rules of an environment those that say something beyond the default. */
export function saidOf({
  mode,
  people,
  tokens,
}: EnvironmentRules): Pick<EnvironmentConfig, "mode" | "people" | "tokens"> {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(people === undefined ? {} : { people }),
    ...(tokens === undefined ? {} : { tokens }),
  };
}

function listedNames(reader: Reader): string[] {
  const value = reader.root.entries.get("environments")?.value;
  if (value?.kind !== "list") return [];
  return value.items.flatMap((item) => {
    const name = item.kind === "scalar" && typeof item.value === "string" ? item.value : "";
    const refused = refuseId(name);
    if (refused === null) return [name];
    reader.findings.push(errorAt(item.at, refused.refused, refused.fix));
    return [];
  });
}

function readTeams(reader: Reader): TeamConfig[] {
  const teams = new Map<string, TeamConfig>([["default", { id: "default" }]]);
  const places = new Map<string, Finding>();
  const add = (
    id: string,
    at: MapTree["at"],
    tree: MapTree | null,
    schema: typeof teamSchema | typeof teamFileSchema,
  ): void => {
    const duplicate = errorAt(at, `the team \`${id}\` is declared twice`, "keep either teams/ or sallyport.yaml");
    const other = places.get(id);
    if (other !== undefined) reader.findings.push(duplicate, other);
    places.set(id, duplicate);
    const shaped = tree === null ? null : shape(schema, tree);
    breakEntry(reader, `team/${id}`, shaped?.findings ?? []);
    const name = shaped?.value?.name;
    const contact = shaped?.value?.contact;
    teams.set(id, { id, ...(name === undefined ? {} : { name }), ...(contact === undefined ? {} : { contact }) });
  };
  for (const [id, entry] of entriesOf(reader, "teams"))
    add(id, entry.keyAt, entry.value.kind === "map" ? entry.value : null, teamSchema);
  const folder = readFolder(reader.io, "teams", "team");
  reader.findings.push(...folder.findings);
  for (const source of folder.sources) {
    breakEntry(reader, `team/${source.id}`, source.findings);
    if (source.root !== null) add(source.id, source.root.at, source.root, teamFileSchema);
  }
  return [...teams.values()].sort((a, b) => compareText(a.id, b.id));
}

function readOperators(reader: Reader): OperatorConfig[] {
  return entriesOf(reader, "operators").flatMap(([id, entry]) => {
    const object = `operator/${id}`;
    const shaped = shape(operatorSchema, entry.value);
    breakEntry(reader, object, shaped.findings);
    if (shaped.value === null) return [];
    const { name, keys, roles } = shaped.value;
    const read = keys.map((named, index) => readJwks(reader.io, spotOf(entry.value, ["keys", index]), named));
    breakEntry(
      reader,
      object,
      read.flatMap((jwks) => jwks.findings),
    );
    if (reader.broken.has(object)) return [];
    return [{ id, ...(name === undefined ? {} : { name }), keys: read.flatMap((jwks) => jwks.value), roles }];
  });
}

/** An error takes its own entry along, never an environment: what is served does not hang on who witnesses it. */
function readWitnessesHere(reader: Reader): WitnessesConfig | null {
  const { witnesses, findings } = readWitnesses(reader.root.entries.get("witnesses")?.value);
  for (const { object, finding } of findings) breakEntry(reader, object, [finding]);
  if (witnesses === null) return null;
  const isWhole = (kind: string) => (one: { readonly id: string }) => !reader.broken.has(`${kind}/${one.id}`);
  return {
    quorum: reader.broken.has("witnesses/quorum") ? "all" : witnesses.quorum,
    outside: witnesses.outside.filter(isWhole("witness")),
    logs: witnesses.logs.filter(isWhole("witnessed-log")),
  };
}

function readListenersHere(reader: Reader, declared: ReadonlySet<string>): EstateSettings["listeners"] {
  return entriesOf(reader, "listeners").flatMap(([name, entry]) => {
    const { listener, findings } = readListener(name, entry.value, declared);
    breakEntry(reader, `listener/${name}`, findings);
    const kept = reader.broken.has(`listener/${name}`) ? closedListener(name, entry.value) : listener;
    return kept === null ? [] : [kept];
  });
}
