// Promises what is in force now: environments from the rows whose state says so, and the decided state of every integration.
// Trusts the registry's rows. Specified in docs/registry.md.
import { hash } from "node:crypto";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../commands.ts";
import type { ApplyOutcome } from "./apply-commands.ts";
import type { EnvironmentConfig, Estate, WitnessesConfig } from "./config/estate.ts";
import type { ObjectState } from "./decide-state.ts";
import { emptyEnvironment, environmentsOfRows, rowsOfEstate, witnessesOfRows } from "./estate-rows.ts";
import { type SchemaChange, schemaChanges } from "./schema-words.ts";
import type { RegisteredObject } from "./state-commands.ts";
import { type TrustChange, trustChanges } from "./trust-words.ts";
import { witnessChanges } from "./witness-words.ts";

export interface EnvironmentInForce {
  readonly config: EnvironmentConfig;
  /** Decided states by integration id. */
  readonly states: ReadonlyMap<string, ObjectState>;
}

type Run = Pick<Store<ControlCommands>, "run">;

/** Everything in force, by environment. */
export async function readEnvironments(store: Run, tenant: string): Promise<ReadonlyMap<string, EnvironmentInForce>> {
  const objects = await store.run("listObjects", { tenant, environment: null, kind: null });
  // Integrations are compiled in every state, so that a denial says which one; of everything else only what is active counts.
  const rows = objects.filter((object) => object.kind === "integration" || object.state === "active").flatMap(rowOf);
  const states = (environment: string): ReadonlyMap<string, ObjectState> =>
    new Map(
      objects
        .filter((object) => object.kind === "integration" && object.environment === environment)
        .map(({ id, state }) => [id, state]),
    );
  return new Map(environmentsOfRows(rows).map((config) => [config.name, { config, states: states(config.name) }]));
}

/** Who witnesses, by every estate that was applied. */
export async function readWitnesses(store: Run, tenant: string): Promise<WitnessesConfig> {
  const objects = await store.run("listObjects", { tenant, environment: null, kind: "witnesses" });
  return witnessesOfRows(objects.filter(({ state }) => state === "active").flatMap(rowOf));
}

/** What is in force in an environment that lost its last object. */
export function withdrawn(name: string): EnvironmentInForce {
  return { config: emptyEnvironment(name), states: new Map() };
}

/** Writes the difference between what this estate managed and what it says now. */
export function applyEstate(store: Run, estate: Estate, actor: string): Promise<ApplyOutcome> {
  return store.run("applyObjects", {
    tenant: estate.tenant,
    actor,
    managedBy: estate.managedBy,
    approvals: Object.fromEntries(estate.environments.map(({ name, approval }) => [name, approval])),
    objects: rowsOfEstate(estate).map((row) => ({ ...row, hash: hash("sha256", row.json, "hex") })),
  });
}

/** What `applyEstate` would write, without writing: names as `environment/kind/id`, who would be believed or not any more, and what schemas would ask for. */
export async function planEstate(
  store: Run,
  estate: Estate,
): Promise<{
  readonly created: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly trust: readonly TrustChange[];
  readonly schemas: readonly SchemaChange[];
}> {
  const objects = await store.run("listObjects", { tenant: estate.tenant, environment: null, kind: null });
  const ours = objects.filter((object) => object.managedBy === estate.managedBy);
  const held = new Map(ours.map((object) => [nameOf(object), object.hash]));
  const wanted = new Map(rowsOfEstate(estate).map((row) => [nameOf(row), hash("sha256", row.json, "hex")]));
  const before = environmentsOfRows(ours.flatMap(rowOf));
  return {
    created: [...wanted.keys()].filter((name) => !held.has(name)),
    changed: [...wanted].filter(([name, digest]) => held.has(name) && held.get(name) !== digest).map(([name]) => name),
    removed: [...held.keys()].filter((name) => !wanted.has(name)),
    schemas: schemaChanges(before, estate.environments),
    trust: [
      ...trustChanges(before, estate.environments),
      ...witnessChanges(witnessesOfRows(ours.flatMap(rowOf)), estate.witnesses),
    ],
  };
}

function nameOf({
  environment,
  kind,
  id,
}: {
  readonly environment: string;
  readonly kind: string;
  readonly id: string;
}): string {
  return `${environment}/${kind}/${id}`;
}

function rowOf({ environment, kind, id, json }: RegisteredObject): ReturnType<typeof rowsOfEstate>[number][] {
  switch (kind) {
    case "environment":
    case "system":
    case "integration":
    case "trust":
    case "issuer":
    case "policy":
    case "witnesses":
      return [{ environment, kind, id, json }];
    default:
      return [];
  }
}
