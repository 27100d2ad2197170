// Promises that parameters which are declared have values of their type, once, under one name, and match their schema, before anything is forwarded.
// Trusts the canonical request for decoding. Specified in docs/inspection.md "Parameters".
import type { ParameterField, ParameterRule } from "@sallyport/protocol/snapshot/parameter-rule.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { type AttributeInputs, hasAlias } from "../authorize/attributes.ts";
import type { Exchange } from "../exchange.ts";
import { SchemaFault, type SchemaVerdict } from "./schema.ts";

type Inputs = Pick<AttributeInputs, "parameters" | "query" | "headers">;
type Value = string | number | boolean;

/** Values of one list. */
export const listItemsMax = 256;
/** Names of declared parameters in one detail. */
const declaredShown = 8;
const integer = /^(?:0|-?[1-9][0-9]{0,15})$/;
/** As JSON writes numbers; a longer one is rounded by whoever reads it. */
const number = /^-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,3})?$/;

/** Of the crossing's request, where its operation declares any. */
export function inspectParameters({ operation, request, parameters, lease }: Exchange): Deny | null {
  const rule = operation?.object.parameters;
  if (rule === undefined) return null;
  if (request === null || lease === null) return deny("inspect", "not-ready");
  const inputs = { parameters, query: request.queryParameters, headers: request.headers };
  try {
    return decideParameters(rule, inputs, (value) => lease.estate.schemas.check(rule.schema, value));
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    return deny("inspect", "not-served", { broken: error.message, detail: error.public });
  }
}

/** Pure but for `check`, which holds the object of all values against the schema. */
export function decideParameters(
  rule: ParameterRule,
  inputs: Inputs,
  check: (value: unknown) => SchemaVerdict,
): Deny | null {
  const values = { path: bare(), query: bare(), header: bare() };
  for (const field of rule.fields) {
    const read = fieldValue(field, inputs);
    if (read === undefined) continue;
    if ("refused" in read) return mismatch(`${field.in}:${field.name}`, read.refused);
    values[field.in][field.name] = read.value;
  }
  if (rule.undeclaredQuery === "refuse" && hasUndeclared(rule.fields, inputs.query))
    return mismatch("query", `a parameter that is not declared; declared ${declaredQuery(rule.fields)}`);
  const match = check(values);
  if (match.valid) return null;
  return deny("inspect", "schema-mismatch", {
    why: `parameters ${match.why}`,
    detail: `The parameters do not match their schema at ${match.why}. ${(match.says ?? "").replace(ofParameters, "$1:")}`,
  });
}

/** Parameters have the names here that they have in an estate: `query:limit`. */
const ofParameters = /^\$\.(path|query|header)\./;

function declaredQuery(fields: readonly ParameterField[]): string {
  const names = fields.filter((field) => field.in === "query").map(({ name }) => name);
  if (names.length === 0) return "is none";
  const more = names.length > declaredShown ? ", …" : "";
  return `${names.length === 1 ? "is" : "are"} ${names.slice(0, declaredShown).join(", ")}${more}`;
}

function bare(): Record<string, Value | readonly Value[]> {
  return Object.create(null);
}

function mismatch(where: string, why: string): Deny {
  return deny("inspect", "schema-mismatch", {
    why: `${where}: ${why}`,
    detail: `The parameters do not match their schema at ${where}: ${why}`,
  });
}

function hasUndeclared(fields: readonly ParameterField[], query: Inputs["query"]): boolean {
  return Object.keys(query).some((name) => !fields.some((field) => field.in === "query" && field.name === name));
}

type Read = { readonly value: Value | readonly Value[] } | { readonly refused: string };

/** Undefined: the request has none. */
function fieldValue(field: ParameterField, inputs: Inputs): Read | undefined {
  if (field.in === "query" && hasAlias(field.name, inputs.query))
    return { refused: "a second name that some servers read as this one" };
  const texts = textsOf(field, inputs);
  if (texts === undefined || texts.length === 0) return undefined;
  if (field.list === undefined) {
    const [only] = texts;
    if (only === undefined || texts.length > 1) return { refused: "it is there more than once" };
    const value = readText(field.type, only);
    return value === undefined ? { refused: `not ${typeWords[field.type]}` } : { value };
  }
  if (field.list === "commas" && texts.length > 1) return { refused: "it is there more than once" };
  const items = field.list === "commas" ? (texts[0] ?? "").split(",", listItemsMax + 1) : texts;
  if (items.length > listItemsMax) return { refused: `more than ${listItemsMax} values` };
  const values = items.map((item) => readText(field.type, item));
  return values.every((value) => value !== undefined)
    ? { value: values }
    : { refused: `not a list of which each is ${typeWords[field.type]}` };
}

const typeWords = {
  string: "a text",
  integer: "a whole number",
  number: "a number",
  boolean: "true or false",
} as const;

function textsOf({ in: place, name }: ParameterField, inputs: Inputs): readonly string[] | undefined {
  if (place === "query") return inputs.query[name];
  if (place === "header") return inputs.headers[name];
  const text = inputs.parameters[name];
  return text === undefined ? undefined : [text];
}

/** A text as a value of the type; undefined: it is none. */
export function readText(type: ParameterField["type"], text: string): Value | undefined {
  if (type === "string") return text;
  if (type === "boolean") return text === "true" ? true : text === "false" ? false : undefined;
  if (!(type === "integer" ? integer : number).test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) && (type === "number" || Number.isSafeInteger(value)) ? value : undefined;
}
