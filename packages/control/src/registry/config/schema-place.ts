// Promises which subschemas speak of one place of a value together, or that it cannot be told. Pure. Trusts body-schema.ts to have accepted the schema.
// Specified in docs/payloads.md "What is kept" and docs/inspection.md "Labels"; JSON Schema 2020-12.

export type Schema = Readonly<Record<string, unknown>>;

/** Subschemas that are one place together. */
const togetherMax = 512;

/** The subschemas and all that apply, or may apply, to the same value; null: it cannot be told which do. */
export function together(root: unknown, schemas: readonly unknown[]): readonly Schema[] | null {
  const all = new Set<Schema>();
  const waiting = [...schemas];
  while (waiting.length > 0) {
    const one = waiting.pop();
    if (!isObject(one) || all.has(one)) continue;
    if (all.size >= togetherMax || Object.hasOwn(one, "$dynamicRef")) return null;
    all.add(one);
    for (const keyword of ["allOf", "anyOf", "oneOf"]) if (Array.isArray(one[keyword])) waiting.push(...one[keyword]);
    for (const keyword of ["if", "then", "else"]) waiting.push(one[keyword]);
    waiting.push(...Object.values(mapOf(one["dependentSchemas"])));
    if (!Object.hasOwn(one, "$ref")) continue;
    const target = resolve(root, one["$ref"]);
    if (target === undefined) return null;
    waiting.push(target);
  }
  return [...all];
}

/** What a reference inside the schema leads to; undefined: it cannot be told. */
function resolve(root: unknown, reference: unknown): unknown {
  if (reference === "#") return root;
  // `%` and ids would need a reader of URIs: body-schema.ts asks for plain pointers where it can.
  if (typeof reference !== "string" || !reference.startsWith("#/") || reference.includes("%")) return undefined;
  let at: unknown = root;
  for (const part of reference.slice(2).split("/")) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    // An `$id` on the way makes references mean something else behind it.
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Schema)[name]; // an own member, checked on the line above
    if (isObject(at) && Object.hasOwn(at, "$id")) return undefined;
  }
  return at;
}

const scalarTypes: ReadonlySet<unknown> = new Set(["string", "number", "integer", "boolean"]);
/** Each says what is inside an object or a list. */
const structureWords = [
  ...["properties", "patternProperties", "additionalProperties", "required"],
  ...["items", "prefixItems", "contains"],
];

/** May a text, a number or a truth value stand here? Where schemas speak of an object or a list, only if one names such a type too: their labels would not reach it. */
export function declaresScalar(all: readonly Schema[]): boolean {
  const types = all.flatMap(({ type }) => (Array.isArray(type) ? type : type === undefined ? [] : [type]));
  if (types.some((type) => scalarTypes.has(type))) return true;
  return types.length === 0 && !all.some((one) => structureWords.some((word) => Object.hasOwn(one, word)));
}

export function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export const mapOf = (value: unknown): Schema => (isObject(value) ? value : {});
/** A schema that says something; `true` and `false` declare nothing. */
export const schemaOf = (value: unknown): readonly Schema[] => (isObject(value) ? [value] : []);
