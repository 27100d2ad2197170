// Promises the one type that a parameter's text is read as, by its schema, or that there is none. Pure. Trusts nothing.
// Specified in docs/inspection.md "Parameters".
import type { ParameterField } from "@sallyport/protocol/snapshot/parameter-rule.ts";

const types = ["string", "integer", "number", "boolean", "array"] as const;

/** Without a `type`, the one that its `enum` or `const` has; null: not exactly one. */
export function valueTypeOf(schema: Readonly<Record<string, unknown>>): ParameterField["type"] | "array" | null {
  const { type, enum: options, const: only } = schema;
  const values: readonly unknown[] = Array.isArray(options) ? options : only === undefined ? [] : [only];
  const said: unknown = type ?? [...new Set(values.map((one) => typeof one))];
  const [single, ...more] = (Array.isArray(said) ? said : [said]).filter((one) => one !== "null");
  return more.length > 0 ? null : (types.find((known) => known === single) ?? null);
}

/** Of a list; null: its items have not exactly one type of a single value. */
export function itemTypeOf(schema: Readonly<Record<string, unknown>>): ParameterField["type"] | null {
  const { items } = schema;
  // Members of an object are looked at one by one.
  const type =
    typeof items === "object" && items !== null ? valueTypeOf(items as Readonly<Record<string, unknown>>) : null;
  return type === "array" ? null : type;
}
