// Promises a configured object as a tree in which every value knows where it came from: a file and line, an override, a default of its type,
// or a rule that derives it. It walks the JSON Schema of the zod types, so that a new key shows by itself. Pure.
// Trusts the types (registry/config). Specified in docs/cli/show.md.
import { z } from "zod";
import { placeOf } from "../registry/config/finding.ts";
import { type MapTree, pathOfEnvironment, type Tree } from "../registry/config/yaml-tree.ts";

export type Scalar = string | number | boolean | null;

export type Origin =
  | { readonly kind: "file"; readonly place: string; readonly environment: string | null }
  | { readonly kind: "default" }
  | { readonly kind: "derived"; readonly says: string };

export type Shown =
  | { readonly kind: "value"; readonly value: Scalar; readonly origin: Origin }
  | { readonly kind: "map"; readonly entries: ReadonlyMap<string, Shown> }
  | { readonly kind: "list"; readonly items: readonly Shown[]; readonly origin: Origin };

/** Values that no key says: by JSON of the path. They fill what is absent and has no default. */
export type Derived = ReadonlyMap<string, { readonly value: unknown; readonly says: string }>;

/** The members of a JSON Schema that are read here. */
interface Node {
  readonly type?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

type Path = readonly (string | number)[];
const byDefault: Origin = { kind: "default" };
const depthMax = 16;

export function shownObject(schema: z.ZodType, tree: MapTree, derived: Derived): Shown {
  // zod types its export as a wide JSON Schema; Node names the few members read here.
  const node = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Node;
  return shownMap(node, tree, { path: [], derived }) ?? { kind: "map", entries: new Map() };
}

interface Walk {
  readonly path: Path;
  readonly derived: Derived;
}

function shownTree(node: Node, tree: Tree, walk: Walk): Shown | null {
  if (walk.path.length > depthMax) return null;
  if (tree.kind === "map") return shownMap(branch(node, "map"), tree, walk);
  if (tree.kind === "list") {
    const item = branch(node, "list").items ?? {};
    const items = tree.items.map((one, i) => shownTree(item, one, { ...walk, path: [...walk.path, i] }));
    return { kind: "list", items: items.filter((one) => one !== null), origin: originOf(tree) };
  }
  return { kind: "value", value: tree.value, origin: originOf(tree) };
}

function shownMap(node: Node, tree: MapTree | null, walk: Walk): Shown | null {
  const entries = new Map<string, Shown>();
  const take = (name: string, member: Node): void => {
    const at: Walk = { ...walk, path: [...walk.path, name] };
    const written = tree?.entries.get(name)?.value;
    const shown = written === undefined ? absent(member, at) : shownTree(member, written, at);
    if (shown !== null) entries.set(name, shown);
  };
  for (const [name, member] of Object.entries(node.properties ?? {})) take(name, member);
  const more = typeof node.additionalProperties === "object" ? node.additionalProperties : {};
  for (const name of tree?.entries.keys() ?? []) if (!Object.hasOwn(node.properties ?? {}, name)) take(name, more);
  for (const [path, { value, says }] of walk.derived) {
    const [name, ...deeper] = inside(path, walk.path);
    if (name !== undefined && deeper.length === 0 && !entries.has(String(name)))
      entries.set(String(name), valueShown(value, { kind: "derived", says }));
  }
  return entries.size === 0 && tree === null ? null : { kind: "map", entries };
}

/** What follows `prefix` in a path given as JSON; nothing where it is not inside. */
function inside(path: string, prefix: Path): Path {
  const parts: Path = JSON.parse(path);
  return prefix.every((part, i) => part === parts[i]) ? parts.slice(prefix.length) : [];
}

/** A key that nobody wrote: what derives it, else its default, else the defaults inside it. */
function absent(node: Node, walk: Walk): Shown | null {
  const rule = walk.derived.get(JSON.stringify(walk.path));
  if (rule !== undefined) return valueShown(rule.value, { kind: "derived", says: rule.says });
  const { default: fallback } = node;
  if (fallback === undefined) {
    // A map that may be left out shows what derives inside it.
    const isMap = branch(node, "map").properties !== undefined;
    const hasDerived = [...walk.derived.keys()].some((path) => inside(path, walk.path).length > 0);
    return isMap && hasDerived ? shownMap(branch(node, "map"), null, walk) : null;
  }
  if (typeof fallback === "object" && fallback !== null && !Array.isArray(fallback))
    return shownMap(branch(node, "map"), null, walk) ?? { kind: "map", entries: new Map() };
  return valueShown(fallback, byDefault);
}

function valueShown(value: unknown, origin: Origin): Shown {
  if (Array.isArray(value)) return { kind: "list", items: value.map((one) => valueShown(one, origin)), origin };
  if (typeof value === "object" && value !== null)
    return {
      kind: "map",
      entries: new Map(Object.entries(value).map(([name, one]) => [name, valueShown(one, origin)])),
    };
  const scalar = typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : null;
  return { kind: "value", value: scalar, origin };
}

/** Of a union the branch that has maps or lists; the node itself where it is none. */
function branch(node: Node, kind: "map" | "list"): Node {
  const fits = (one: Node): boolean =>
    kind === "list"
      ? one.items !== undefined
      : one.properties !== undefined || typeof one.additionalProperties === "object";
  if (fits(node)) return node;
  const found = (node.anyOf ?? []).map((one) => branch(one, kind)).find(fits);
  return found ?? node;
}

function originOf({ at }: Tree): Origin {
  const { file, line } = placeOf(at);
  return { kind: "file", place: `${file}:${line}`, environment: pathOfEnvironment(at.path) };
}

/** `default`, `systems/billing.yaml:3`, `systems/billing.yaml:9 for staging`, or the rule. */
export function originWords(origin: Origin): string {
  if (origin.kind === "default") return "default";
  if (origin.kind === "derived") return origin.says;
  return origin.environment === null ? origin.place : `${origin.place} for ${origin.environment}`;
}

/** Rows `a.b[0]` -> value and origin, in order. */
export function shownRows(shown: Shown, prefix = ""): readonly { key: string; value: Scalar; from: Origin }[] {
  if (shown.kind === "value") return [{ key: prefix, value: shown.value, from: shown.origin }];
  if (shown.kind === "list") return shown.items.flatMap((item, i) => shownRows(item, `${prefix}[${i}]`));
  return [...shown.entries].flatMap(([name, one]) => shownRows(one, joined(prefix, name)));
}

function joined(prefix: string, name: string): string {
  const plain = /^[A-Za-z_][\w-]*$/.test(name);
  if (prefix === "") return plain ? name : `['${name}']`;
  return plain ? `${prefix}.${name}` : `${prefix}['${name}']`;
}
