// Promises the parts of a JSON Schema that leave something open, as JSON Pointers, without judging them. Pure; never throws.
// Trusts the loader to have refused schemas that are too deep (body-schema.ts). Source: JSON Schema 2020-12.

export interface LooseParts {
  /** Objects with named members that accept others. */
  readonly open: readonly string[];
  /** Texts of any length. */
  readonly texts: readonly string[];
  /** Lists of any length. */
  readonly lists: readonly string[];
}

type Members = Readonly<Record<string, unknown>>;

const none: LooseParts = { open: [], texts: [], lists: [] };
/** Formats whose texts have a length of their own. */
const boundedFormats = new Set(["date", "time", "date-time", "ipv4", "ipv6", "uuid"]);
const known = new WeakMap<object, LooseParts>();

/** Of a schema that was asked before, the same answer again: three rules ask. */
export function looseParts(schema: unknown): LooseParts {
  if (!isMembers(schema)) return none;
  const before = known.get(schema);
  if (before !== undefined) return before;
  const found = { open: [] as string[], texts: [] as string[], lists: [] as string[] };
  visit(schema, "", found);
  known.set(schema, found);
  return found;
}

interface Found {
  readonly open: string[];
  readonly texts: string[];
  readonly lists: string[];
}

function visit(schema: unknown, pointer: string, found: Found): void {
  if (!isMembers(schema)) return;
  const here = pointer === "" ? "/" : pointer;
  const types = [schema["type"]].flat();
  const isFixed = Object.hasOwn(schema, "const") || Object.hasOwn(schema, "enum");
  const closed = schema["additionalProperties"] !== undefined && schema["additionalProperties"] !== true;
  // Within `allOf` an object is closed by the whole, not by the part.
  const inPart = /\/(allOf|anyOf|oneOf|then|else|if|not)\/?\d*$/.test(pointer);
  if (isMembers(schema["properties"]) && !closed && schema["unevaluatedProperties"] !== false && !inPart)
    found.open.push(here);
  if (types.includes("string") && !isFixed && !isBoundedText(schema)) found.texts.push(here);
  if (types.includes("array") && !isFixed && schema["maxItems"] === undefined && schema["items"] !== false)
    found.lists.push(here);
  for (const [key, value] of Object.entries(schema)) {
    if (key === "properties" || key === "patternProperties" || key === "$defs" || key === "dependentSchemas") {
      for (const [name, inner] of isMembers(value) ? Object.entries(value) : [])
        visit(inner, `${pointer}/${key === "properties" ? "" : `${key}/`}${name}`, found);
    } else if (["allOf", "anyOf", "oneOf", "prefixItems"].includes(key) && Array.isArray(value)) {
      for (const [index, inner] of value.entries()) visit(inner, `${pointer}/${key}/${index}`, found);
    } else if (
      ["items", "contains", "additionalProperties", "if", "then", "else", "unevaluatedProperties"].includes(key)
    ) {
      visit(value, `${pointer}/${key === "items" ? "*" : key}`, found);
    }
  }
}

function isBoundedText(schema: Members): boolean {
  if (schema["maxLength"] !== undefined) return true;
  const { format } = schema;
  return typeof format === "string" && boundedFormats.has(format);
}

/** Names of all members a schema declares, at any depth. */
export function propertyNames(schema: unknown): readonly string[] {
  const names: string[] = [];
  const pending: unknown[] = [schema];
  // Bounded by the size of the schema, which is bounded by its file.
  while (pending.length > 0) {
    const node = pending.pop();
    if (Array.isArray(node)) pending.push(...node);
    if (!isMembers(node)) continue;
    if (isMembers(node["properties"])) names.push(...Object.keys(node["properties"]));
    pending.push(...Object.values(node));
  }
  return names;
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
