// Promises the definitions of a JSON Schema under names that follow from what they say: equal definitions have equal ids, whichever schema they
// stand in, so that schemas which share definitions can share their compiled form too. Pure.
// Trusts SHA-256. Specified by JSON Schema 2020-12 §8.2 ("$ref", "$defs").
import { createHash } from "node:crypto";

type Members = Readonly<Record<string, unknown>>;

export interface SharedDefinition {
  /** `def:<sha-256>/<name>`. */
  readonly id: string;
  /** Its references name ids. */
  readonly schema: unknown;
}

export interface SharedSchema {
  /** The schema without `$defs`; its references name ids. */
  readonly root: object;
  /** What the root reaches: each after those it refers to, but for circles. */
  readonly definitions: readonly SharedDefinition[];
  /** `$defs` holds more than the root reaches. */
  readonly hasUnused: boolean;
}

/** Definitions of one schema that is taken apart. */
const definitionsMax = 2_000;
const named = /^#\/\$defs\/([A-Za-z0-9_.-]{1,160})$/;
/** Members that change what a reference means, or where it may lead. */
const bound: ReadonlySet<string> = new Set([
  ...["$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"],
  ...["$defs", "definitions", "$schema"],
]);
const data: ReadonlySet<string> = new Set(["const", "enum", "default", "examples"]);
const schemasByName: ReadonlySet<string> = new Set([
  "properties",
  "patternProperties",
  "dependentSchemas",
  "dependencies",
]);

/** Null: not a schema whose definitions stand for themselves, so it is used whole. */
export function shareDefinitions(schema: object): SharedSchema | null {
  const { $defs, $schema, ...rest } = schema as Members;
  if (!isMembers($defs) || Object.keys($defs).length > definitionsMax) return null;
  const names = new Set(Object.keys($defs));
  const uses = new Map<string, ReadonlySet<string>>();
  for (const [name, definition] of Object.entries($defs)) {
    const used = usesOf(definition, names);
    if (used === null) return null;
    uses.set(name, used);
  }
  const roots = usesOf(rest, names);
  if (roots === null) return null;
  const ids = new Map<string, string>();
  const definitions: SharedDefinition[] = [];
  for (const circle of circlesOf(roots, uses)) {
    const inside = new Set(circle);
    // Within a circle a reference is by name: what the circle says fixes what the name means.
    const text = JSON.stringify(
      circle.map((name) => [name, renamed($defs[name], (to) => (inside.has(to) ? `#${to}` : (ids.get(to) ?? "")))]),
    );
    const hash = createHash("sha256").update(text).digest("hex");
    for (const name of circle) ids.set(name, `def:${hash}/${name}`);
    for (const name of circle)
      definitions.push({
        id: ids.get(name) ?? "",
        schema: renamed($defs[name], (to) => ids.get(to) ?? ""),
      });
  }
  const root = renamed(rest, (to) => ids.get(to) ?? "") as Members;
  return {
    root: $schema === undefined ? root : { $schema, ...root },
    definitions,
    hasUnused: definitions.length < names.size,
  };
}

/** An id as the place it has in the schema it came from. */
export function placeInSchema(text: string): string {
  return text.replace(/^def:[0-9a-f]{64}\//, "#/$defs/");
}

/** Names a schema refers to; null where a reference, or something else in it, depends on where it stands. */
function usesOf(schema: unknown, names: ReadonlySet<string>): ReadonlySet<string> | null {
  const used = new Set<string>();
  return collect(schema, { names, used }) ? used : null;
}

function collect(schema: unknown, to: { readonly names: ReadonlySet<string>; readonly used: Set<string> }): boolean {
  if (Array.isArray(schema)) return schema.every((item) => collect(item, to));
  if (!isMembers(schema)) return true;
  return Object.entries(schema).every(([key, value]) => {
    if (bound.has(key)) return false;
    if (data.has(key)) return true;
    if (schemasByName.has(key) && isMembers(value)) return Object.values(value).every((item) => collect(item, to));
    if (key !== "$ref") return collect(value, to);
    const name = typeof value === "string" ? named.exec(value)?.[1] : undefined;
    if (name === undefined || !to.names.has(name)) return false;
    to.used.add(name);
    return true;
  });
}

function renamed(schema: unknown, idOf: (name: string) => string): unknown {
  if (Array.isArray(schema)) return schema.map((item) => renamed(item, idOf));
  if (!isMembers(schema)) return schema;
  const members = Object.entries(schema).map(([key, value]): [string, unknown] => {
    if (data.has(key)) return [key, value];
    if (schemasByName.has(key) && isMembers(value))
      return [key, Object.fromEntries(Object.entries(value).map(([name, item]) => [name, renamed(item, idOf)]))];
    if (key !== "$ref") return [key, renamed(value, idOf)];
    return [key, idOf(typeof value === "string" ? (named.exec(value)?.[1] ?? "") : "")];
  });
  return Object.fromEntries(members);
}

/** Tarjan's strongly connected components, each after those it reaches, names in order within one. Without recursion: names may form a long chain. */
function circlesOf(
  roots: ReadonlySet<string>,
  uses: ReadonlyMap<string, ReadonlySet<string>>,
): readonly (readonly string[])[] {
  const circles: string[][] = [];
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const open: string[] = [];
  const isOpen = new Set<string>();
  const lower = (name: string, to: number): void => void low.set(name, Math.min(low.get(name) ?? to, to));
  const path: { readonly name: string; readonly rest: Iterator<string> }[] = [];
  const enter = (name: string): void => {
    index.set(name, index.size);
    lower(name, index.size - 1);
    open.push(name);
    isOpen.add(name);
    path.push({ name, rest: (uses.get(name) ?? new Set<string>()).values() });
  };
  for (const root of roots) {
    if (!index.has(root)) enter(root);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = top.rest.next();
      if (next.done !== true) {
        if (!index.has(next.value)) enter(next.value);
        else if (isOpen.has(next.value)) lower(top.name, index.get(next.value) ?? 0);
        continue;
      }
      path.pop();
      const above = path.at(-1);
      if (above !== undefined) lower(above.name, low.get(top.name) ?? 0);
      if (low.get(top.name) !== index.get(top.name)) continue;
      const circle = open.splice(open.indexOf(top.name));
      for (const name of circle) isOpen.delete(name);
      circles.push(circle.sort());
    }
  }
  return circles;
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
