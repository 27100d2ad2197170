// Promises what an apply would change, and above all who gains or loses which operation. Pure. Used by `plan`.
// Trusts both estates to be loaded the same way; places in files are not a change.
import type { EnvironmentConfig, Estate } from "./estate.ts";
import { compareText } from "./finding.ts";

export interface ObjectChange {
  /** Null for what belongs to the whole estate: teams, operators. */
  readonly environment: string | null;
  /** `system/billing`, `integration/orders-to-billing`, `trust/…`, `issuer/…`, `policy-file/…`, `listener/…`, `team/…`, `operator/…`, `rules`. */
  readonly object: string;
  readonly change: "created" | "changed" | "removed";
  /** Top-level members that differ, in ascending order; empty when created or removed. */
  readonly members: readonly string[];
}

export interface AccessChange {
  readonly environment: string;
  /** Consuming system. */
  readonly caller: string;
  /** `billing:invoice.create` */
  readonly operation: string;
  readonly change: "gains" | "loses";
  /** Integration that grants it, or granted it. */
  readonly integration: string;
}

export interface EstateDiff {
  readonly objects: readonly ObjectChange[];
  readonly access: readonly AccessChange[];
}

/** What differs between the applied estate (null: nothing applied yet) and the wanted one. Of an estate with itself: nothing. */
export function diffEstates(applied: Estate | null, wanted: Estate): EstateDiff {
  const objects = changesBetween(null, estateObjects(applied), estateObjects(wanted));
  const access: AccessChange[] = [];
  const names = new Set([...(applied?.environments ?? []), ...wanted.environments].map(({ name }) => name));
  for (const name of [...names].sort(compareText)) {
    const before = applied?.environments.find((environment) => environment.name === name);
    const after = wanted.environments.find((environment) => environment.name === name);
    objects.push(...changesBetween(name, environmentObjects(before), environmentObjects(after)));
    access.push(...accessBetween(name, accessOf(before), accessOf(after)));
  }
  return { objects, access };
}

type Objects = ReadonlyMap<string, object>;

function estateObjects(estate: Estate | null): Objects {
  return new Map<string, object>([
    ...(estate?.teams ?? []).map((team): [string, object] => [`team/${team.id}`, team]),
    ...(estate?.operators ?? []).map((operator): [string, object] => [`operator/${operator.id}`, operator]),
  ]);
}

function environmentObjects(environment: EnvironmentConfig | undefined): Objects {
  if (environment === undefined) return new Map();
  const { approval, stalenessMs, mode, people, tokens } = environment;
  return new Map<string, object>([
    [
      "rules",
      {
        ...{ approval, stalenessMs },
        ...(mode === undefined ? {} : { mode }),
        ...(people === undefined ? {} : { people }),
        ...(tokens === undefined ? {} : { tokens }),
      },
    ],
    ...environment.systems.map((system): [string, object] => [`system/${system.id}`, system]),
    ...environment.integrations.map((integration): [string, object] => [`integration/${integration.id}`, integration]),
    ...environment.trust.map((trust): [string, object] => [`trust/${trust.name}`, trust]),
    ...environment.issuers.map((issuer): [string, object] => [`issuer/${issuer.id}`, issuer]),
    ...environment.policies.map((policy): [string, object] => [`policy-file/${policy.file}`, policy]),
    ...environment.listeners.map((listener): [string, object] => [`listener/${listener.name}`, listener]),
  ]);
}

function changesBetween(environment: string | null, before: Objects, after: Objects): ObjectChange[] {
  const changes: ObjectChange[] = [];
  for (const object of [...new Set([...before.keys(), ...after.keys()])].sort(compareText)) {
    const old = before.get(object);
    const now = after.get(object);
    if (old === undefined) changes.push({ environment, object, change: "created", members: [] });
    else if (now === undefined) changes.push({ environment, object, change: "removed", members: [] });
    else {
      const members = differingMembers(old, now);
      if (members.length > 0) changes.push({ environment, object, change: "changed", members });
    }
  }
  return changes;
}

function differingMembers(before: object, after: object): string[] {
  const old = new Map<string, unknown>(Object.entries(before));
  const now = new Map<string, unknown>(Object.entries(after));
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((member) => member !== "declaredAt" && spelled(meant(member, old)) !== spelled(meant(member, now)))
    .sort(compareText);
}

/** Members whose values say where they are declared, besides the object itself: a line that moves is no change. */
const placed: ReadonlySet<string> = new Set(["operations", "revocation"]);

/** A member without the places in it. By name of the member, because users name attributes as they like. */
function meant(member: string, of: ReadonlyMap<string, unknown>): unknown {
  const value = of.get(member);
  if (!placed.has(member)) return value;
  return Array.isArray(value) ? value.map(withoutPlace) : withoutPlace(value);
}

function withoutPlace(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== "declaredAt"));
}

/** One spelling per value, whatever the order of its members. */
function spelled(value: unknown): string {
  return (
    JSON.stringify(value, (_key, member: unknown) =>
      typeof member === "object" && member !== null && !Array.isArray(member)
        ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => compareText(a, b)))
        : member,
    ) ?? "absent"
  );
}

function accessOf(
  environment: EnvironmentConfig | undefined,
): ReadonlyMap<string, Omit<AccessChange, "environment" | "change">> {
  const access = new Map<string, Omit<AccessChange, "environment" | "change">>();
  for (const { id, from, to, operations } of environment?.integrations ?? []) {
    for (const { name } of operations)
      access.set(`${from} ${to}:${name}`, { caller: from, operation: `${to}:${name}`, integration: id });
  }
  return access;
}

function accessBetween(
  environment: string,
  before: ReturnType<typeof accessOf>,
  after: ReturnType<typeof accessOf>,
): AccessChange[] {
  const changes: AccessChange[] = [];
  for (const key of [...new Set([...before.keys(), ...after.keys()])].sort(compareText)) {
    const old = before.get(key);
    const now = after.get(key);
    if (old === undefined && now !== undefined) changes.push({ environment, ...now, change: "gains" });
    if (old !== undefined && now === undefined) changes.push({ environment, ...old, change: "loses" });
  }
  return changes;
}
