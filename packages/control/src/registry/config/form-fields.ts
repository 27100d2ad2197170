// Promises how the texts of a form are read as the values that its schema speaks of, or why that cannot be told. Pure. Trusts body-schema.ts to have
// accepted the schema. Specified in docs/inspection.md "Forms".
import type { FormField } from "@sallyport/protocol/snapshot/body-rule.ts";
import { itemTypeOf, valueTypeOf } from "./parameter-type.ts";

type Schema = Readonly<Record<string, unknown>>;
const hopsMax = 16;

export function formFieldsOf(schema: unknown): readonly FormField[] | { readonly refused: string } {
  const root = resolved(schema, schema);
  const properties = isSchema(root?.["properties"]) ? root["properties"] : {};
  const fields: FormField[] = [];
  for (const [name, written] of Object.entries(properties)) {
    const member = resolved(schema, written);
    const type = member === undefined ? null : valueTypeOf(member);
    const items = member === undefined ? undefined : resolved(schema, member["items"]);
    const item = type === "array" ? itemTypeOf({ items }) : type;
    if (item === null) return { refused: name };
    fields.push({ name, type: item, ...(type === "array" ? { list: true } : {}) });
  }
  return fields.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function resolved(root: unknown, written: unknown): Schema | undefined {
  let at: unknown = written;
  for (let hop = 0; hop < hopsMax; hop += 1) {
    if (!isSchema(at)) return undefined;
    const reference = at["$ref"];
    if (typeof reference !== "string") return at;
    const definitions = isSchema(root) && isSchema(root["$defs"]) ? root["$defs"] : {};
    const name = reference.slice("#/$defs/".length);
    at = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
  }
  return undefined;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
