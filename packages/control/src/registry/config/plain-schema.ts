// Promises to know a plain JSON Schema that ajv would take, without ajv: of most bodies nothing more need be asked, and ajv takes long to start.
// Trusts nothing: whatever is not of this kind, right or wrong, is for ajv to judge. Specified by JSON Schema 2020-12;
// plain-schema.test.ts holds both judgements against each other.

/** Is it certain that body-schema.ts would find nothing wrong with this schema by ajv? False says nothing about the schema. Never throws. */
export function isPlainSchema(schema: unknown, formats: readonly string[]): boolean {
  if (typeof schema === "boolean") return true;
  if (!isRecord(schema)) return false;
  return Object.entries(schema).every(([keyword, value]) => {
    const isPlain = keywords.get(keyword);
    return isPlain?.(value, formats) === true;
  });
}

type Check = (value: unknown, formats: readonly string[]) => boolean;

const types: ReadonlySet<unknown> = new Set(["string", "number", "integer", "boolean", "object", "array", "null"]);
const isText: Check = (value) => typeof value === "string";
const isBoolean: Check = (value) => typeof value === "boolean";
const isNumber: Check = (value) => typeof value === "number" && Number.isFinite(value);
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isScalar: Check = (value) => value === null || ["string", "number", "boolean"].includes(typeof value);

const keywords: ReadonlyMap<string, Check> = new Map<string, Check>([
  ["type", (value) => (Array.isArray(value) ? value.length > 0 && areUnique(value, types) : types.has(value))],
  [
    "properties",
    (value, formats) => isRecord(value) && Object.values(value).every((one) => isPlainSchema(one, formats)),
  ],
  ["required", (value) => Array.isArray(value) && value.every((name) => typeof name === "string") && areUnique(value)],
  ["additionalProperties", isPlainSchema],
  ["items", isPlainSchema],
  [
    "enum",
    (value) => Array.isArray(value) && value.length > 0 && value.every((one) => isScalar(one, [])) && areUnique(value),
  ],
  ["const", isScalar],
  ["minimum", isNumber],
  ["maximum", isNumber],
  ["exclusiveMinimum", isNumber],
  ["exclusiveMaximum", isNumber],
  ["multipleOf", (value) => isNumber(value, []) && Number(value) > 0],
  ["minLength", isCount],
  ["maxLength", isCount],
  ["minItems", isCount],
  ["maxItems", isCount],
  ["minProperties", isCount],
  ["maxProperties", isCount],
  ["uniqueItems", isBoolean],
  ["pattern", (value) => typeof value === "string" && isExpression(value)],
  ["format", (value, formats) => formats.some((name) => name === value)],
  ["title", isText],
  ["description", isText],
  ["deprecated", isBoolean],
  ["readOnly", isBoolean],
  ["writeOnly", isBoolean],
]);

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function areUnique(values: readonly unknown[], allowed?: ReadonlySet<unknown>): boolean {
  return new Set(values).size === values.length && values.every((value) => allowed?.has(value) !== false);
}

/** As ajv reads patterns, and as its meta-schema's `format: regex` asks. */
function isExpression(pattern: string): boolean {
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}
