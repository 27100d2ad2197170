// Holds the quick judgement of plain schemas against ajv's, over schemas made of keywords with values that fit them more or less.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formats, refuseUncompilable } from "./body-schema.ts";
import { isPlainSchema } from "./plain-schema.ts";

const values: readonly unknown[] = [
  ...[
    "string",
    "object",
    "array",
    "integer",
    "null",
    "text",
    "",
    "date",
    "uuid",
    "email",
    "regex",
    "^a+$",
    "(",
    "\\p{L}",
    "\\u",
    "[a-\\d]",
  ],
  ...[
    0,
    1,
    -1,
    1.5,
    1e300,
    2 ** 60,
    true,
    false,
    null,
    [],
    {},
    [1, 1],
    ["a", "a"],
    ["string", "null"],
    ["string", "text"],
  ],
  ...[
    ["a"],
    [true],
    [{}],
    [[]],
    [1, "1", null, 1.5],
    { a: true },
    { a: { type: "string" } },
    { a: { type: "text" } },
    { a: 1 },
  ],
  ...[
    { type: "array", items: { enum: ["a"] } },
    { enum: [] },
    { $ref: "#" },
    { pattern: "(" },
    { nullable: true, type: "string" },
  ],
];
const names = [
  ...[
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
  ],
  ...[
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
  ],
  ...["uniqueItems", "pattern", "format", "title", "description", "deprecated", "readOnly", "writeOnly"],
];
const others = [
  "$ref",
  "$id",
  "$schema",
  "if",
  "not",
  "nullable",
  "contains",
  "patternProperties",
  "prefixItems",
  "default",
  "dependencies",
  "x-a",
];

/** Of a plain schema ajv must find nothing to refuse. */
function assertTaken(schema: object): boolean {
  if (!isPlainSchema(schema, formats)) return false;
  assert.equal(refuseUncompilable(schema), null, `ajv refuses ${JSON.stringify(schema)}`);
  return true;
}

test("what is called a plain schema is one that ajv takes: every keyword with every value, alone and inside of another schema", () => {
  let taken = 0;
  for (const name of [...names, ...others])
    for (const value of values)
      for (const schema of [{ [name]: value }, { type: "object", properties: { b: { [name]: value } } }])
        if (assertTaken(schema)) taken += 1;
  assert.ok(taken > names.length, `${taken} were plain`);
});

test("what is called a plain schema is one that ajv takes: keywords together", () => {
  let state = 11;
  const of = <T>(choices: readonly T[]): T | undefined => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return choices[Math.floor((state / 2 ** 32) * choices.length)];
  };
  const fitting = names.map(
    (name) => [name, values.filter((value) => isPlainSchema({ [name]: value }, formats))] as const,
  );
  const made = (): Record<string, unknown> =>
    Object.fromEntries(
      [1, 2, 3, 4].map(() => of(fitting) ?? (["title", []] as const)).map(([name, fits]) => [name, of(fits)]),
    );
  let taken = 0;
  for (let round = 0; round < 300; round += 1)
    if (assertTaken({ ...made(), properties: { a: made(), b: { items: made() } } })) taken += 1;
  assert.ok(taken > 100, `${taken} were plain`);
});

test("what needs more than a look at one keyword is left to ajv", () => {
  for (const schema of [
    { $ref: "#/$defs/a" },
    { nullable: true },
    { format: "email" },
    { type: "text" },
    { pattern: "(" },
    { enum: [] },
  ])
    assert.equal(isPlainSchema({ properties: { a: schema } }, formats), false, JSON.stringify(schema));
});
