// Promises the schema of a request as one self-contained JSON Schema 2020-12 that the estate accepts, and what it checks less than the source.
// Trusts body-schema.ts to judge the result. Sources: OpenAPI 3.0.4 and 3.1.1 "Schema Object", JSON Schema 2020-12.
import { formats, readBodySchema, schemaMaps, schemaMembers, uniqueItemsMax } from "../../config/body-schema.ts";
import { attachmentBytesMax } from "../../config/bounds.ts";
import type { Place } from "../../config/finding.ts";
import { patternTextMax, refusePattern } from "../../config/linear-pattern.ts";
import { type MapTree, plainOf, type Tree } from "../../config/yaml-tree.ts";
import { createNames, type Names } from "../ids.ts";
import { flagOf, itemsOf, mapOf, member, numberOf, placeOfKey, scalarText, textOf, textsOf } from "../tree-members.ts";
import { type References, referenceOf } from "./references.ts";

/** Definitions of one body that are all checked. A gateway compiles them while others wait, and a circle of some hundreds not at all. */
export const definitionsMax = 256;
/** Of a body with more: those nearest to it that are checked. Few, as schemas cut off at different places share nothing. */
export const nearestMax = 32;
/** Names of what is not checked that the report gives. */
const uncheckedNamesMax = 8;

export interface Loss {
  readonly at: Place;
  readonly why: string;
}

export interface TranslatedSchema {
  /** Null: no schema that the estate accepts; the last loss says why. */
  readonly schema: object | null;
  readonly losses: readonly Loss[];
}

export interface Translating {
  readonly references: References;
  /** OpenAPI 3.0, whose schemas are a dialect of their own. */
  readonly isOld: boolean;
  /** What carries the value: of a request `readOnly` members are not asked for, of an answer `writeOnly` ones. */
  readonly of: "request" | "answer";
}

export function translateSchema(tree: Tree, on: Translating): TranslatedSchema {
  const whole = translateNear(tree, { ...on, limit: definitionsMax });
  if (!whole.isCut && whole.schema !== null) return whole;
  const near = whole.isCut || whole.isTooMuch ? translateNear(tree, { ...on, limit: nearestMax }) : whole;
  return near.schema === null ? whole : near;
}

type Limited = Translating & { readonly limit: number };

interface NearSchema extends TranslatedSchema {
  /** Definitions were left out. */
  readonly isCut: boolean;
  /** With fewer definitions it might be accepted. */
  readonly isTooMuch: boolean;
}

function translateNear(tree: Tree, on: Limited): NearSchema {
  const translation = new Translation(on);
  const schema = translation.whole(tree);
  const isCut = translation.unchecked.size > 0;
  const losses = isCut ? [...translation.losses, uncheckedLoss(tree.at, translation)] : translation.losses;
  const lost = (loss: Loss, isTooMuch: boolean): NearSchema => ({
    schema: null,
    losses: [...losses, loss],
    isCut,
    isTooMuch,
  });
  if (translation.failed !== null) return lost(translation.failed, false);
  if (schema === true || typeof schema !== "object")
    return lost({ at: tree.at, why: "a schema that allows everything, or nothing" }, false);
  if (JSON.stringify(schema, null, 2).length > attachmentBytesMax)
    return lost({ at: tree.at, why: "the schema is larger than 1 MiB" }, true);
  const read = readBodySchema(schema);
  if ("message" in read)
    return lost({ at: tree.at, why: `the schema is not kept: ${read.message} at /${read.path.join("/")}` }, true);
  return { schema, losses, isCut, isTooMuch: false };
}

function uncheckedLoss(at: Place, { unchecked, checked }: Translation): Loss {
  const names = [...unchecked].slice(0, uncheckedNamesMax).map((name) => `\`${name.slice(0, 60)}\``);
  const more = unchecked.size > names.length ? ` and ${unchecked.size - names.length} more` : "";
  return {
    at,
    why: `the schema has more definitions than are checked, so what lies deeper than the ${checked} nearest is not: where it refers to ${names.join(", ")}${more}, anything passes`,
  };
}

/** Members that say something of a value and mean the same in 2020-12. */
const kept = new Set([
  ...["type", "enum", "const", "required", "properties", "patternProperties", "additionalProperties"],
  ...["propertyNames", "minProperties", "maxProperties", "dependentRequired", "dependentSchemas"],
  ...["unevaluatedProperties", "unevaluatedItems", "items", "prefixItems", "contains", "minContains", "maxContains"],
  ...["minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "pattern", "format", "multipleOf"],
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "allOf", "anyOf", "oneOf", "not"],
  ...["if", "then", "else", "x-data-class"],
]);
/** Members that change what other members mean in a way that is not followed. */
const unfollowed = new Set(["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef"]);
/** Members for readers; the rest of what is not kept is said. */
const silent =
  /^(x-.*|title|description|examples?|externalDocs|xml|deprecated|readOnly|writeOnly|default|discriminator|nullable|content(MediaType|Encoding|Schema)|\$defs|definitions|\$comment|\$schema)$/;

class Translation {
  readonly losses: Loss[] = [];
  failed: Loss | null = null;
  /** Names of definitions past the limit that something refers to. */
  readonly unchecked = new Set<string>();
  readonly #references: References;
  readonly #isOld: boolean;
  readonly #limit: number;
  readonly #absent: "readOnly" | "writeOnly";
  readonly #names: Names = createNames(120);
  /** Key of a target -> its name under `$defs`. */
  readonly #definitions = new Map<string, string>();
  readonly #waiting: { readonly name: string; readonly tree: Tree }[] = [];

  constructor(on: Limited) {
    this.#references = on.references;
    this.#isOld = on.isOld;
    this.#absent = on.of === "request" ? "readOnly" : "writeOnly";
    this.#limit = on.limit;
  }

  get checked(): number {
    return this.#definitions.size;
  }

  whole(tree: Tree): unknown {
    const root = this.#schema(tree);
    const definitions: Record<string, unknown> = {};
    // A definition may ask for others: each is made once, so cycles end.
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      definitions[next.name] = this.#schema(next.tree);
    if (typeof root !== "object" || root === null || Object.keys(definitions).length === 0) return root;
    return { ...root, $defs: definitions };
  }

  #schema(tree: Tree): unknown {
    if (tree.kind === "scalar" && typeof tree.value === "boolean") return tree.value;
    if (tree.kind !== "map") return this.#fail(tree.at, "a schema that is not a map");
    const result: Record<string, unknown> = {};
    const reference = referenceOf(tree);
    if (reference !== undefined) {
      const definition = this.#define(tree, reference);
      if (definition !== null) result["$ref"] = definition;
      // OpenAPI 3.0 ignores what stands beside a `$ref`.
      if (this.#isOld) return result;
    }
    for (const [key, entry] of tree.entries) {
      if (unfollowed.has(key)) this.#fail(entry.keyAt, `\`${key}\` is not followed`);
      else if (kept.has(key)) this.#keep(result, key, { tree, value: entry.value });
      else if (key !== "$ref" && !silent.test(key))
        this.losses.push({
          at: entry.keyAt,
          why: `\`${key.slice(0, 40)}\` is not of JSON Schema 2020-12 and is not checked`,
        });
    }
    this.#requireWritable(result, tree);
    this.#loosenFalse(result, tree);
    return this.#isOld ? oldMeaning(result, tree) : result;
  }

  #keep(result: Record<string, unknown>, key: string, at: { readonly tree: MapTree; readonly value: Tree }): void {
    const unchecked = whyUnchecked(key, at.tree, at.value);
    if (unchecked === null) result[key] = this.#value(key, at.value);
    else if (unchecked !== "") this.losses.push({ at: placeOfKey(at.tree, key), why: unchecked });
  }

  #value(key: string, value: Tree): unknown {
    if (schemaMaps.has(key) && value.kind === "map")
      return Object.fromEntries([...value.entries].map(([name, entry]) => [name, this.#schema(entry.value)]));
    if (!schemaMembers.has(key)) return plain(value);
    return value.kind === "list" ? value.items.map((item) => this.#schema(item)) : this.#schema(value);
  }

  /** What only answers carry is not asked of a request, and the other way round (OpenAPI 3.0.4 "readOnly", "writeOnly"). */
  #requireWritable(result: Record<string, unknown>, tree: MapTree): void {
    const names = textsOf(tree, "required");
    const properties = mapOf(tree, "properties");
    if (names.length === 0 || itemsOf(tree, "required").length === 0) return;
    const writable = names.filter((name) => {
      const property = member(properties, name);
      const found = property === undefined ? undefined : this.#references.follow(property);
      return found === undefined || "unresolved" in found || flagOf(found, this.#absent) !== true;
    });
    if (writable.length > 0) result["required"] = writable;
    else delete result["required"];
  }

  /** Without its `patternProperties` a closed map would refuse what the source allows. */
  #loosenFalse(result: Record<string, unknown>, tree: MapTree): void {
    if (!tree.entries.has("patternProperties")) return;
    delete result["additionalProperties"];
    delete result["unevaluatedProperties"];
  }

  /** Null: past the limit. */
  #define(tree: MapTree, reference: string): string | null {
    const target = this.#references.target(tree.at.file, reference);
    if ("unresolved" in target) return this.#fail(placeOfKey(tree, "$ref"), target.unresolved);
    const known = this.#definitions.get(target.key);
    if (known !== undefined) return `#/$defs/${known}`;
    if (this.#definitions.size >= this.#limit) {
      this.unchecked.add(target.name);
      return null;
    }
    const { name } = this.#names.take(target.name.replaceAll(/[^A-Za-z0-9_.-]/g, "_").slice(0, 100) || "schema");
    this.#definitions.set(target.key, name);
    this.#waiting.push({ name, tree: target.tree });
    return `#/$defs/${name}`;
  }

  #fail(at: Place, why: string): string {
    this.failed ??= { at, why };
    return "";
  }
}

/** Why a gateway would not check this member (body-schema.ts refuses it), or null; empty where it says nothing. */
function whyUnchecked(key: string, tree: MapTree, value: Tree): string | null {
  const most = (name: string): number => numberOf(tree, name) ?? Number.POSITIVE_INFINITY;
  if (key === "format") {
    const format = scalarText(value) ?? "";
    return formats.some((known) => known === format) ? null : `the format \`${format.slice(0, 40)}\` is not checked`;
  }
  if (key === "pattern") {
    if (most("maxLength") > patternTextMax)
      return `a pattern without \`maxLength\` of at most ${patternTextMax} is not checked`;
    return refusePattern(scalarText(value) ?? "") === null
      ? null
      : "a pattern that could stop a gateway is not checked";
  }
  if (key === "uniqueItems" && most("maxItems") > uniqueItemsMax)
    return flagOf(tree, key) === true
      ? `\`uniqueItems\` without \`maxItems\` of at most ${uniqueItemsMax} is not checked`
      : "";
  return key === "patternProperties" ? "`patternProperties` are not checked" : null;
}

/** OpenAPI 3.0: `nullable` beside `type`, and bounds that a flag makes exclusive. */
function oldMeaning(result: Record<string, unknown>, tree: MapTree): unknown {
  for (const [bound, exclusive] of [
    ["minimum", "exclusiveMinimum"],
    ["maximum", "exclusiveMaximum"],
  ] as const) {
    const flag = flagOf(tree, exclusive);
    if (flag === undefined) continue;
    delete result[exclusive];
    if (!flag || result[bound] === undefined) continue;
    result[exclusive] = result[bound];
    delete result[bound];
  }
  if (flagOf(tree, "nullable") !== true) return result;
  const type = textOf(tree, "type");
  if (type === undefined) return Object.keys(result).length === 0 ? result : { anyOf: [result, { type: "null" }] };
  const options: unknown = result["enum"];
  return {
    ...result,
    type: [type, "null"],
    ...(Array.isArray(options) && !options.includes(null) ? { enum: [...options, null] } : {}),
  };
}

/** Data of a schema with ordinary objects, so that it prints and compares as JSON. */
function plain(tree: Tree): unknown {
  return JSON.parse(JSON.stringify(plainOf(tree)));
}
