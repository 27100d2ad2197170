// Promises any object of an estate as one environment sees it, by the name people use for it, or the nearest name. Trusts the loader for the
// values that rules derive and the files for everything written. Specified in docs/cli/show.md.
import type { EnvironmentConfig, Estate, IntegrationConfig, SystemConfig } from "../registry/config/estate.ts";
import type { EstateIo } from "../registry/config/estate-io.ts";
import { environmentSchema, listenerSchema, teamSchema, trustSchema } from "../registry/config/estate-schema.ts";
import { integrationSchema } from "../registry/config/integration-schema.ts";
import { issuerSchema } from "../registry/config/issuer-schema.ts";
import { loadEstateFrom } from "../registry/config/load.ts";
import { suggest } from "../registry/config/nearest.ts";
import { overlay, readEnvironments } from "../registry/config/overlay.ts";
import { integrationOfUse } from "../registry/config/read-integration.ts";
import { readYamlFile } from "../registry/config/source-files.ts";
import { systemSchema } from "../registry/config/system-schema.ts";
import { witnessesSchema } from "../registry/config/witnesses-schema.ts";
import { type MapTree, treeAt, withoutKey } from "../registry/config/yaml-tree.ts";
import { describeSystem } from "../registry/openapi/describe-system.ts";
import { QuestionFault } from "./explanation.ts";
import { type Derived, type Shown, shownObject } from "./shown.ts";

export type ShownKind =
  | "system"
  | "integration"
  | "operation"
  | "team"
  | "trust"
  | "issuer"
  | "listener"
  | "environment"
  | "witnesses";

export interface ShownAnswer {
  readonly kind: ShownKind;
  readonly id: string;
  readonly environment: string;
  readonly shown: Shown;
  /** Why it is not served, with file, line and fix. */
  readonly broken: string | null;
}

interface Files {
  readonly io: EstateIo;
  readonly estate: Estate;
  readonly environment: EnvironmentConfig;
}

const kinds: readonly ShownKind[] = ["system", "integration", "team", "trust", "issuer", "listener", "environment"];

/** `billing`, `orders-to-billing`, `billing:invoice.read`, `team:shop`, `trust:acme`, `issuer:keycloak`, `listener:public`, `environment:staging`, `witnesses`. */
export function showObject(io: EstateIo, name: string, environmentName: string): ShownAnswer {
  const { estate } = loadEstateFrom(io);
  const environment = estate.environments.find((one) => one.name === environmentName);
  if (environment === undefined)
    throw new QuestionFault(
      `there is no environment ${environmentName}`,
      suggest(
        environmentName,
        estate.environments.map((one) => one.name),
      ),
    );
  const files: Files = { io, estate, environment };
  const found = find(files, name);
  const object = found.kind === "operation" ? `system/${found.id.split(":")[0]}` : `${found.kind}/${found.id}`;
  const broken = environment.broken.find((one) => one.object === object);
  const why = broken === undefined ? null : `${broken.file}:${broken.line}: ${broken.why}`;
  return { ...found, environment: environmentName, broken: why };
}

type Found = Pick<ShownAnswer, "kind" | "id" | "shown">;

function find(files: Files, name: string): Found {
  const [head = "", ...rest] = name.split(":");
  const id = rest.join(":");
  const kind = kinds.find((one) => one === head);
  if (kind !== undefined && id !== "") return ofKind(files, kind, id) ?? nobody(files, name);
  if (id !== "") return operation(files, head, id) ?? nobody(files, name);
  return (
    ofKind(files, "system", name) ??
    ofKind(files, "integration", name) ??
    (name === "witnesses" ? witnesses(files) : nobody(files, name))
  );
}

function nobody({ estate, environment }: Files, name: string): never {
  const { systems, integrations, listeners, trust, issuers } = environment;
  const all = [
    ...systems.flatMap(({ id, operations }) => [id, ...operations.map((one) => `${id}:${one.name}`)]),
    ...integrations.map(({ id }) => id),
    ...estate.teams.map(({ id }) => `team:${id}`),
    ...listeners.map((one) => `listener:${one.name}`),
    ...trust.map((one) => `trust:${one.name}`),
    ...issuers.map(({ id }) => `issuer:${id}`),
  ];
  throw new QuestionFault(`there is no ${name} in ${environment.name}`, suggest(name, all));
}

function ofKind(files: Files, kind: ShownKind, id: string): Found | null {
  switch (kind) {
    case "system":
      return system(files, id);
    case "integration":
      return integration(files, id);
    case "trust":
      return sited(files, { kind, file: `trust/${id}.yaml`, id, schema: trustSchema });
    case "issuer":
      return sited(files, { kind, file: `issuers/${id}.yaml`, id, schema: issuerSchema });
    default:
      return fromSettings(files, kind, id);
  }
}

function system(files: Files, id: string): Found | null {
  const tree = siteTree(files, `systems/${id}.yaml`);
  if (tree === null) return null;
  const config = files.environment.systems.find((one) => one.id === id);
  const { tree: whole } = describeSystem(files.io, withoutKey(tree, "uses"), true);
  return { kind: "system", id, shown: shownObject(systemSchema, whole, systemRules(config)) };
}

function operation(files: Files, systemId: string, name: string): Found | null {
  const found = system(files, systemId);
  const operations = found?.shown.kind === "map" ? found.shown.entries.get("operations") : undefined;
  const shown = operations?.kind === "map" ? operations.entries.get(name) : undefined;
  return shown === undefined ? null : { kind: "operation", id: `${systemId}:${name}`, shown };
}

function integration(files: Files, id: string): Found | null {
  const config = files.environment.integrations.find((one) => one.id === id);
  const tree = siteTree(files, `integrations/${id}.yaml`) ?? useTree(files, id);
  if (tree === null) return null;
  return {
    kind: "integration",
    id,
    shown: shownObject(integrationSchema, tree, integrationRules(config, files.environment)),
  };
}

function sited(
  files: Files,
  {
    kind,
    file,
    id,
    schema,
  }: {
    readonly kind: "trust" | "issuer";
    readonly file: string;
    readonly id: string;
    readonly schema: Parameters<typeof shownObject>[0];
  },
): Found | null {
  const tree = siteTree(files, file);
  return tree === null ? null : { kind, id, shown: shownObject(schema, tree, new Map()) };
}

/** The file as this environment sees it: its overrides laid over it. */
function siteTree({ io, estate, environment }: Files, file: string): MapTree | null {
  const root = readYamlFile(io, file)?.root ?? null;
  if (root === null) return null;
  const { overrides } = readEnvironments(root, new Set(estate.environments.map((one) => one.name)));
  return withoutKey(overlay(root, overrides.get(environment.name)), "waivers");
}

/** A `uses` entry of the calling system: its integration's id says which. */
function useTree(files: Files, id: string): MapTree | null {
  for (const { id: from } of files.environment.systems) {
    if (!id.startsWith(`${from}-to-`)) continue;
    const uses = siteTree(files, `systems/${from}.yaml`)?.entries.get("uses")?.value;
    for (const item of uses?.kind === "list" ? uses.items : []) {
      const use = integrationOfUse(from, item);
      if ("tree" in use && use.id === id) return use.tree;
    }
  }
  return null;
}

/** Of the installation: the same in every environment. */
function witnesses({ io }: Files): Found {
  const root = readYamlFile(io, "sallyport.yaml")?.root ?? null;
  const written = root === null ? undefined : treeAt(root, ["witnesses"]);
  const tree = written?.kind === "map" ? written : nothing;
  return { kind: "witnesses", id: "quorum", shown: shownObject(witnessesSchema, tree, new Map()) };
}

const sections = { team: "teams", listener: "listeners", environment: "environments" } as const;
const schemas = { team: teamSchema, listener: listenerSchema, environment: environmentSchema } as const;

function fromSettings(files: Files, kind: ShownKind, id: string): Found | null {
  if (kind !== "team" && kind !== "listener" && kind !== "environment") return null;
  const own = kind === "team" ? readYamlFile(files.io, `teams/${id}.yaml`)?.root : undefined;
  const root = readYamlFile(files.io, "sallyport.yaml")?.root ?? null;
  const written = own ?? (root === null ? undefined : treeAt(root, [sections[kind], id]));
  const known =
    kind === "environment"
      ? files.estate.environments.some(({ name }) => name === id)
      : kind === "team" && id === "default";
  if (written === undefined && !known) return null;
  const tree: MapTree = written?.kind === "map" ? withoutKey(written, "waivers") : nothing;
  return { kind, id, shown: shownObject(schemas[kind], tree, new Map()) };
}

const nothing: MapTree = { kind: "map", at: { file: "", line: 1, column: 1, path: "$" }, entries: new Map() };

const key = (...path: readonly (string | number)[]): string => JSON.stringify(path);
const duration = (ms: number): string => (ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`);

/** What the loader makes of a system that no key says. */
function systemRules(config: SystemConfig | undefined): Derived {
  if (config === undefined) return new Map();
  const rules: [string, { value: unknown; says: string }][] = [
    [key("public", "path"), { value: config.public.path, says: "from the id" }],
    [key("public", "strip"), { value: config.public.strip, says: "default" }],
  ];
  for (const { name, classification, body, bodyBytesMax, method } of config.operations) {
    const at = (...path: string[]) => key("operations", name, ...path);
    rules.push([at("classification"), { value: classification, says: "from its data classes" }]);
    const value = body === undefined ? "none" : { contentType: body.contentType, size: `${bodyBytesMax}B` };
    rules.push([at("body"), { value, says: `what ${method} takes by default` }]);
    rules.push([at("scope"), { value: `${config.id}:${name}`, says: "from system and operation" }]);
  }
  return new Map(rules);
}

/** What the loader makes of an integration that no key says. */
function integrationRules(config: IntegrationConfig | undefined, environment: EnvironmentConfig): Derived {
  if (config === undefined) return new Map();
  const provider = environment.systems.find(({ id }) => id === config.to);
  const rules: [string, { value: unknown; says: string }][] = [
    [key("owner"), { value: config.owner, says: `owner of ${config.from}` }],
    [key("audience"), { value: `<issuer>/systems/${config.to}`, says: "from `to`" }],
  ];
  for (const [n, { burst }] of config.limits.entries())
    rules.push([key("limits", config.ratesAt?.[n] ?? n, "burst"), { value: burst, says: "the rate" }]);
  for (const granted of config.operations) {
    const offered = provider?.operations.find(({ name }) => name === granted.name);
    if (offered === undefined) continue;
    const says = `from systems/${config.to}.yaml`;
    rules.push([key("operations", granted.name, "timeout"), { value: duration(offered.timeoutMs), says }]);
    if (offered.body !== undefined)
      rules.push([key("operations", granted.name, "body"), { value: `${offered.bodyBytesMax}B`, says }]);
  }
  return new Map(rules);
}
