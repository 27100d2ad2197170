// Promises a JSON Schema that a gateway can compile, and the data classes it marks. Trusts ajv for the 2020-12 meaning of schemas.
// `x-data-class` is ours: it labels a field, decides nothing at the gateway, and is taken out of what is sent there.

import { createRequire } from "node:module";
import { shareDefinitions } from "@sallyport/kernel/schema/shared-definitions.ts";
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { Ajv2020 } from "ajv/dist/2020.js";
import { dataClasses } from "./data-classes.ts";
import { patternTextMax, refusePattern } from "./linear-pattern.ts";
import { isPlainSchema } from "./plain-schema.ts";

export interface BodySchema {
  /** Without `x-data-class`, members in ascending order: equal schemas give equal bytes. */
  readonly schema: unknown;
  readonly classes: readonly DataClass[];
  /** As it was given, with `x-data-class`. */
  readonly labelled: unknown;
}

export interface SchemaRefusal {
  /** Members down to what is wrong. */
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly fix: string;
}

/** Members whose values are schemas by name, schemas in a list, or one schema. The rest is data and is left alone. */
export const schemaMaps: ReadonlySet<string> = new Set([
  "properties",
  "patternProperties",
  "$defs",
  "definitions",
  "dependentSchemas",
  "dependencies",
]);
export const schemaMembers: ReadonlySet<string> = new Set([
  "allOf",
  "anyOf",
  "oneOf",
  "prefixItems",
  "items",
  "not",
  "if",
  "then",
  "else",
  "contains",
  "additionalProperties",
  "propertyNames",
  "unevaluatedItems",
  "unevaluatedProperties",
]);
const schemaDepthMax = 64;
/** Items of which each is held against each other. */
export const uniqueItemsMax = 256;
/** Formats a gateway checks in a time that grows with the text. Of ajv-formats `url`, `email`, `hostname`, `uri`, `uri-reference` and `regex` are left out, as their expressions are not of that kind or compile what the caller sends. */
export const formats = [
  "date",
  "time",
  "date-time",
  "duration",
  "ipv4",
  "ipv6",
  "uuid",
  "json-pointer",
  "byte",
  "int32",
  "int64",
  "float",
  "double",
  "password",
  "binary",
] as const;

/** Checks a schema by compiling it. References may stay inside the schema only. */
export function readBodySchema(schema: unknown): BodySchema | SchemaRefusal {
  const classes = new Set<DataClass>();
  const wrong: SchemaRefusal[] = [];
  const found: Found = { classes, wrong, schemas: new Set(), references: [] };
  const stripped = walk(schema, [], found);
  refuseHiddenSchemas(found);
  const [refusal] = wrong;
  if (refusal !== undefined) return refusal;
  if (typeof stripped !== "object" || stripped === null)
    return { path: [], message: "not a JSON Schema", fix: "write a map" };
  const refused = isPlainSchema(stripped, formats) ? null : refuseUncompilable(stripped);
  return refused ?? { schema: stripped, classes: [...classes].sort(), labelled: schema };
}

const draft = "https://json-schema.org/draft/2020-12/schema";
const sameSchemasMax = 512;
/** Texts of schemas that compile: an estate says the same one once for each environment, and often for several operations. */
const compilable = new Set<string>();

/** The check by ajv. Made for every load: the one instance that holds the meta-schema compiled is kept, as that alone costs more than most schemas. */
export function refuseUncompilable(schema: object): SchemaRefusal | null {
  const text = JSON.stringify(schema);
  if (compilable.has(text)) return null;
  const dialect = Object.hasOwn(schema, "$schema") ? (schema as Members)["$schema"] : draft;
  if (dialect !== draft)
    return { path: ["$schema"], message: "not the dialect that is checked here", fix: `write ${draft}, or remove it` };
  const refused = compilesShared(schema) ? null : refuseWhole(schema);
  if (refused !== null) return refused;
  if (compilable.size >= sameSchemasMax) compilable.clear();
  compilable.add(text);
  return null;
}

function refuseWhole(schema: object): SchemaRefusal | null {
  const judge = metaJudge();
  if (!judge.validateSchema(schema)) {
    const [error] = judge.errors ?? [];
    return {
      path: pointerPath(error?.instancePath ?? ""),
      message: `not valid JSON Schema 2020-12 (${error?.keyword ?? "schema"}: ${error?.message ?? "refused"})`,
      fix: "correct the schema at this place",
    };
  }
  try {
    // An instance of its own: the `$id` of one schema must not be known to the next.
    createStrict().compile(schema);
    return null;
  } catch (cause) {
    return explainCompile(cause);
  }
}

const sharedMax = 4096;
let sharing: { readonly ajv: Ajv2020; readonly known: Set<string> } | undefined;

/**
 * Whether a schema compiles whose definitions do not depend on where they stand: each of those is judged once, whichever schemas it is
 * in. False also where that cannot be said of it; then it is judged whole, which finds the words for what is wrong.
 */
function compilesShared(schema: object): boolean {
  const parts = shareDefinitions(schema);
  if (parts === null || parts.hasUnused) return false;
  if (sharing === undefined || sharing.known.size >= sharedMax) sharing = { ajv: createStrict(), known: new Set() };
  const { ajv, known } = sharing;
  const judge = metaJudge();
  const added = parts.definitions.filter(({ id }) => !known.has(id));
  // ajv's own types leave out that a schema may be a boolean.
  if (![parts.root, ...added.map((one) => one.schema)].every((one) => judge.validateSchema(one as object)))
    return false;
  try {
    for (const { id, schema: definition } of added) {
      ajv.addSchema(definition as object, id);
      known.add(id);
    }
    // The ones referred to first, so that a long chain does not compile as one nest.
    for (const { id } of added) ajv.getSchema(id);
    ajv.compile(parts.root);
    ajv.removeSchema(parts.root);
    return true;
  } catch {
    // What did not compile stays half done in there.
    sharing = undefined;
    return false;
  }
}

function createStrict(): Ajv2020 {
  return createAjv({ meta: false, validateSchema: false, code: { optimize: false } });
}

const load = createRequire(import.meta.url);
let judging: Ajv2020 | undefined;

function metaJudge(): Ajv2020 {
  judging ??= createAjv({});
  return judging;
}

/** Loaded when the first schema needs it: most estates have none that does. */
function createAjv(options: ConstructorParameters<typeof Ajv2020>[0]): Ajv2020 {
  // What the two packages declare of themselves; `require` is untyped.
  const ajvModule = load("ajv/dist/2020.js") as typeof import("ajv/dist/2020.js");
  const install = load("ajv-formats") as (target: Ajv2020, names: readonly string[]) => void;
  const ajv = new ajvModule.Ajv2020({
    strict: true,
    strictTypes: false,
    strictRequired: false,
    strictTuples: false,
    allErrors: false,
    logger: false,
    ...options,
  });
  install(ajv, formats);
  return ajv;
}

function explainCompile(cause: unknown): SchemaRefusal {
  const said = cause instanceof Error ? cause.message : "";
  if (said.includes("resolve reference")) {
    return {
      path: [],
      message: "a `$ref` leads outside of the schema",
      fix: "copy what it refers to under `$defs`; nothing is fetched",
    };
  }
  const keyword = /unknown keyword: "([^"]{1,40})"/.exec(said)?.[1];
  if (keyword !== undefined)
    return {
      path: [],
      message: `the keyword \`${keyword}\` is not of JSON Schema 2020-12`,
      fix: "correct its spelling or remove it",
    };
  const format = /unknown format "([^"]{1,40})"/.exec(said)?.[1];
  if (format !== undefined) {
    const message = `the format \`${format}\` is not known, or not one that is checked in bounded time`;
    return { path: [], message, fix: `use \`maxLength\` with \`pattern\`, or one of ${formats.join(", ")}` };
  }
  return { path: [], message: "the schema cannot be compiled", fix: "check it against JSON Schema 2020-12" };
}

interface Found {
  readonly classes: Set<DataClass>;
  readonly wrong: SchemaRefusal[];
  /** Places that were looked at as a schema, as JSON Pointers. */
  readonly schemas: Set<string>;
  readonly references: { readonly path: readonly (string | number)[]; readonly to: string }[];
}

type Members = Readonly<Record<string, unknown>>;

/** A caller chooses the body: what takes more than a time that grows with it is refused here (docs/configuration.md "Body schemas"). */
function refuseSlow(schema: Members, path: readonly (string | number)[], { wrong }: Found): void {
  const items = schema["maxItems"];
  if (schema["uniqueItems"] === true && !(typeof items === "number" && items <= uniqueItemsMax))
    wrong.push({
      path: [...path, "uniqueItems"],
      message: "`uniqueItems` compares every item with every other one, and nothing bounds them",
      fix: `add \`maxItems\` of at most ${uniqueItemsMax} beside it, or leave the check to the provider`,
    });
  const { pattern, patternProperties, propertyNames } = schema;
  if (typeof pattern === "string")
    refuseSlowPattern({ pattern, bound: schema["maxLength"], path: [...path, "pattern"] }, wrong);
  if (typeof patternProperties !== "object" || patternProperties === null) return;
  const bound =
    typeof propertyNames === "object" && propertyNames !== null && "maxLength" in propertyNames
      ? propertyNames.maxLength
      : undefined;
  for (const name of Object.keys(patternProperties))
    refuseSlowPattern({ pattern: name, bound, path: [...path, "patternProperties", name] }, wrong);
}

interface PatternUse {
  readonly pattern: string;
  /** What the schema says of the most characters. */
  readonly bound: unknown;
  readonly path: readonly (string | number)[];
}

function refuseSlowPattern({ pattern, bound, path }: PatternUse, wrong: SchemaRefusal[]): void {
  const why = refusePattern(pattern);
  if (why !== null) {
    const fix =
      "write it simpler, without a repeat in a repeat and with alternatives that begin differently, or leave the check to the provider";
    wrong.push({ path, message: `the pattern could stop a gateway: ${why}`, fix });
  }
  if (typeof bound === "number" && bound <= patternTextMax) return;
  const where = path.includes("patternProperties")
    ? `\`propertyNames: { maxLength: ${patternTextMax} }\``
    : `\`maxLength: ${patternTextMax}\``;
  wrong.push({ path, message: "nothing bounds the text the pattern is put to", fix: `add ${where} or less beside it` });
}

/** What a `$ref` makes a schema must have been looked at as one: data under `const` or `default` has not. */
function refuseHiddenSchemas({ schemas, references, wrong }: Found): void {
  for (const { path, to } of references) {
    const pointer = to.slice(to.indexOf("#") + 1);
    if (!to.includes("#/") || schemas.has(pointer)) continue;
    wrong.push({
      path,
      message: "a `$ref` leads to what is no schema here",
      fix: "refer to `#/$defs/<name>`, with nothing escaped by `%`",
    });
  }
}

function walk(schema: unknown, path: readonly (string | number)[], found: Found): unknown {
  if (path.length > schemaDepthMax) {
    found.wrong.push({
      path: path.slice(0, 4),
      message: `the schema is nested deeper than ${schemaDepthMax} levels`,
      fix: "make it flatter",
    });
    return true;
  }
  found.schemas.add(pointerOf(path));
  if (Array.isArray(schema)) return schema.map((item, index) => walk(item, [...path, index], found));
  if (typeof schema !== "object" || schema === null) return schema;
  // An object that is no array: its members by name.
  refuseSlow(schema as Members, path, found);
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    const here = [...path, key];
    if (["$ref", "$dynamicRef"].includes(key) && typeof value === "string")
      found.references.push({ path: here, to: value });
    if (key === "x-data-class") collectClass(value, here, found);
    else if (key === "__proto__")
      found.wrong.push({ path: here, message: "`__proto__` is not accepted as a key", fix: "choose another name" });
    else if (schemaMaps.has(key) && typeof value === "object" && value !== null && !Array.isArray(value))
      result[key] = walkNamed(value, here, found);
    else result[key] = schemaMembers.has(key) ? walk(value, here, found) : value;
  }
  return result;
}

function pointerOf(path: readonly (string | number)[]): string {
  let pointer = "";
  for (const part of path)
    pointer += `/${typeof part === "number" ? part : part.replaceAll("~", "~0").replaceAll("/", "~1")}`;
  return pointer;
}

function walkNamed(schemas: object, path: readonly (string | number)[], found: Found): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    const here = [...path, name];
    if (name === "__proto__")
      found.wrong.push({ path: here, message: "`__proto__` is not accepted as a key", fix: "choose another name" });
    else result[name] = walk(schema, here, found);
  }
  return result;
}

function collectClass(value: unknown, path: readonly (string | number)[], found: Found): void {
  for (const item of Array.isArray(value) ? value : [value]) {
    const known = dataClasses.find((name) => name === item);
    if (known !== undefined) found.classes.add(known);
    else
      found.wrong.push({
        path,
        message: "not a data class",
        fix: `use one of ${dataClasses.map((name) => `\`${name}\``).join(", ")}`,
      });
  }
}

function pointerPath(pointer: string): (string | number)[] {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}
