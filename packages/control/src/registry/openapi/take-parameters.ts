// Promises the parameters that a description declares, as `parameters` of an operation; what is written in another form than gateways read is a note.
// Trusts translate-schema.ts. Specified in docs/openapi.md; OpenAPI 3.1.1 "Parameter Object".
import { reachesProvider } from "@sallyport/protocol/canonical/hop-headers.ts";
import { itemTypeOf, valueTypeOf } from "../config/parameter-type.ts";
import type { MapTree, Tree } from "../config/yaml-tree.ts";
import { flagOf, textOf } from "../import/tree-members.ts";
import type { Filling } from "./taken.ts";
import { entryOf, mapTree, treeOf } from "./tree-of.ts";

/** Said by the media types and the security of the operation, so OpenAPI has them mean nothing here. */
const ignoredFields: ReadonlySet<string> = new Set(["accept", "content-type", "authorization"]);
const inlinedMax = 256;

/** What stands for `parameters`; null: nothing is to be added. `path`: of the match. */
export function takeParameters(filling: Filling, path: string, written: Tree | undefined): Tree | null {
  if (written !== undefined && written.kind !== "map") return null;
  const { described } = filling;
  const entries = new Map(written?.entries);
  for (const parameter of parametersOf(filling)) {
    const taken = takeParameter(filling, parameter, path);
    if (taken === null) continue;
    if ("unread" in taken)
      filling.notes.push({
        at: parameter.at,
        message: `a parameter of \`${filling.name}\` is not checked: ${taken.unread}`,
      });
    else if (!entries.has(taken.key)) entries.set(taken.key, entryOf(taken.value));
  }
  return entries.size === 0 ? null : { kind: "map", at: written?.at ?? described.at, entries };
}

/** Those of the operation take the place of the path's. */
function parametersOf({ description, described }: Filling): readonly MapTree[] {
  const found = new Map<string, MapTree>();
  for (const holder of [described.item, described.tree]) {
    const list = holder.entries.get("parameters")?.value;
    for (const item of list?.kind === "list" ? list.items : []) {
      const parameter = description.references.map(item);
      if (!("unresolved" in parameter)) found.set(`${textOf(parameter, "in")}:${textOf(parameter, "name")}`, parameter);
    }
  }
  return [...found.values()];
}

type Taken = { readonly key: string; readonly value: Tree } | { readonly unread: string } | null;

function takeParameter(filling: Filling, parameter: MapTree, path: string): Taken {
  const place = textOf(parameter, "in") ?? "";
  const written = textOf(parameter, "name") ?? "";
  const name =
    place === "path"
      ? pathName(filling.described.path, path, written)
      : place === "header"
        ? written.toLowerCase()
        : written;
  const label = `${place}:${written}`.slice(0, 80);
  if (place === "header" && ignoredFields.has(written.toLowerCase())) return null;
  if (name === null) return { unread: `${label} is no parameter of the path here` };
  const why = whyUnread(place, name, textOf(parameter, "style"));
  if (why !== null) return { unread: `${label}: ${why}` };
  const schema = parameter.entries.get("schema")?.value;
  const plain = schema === undefined ? null : inlined(filling, schema);
  if (plain === null) return { unread: `${label} has no schema that can be checked` };
  const type = valueTypeOf(plain);
  const items = type === "array" ? itemTypeOf(plain) : null;
  if (type === null || (type === "array" && items === null)) return { unread: `${label} has no single plain type` };
  const isRepeated = type === "array" && place === "query" && flagOf(parameter, "explode") !== false;
  const { at } = parameter;
  return {
    key: `${place}:${name}`,
    value: mapTree(at, [
      ...(flagOf(parameter, "required") === true ? [["required", treeOf(true, at)] as const] : []),
      ["schema", filling.isShown ? treeOf(`${at.file}:${at.line}`, at) : treeOf(plain, at)],
      ...(type === "array" && place === "query" && !isRepeated ? [["list", treeOf("commas", at)] as const] : []),
    ]),
  };
}

function whyUnread(place: string, name: string, style: string | undefined): string | null {
  const styles: Readonly<Record<string, { readonly style: string; readonly name: RegExp }>> = {
    path: { style: "simple", name: /^[A-Za-z_]\w*$/ },
    query: { style: "form", name: /^(?!__proto__$)[A-Za-z0-9._~-]+$/ },
    header: { style: "simple", name: /^[A-Za-z0-9-]+$/ },
  };
  const known = Object.hasOwn(styles, place) ? styles[place] : undefined;
  if (known === undefined) return "only those of path, query and header are";
  if (style !== undefined && style !== known.style) return `the style ${style.slice(0, 40)} is not read`;
  if (!known.name.test(name)) return "the name has characters that are not read";
  return place === "header" && !reachesProvider(name)
    ? "the header field never reaches the provider as it was sent"
    : null;
}

/** The name a match has for a parameter of the path, counted from its end: a base path may stand before. */
function pathName(described: string, path: string, name: string): string | null {
  const theirs = described
    .split("/")
    .filter((segment) => segment.startsWith("{"))
    .reverse();
  const ours = path
    .split("/")
    .filter((segment) => segment.startsWith("{"))
    .reverse();
  const own = ours[theirs.indexOf(`{${name}}`)];
  return own === undefined || !theirs.includes(`{${name}}`) ? null : own.slice(1, -1);
}

/** A schema without definitions: what it refers to stands in its place. Null: it cannot be told, or goes in a circle. */
function inlined(filling: Filling, written: Tree): Readonly<Record<string, unknown>> | null {
  const { schema, losses } = filling.description.translate(written, "request");
  for (const { at, why } of losses)
    filling.notes.push({ at: { ...at, path: written.at.path }, message: `a parameter of \`${filling.name}\`: ${why}` });
  if (schema === null) return null;
  const { $defs, ...root } = schema as Readonly<Record<string, unknown>>; // a schema that was accepted is an object
  const room = { places: inlinedMax };
  const whole = inline(root, { definitions: ($defs ?? {}) as Readonly<Record<string, unknown>>, open: [], room });
  return room.places < 0 || typeof whole !== "object" || whole === null
    ? null
    : (whole as Readonly<Record<string, unknown>>);
}

interface Inlining {
  readonly definitions: Readonly<Record<string, unknown>>;
  readonly open: readonly string[];
  readonly room: { places: number };
}

function inline(value: unknown, on: Inlining): unknown {
  on.room.places -= 1;
  if (on.room.places < 0) return null;
  if (Array.isArray(value)) return value.map((item) => inline(item, on));
  if (typeof value !== "object" || value === null) return value;
  const { $ref, ...rest } = value as Readonly<Record<string, unknown>>;
  const members = Object.fromEntries(Object.entries(rest).map(([key, one]) => [key, inline(one, on)]));
  if (typeof $ref !== "string") return members;
  const name = $ref.slice("#/$defs/".length);
  if (on.open.includes(name) || !Object.hasOwn(on.definitions, name)) {
    on.room.places = -1;
    return null;
  }
  const target = inline(on.definitions[name], { ...on, open: [...on.open, name] });
  return typeof target === "object" && target !== null ? { ...target, ...members } : members;
}
