// Promises what parameters of an operation's requests may be, as one schema that a gateway holds all of them against, or findings at the key.
// Trusts body-schema.ts to judge it. Specified in docs/inspection.md "Parameters".
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { ParameterField, ParameterPlace } from "@sallyport/protocol/snapshot/parameter-rule.ts";
import { readBodySchema } from "./body-schema.ts";
import { compareText, errorAt } from "./finding.ts";
import type { ParametersConfig } from "./operation-config.ts";
import { parametersMax, placeOfParameter } from "./parameter-schema.ts";
import { itemTypeOf, valueTypeOf } from "./parameter-type.ts";
import { type AttributeReader, type Carried, refuseSource } from "./read-attributes.ts";
import type { OperationSource } from "./system-schema.ts";
import { spotOf } from "./yaml-tree.ts";

interface ParametersReading {
  readonly parameters?: ParametersConfig;
  readonly classes: readonly DataClass[];
}

type Declared = OperationSource["parameters"][string];

export function readParameters(
  reader: AttributeReader,
  at: readonly string[],
  { parameters, undeclaredQuery }: Pick<OperationSource, "parameters" | "undeclaredQuery">,
  carried: Carried,
): ParametersReading {
  const declared = Object.entries(parameters).sort(([a], [b]) => compareText(a, b));
  if (declared.length === 0 && undeclaredQuery === "keep") return { classes: [] };
  const before = reader.findings.length;
  const say = (key: string, message: string, fix: string): void => {
    reader.findings.push(errorAt(spotOf(reader.tree, [...at, "parameters", key]), message, fix));
  };
  if (declared.length > parametersMax)
    say(declared[0]?.[0] ?? "", `more than ${parametersMax} parameters`, "declare those that matter");
  const places: Record<ParameterPlace, Record<string, unknown>> = { path: {}, query: {}, header: {} };
  const required: Record<ParameterPlace, string[]> = { path: [], query: [], header: [] };
  const fields = declared.flatMap(([key, one]): ParameterField[] => {
    const place = placeOfParameter(key);
    reader.findings.push(
      ...refuseSource(
        spotOf(reader.tree, [...at, "parameters", key], "key"),
        { from: place.in, name: place.name },
        carried,
      ),
    );
    if (Object.hasOwn(places[place.in], place.name)) say(key, "the parameter is declared twice", "keep one");
    places[place.in][place.name] = one.schema;
    if (one.required || place.in === "path") required[place.in].push(place.name);
    const field = fieldOf(place, one);
    if (!("refused" in field)) return [field];
    say(key, field.refused, field.fix);
    return [];
  });
  const read = readBodySchema(wholeSchema(places, required));
  if ("message" in read) {
    const [, place, , name, ...rest] = read.path;
    const key = declared.find(
      ([one]) => placeOfParameter(one).in === place && placeOfParameter(one).name === name,
    )?.[0];
    const where = key === undefined ? [...at, "parameters"] : [...at, "parameters", key, "schema", ...rest];
    reader.findings.push(errorAt(spotOf(reader.tree, where), read.message, read.fix));
    return { classes: [] };
  }
  if (reader.findings.length > before) return { classes: [] };
  return { parameters: { fields, schema: read.schema, undeclaredQuery }, classes: read.classes };
}

function wholeSchema(
  places: Readonly<Record<ParameterPlace, Readonly<Record<string, unknown>>>>,
  required: Readonly<Record<ParameterPlace, readonly string[]>>,
): object {
  const member = (place: ParameterPlace) => ({
    type: "object",
    properties: places[place],
    ...(required[place].length === 0 ? {} : { required: required[place] }),
  });
  return { type: "object", properties: { path: member("path"), query: member("query"), header: member("header") } };
}

type Refused = { readonly refused: string; readonly fix: string };

function fieldOf(
  place: { readonly in: ParameterPlace; readonly name: string },
  one: Declared,
): ParameterField | Refused {
  const type = valueTypeOf(one.schema);
  if (type === "array") {
    const item = itemTypeOf(one.schema);
    if (item === null)
      return {
        refused: "a list whose items have no plain `type`",
        fix: "write `items: { type: string }`, or another type",
      };
    const list = one.list ?? (place.in === "query" ? "repeated" : "commas");
    if (list === "repeated" && place.in !== "query")
      return { refused: "only parameters of the query are repeated", fix: "write `list: commas`" };
    return { ...place, type: item, list };
  }
  if (type === null)
    return {
      refused: "its schema does not say which one type the value has",
      fix: "write `type: string`, `integer`, `number`, `boolean` or `array`",
    };
  return one.list === undefined ? { ...place, type } : { refused: "`list` of what is no `array`", fix: "remove it" };
}
