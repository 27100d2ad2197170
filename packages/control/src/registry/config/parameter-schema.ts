// Promises the keys by which an operation says what parameters of its requests may be. Trusts nothing. What they do: docs/inspection.md "Parameters".
import type { ParameterPlace } from "@sallyport/protocol/snapshot/parameter-rule.ts";
import { z } from "zod";
import { attributeFrom, word } from "./words.ts";

export const parametersMax = 128;

/** `query:limit`, `path:id`, `header:X-Region`: the place as attributes name it, and as it is written. */
const parameterName = () =>
  word((text) => {
    const read = attributeFrom().safeParse(text);
    const place = read.success && isPlace(read.data.from) ? read.data : null;
    return place === null || place.name === "__proto__"
      ? { refused: "not a parameter", fix: "write `path:<name>`, `query:<name>` or `header:<name>`" }
      : { value: text };
  });

function isPlace(from: string): from is ParameterPlace {
  return from === "path" || from === "query" || from === "header";
}

const parameter = z.strictObject({
  required: z
    .boolean()
    .prefault(false)
    .describe("Whether a request must have it; parameters of the path it always has."),
  schema: z
    .record(z.string(), z.unknown())
    .describe(
      "JSON Schema of the value: a text, a whole number, a number, true or false, or an `array` of one of these.",
    ),
  list: z
    .enum(["repeated", "commas"])
    .optional()
    .describe(
      "How an `array` is written: each value as a parameter of its own (`repeated`, only of the query, and its default), or with commas.",
    ),
});

export const parameterKeys = {
  parameters: z
    .record(parameterName(), parameter)
    .prefault({})
    .describe(
      "What parameters may be, by `path:<name>`, `query:<name>` and `header:<name>`; others are for the provider to check.",
    ),
  undeclaredQuery: z
    .enum(["keep", "refuse"])
    .prefault("keep")
    .describe("Whether a request may have query parameters that `parameters` does not name."),
};

/** The place and name in a key that `parameterName` accepted. */
export function placeOfParameter(key: string): { readonly in: ParameterPlace; readonly name: string } {
  const read = attributeFrom().parse(key);
  if (!isPlace(read.from)) throw new Error(`${key} is no parameter`);
  return { in: read.from, name: read.name };
}
