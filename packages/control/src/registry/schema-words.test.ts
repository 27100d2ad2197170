// What a plan says of schemas that change: every change that decides something stands in a sentence, and none that is not there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load, soundEstate } from "./config/sound-estate.ts";
import { saidMax, schemaDifferences } from "./schema-differences.ts";
import { schemaChanges } from "./schema-words.ts";

const base = {
  type: "object",
  required: ["id"],
  properties: {
    id: { type: "string", maxLength: 36 },
    state: { enum: ["open", "paid"] },
    lines: { type: "array", items: { $ref: "#/$defs/Line" } },
  },
  $defs: {
    Line: { type: "object", properties: { amount: { type: "integer", maximum: 100 }, next: { $ref: "#/$defs/Line" } } },
  },
};
const line = (properties: object) => ({
  ...base,
  $defs: { Line: { type: "object", properties: { ...base.$defs.Line.properties, ...properties } } },
});

test("one change is one sentence, at its place", () => {
  for (const [after, says] of [
    [{ ...base, required: ["id", "state"] }, "$: requires `state`"],
    [{ ...base, required: [] }, "$: requires `id` no more"],
    [{ ...base, properties: { ...base.properties, note: {} } }, "$: knows `note`"],
    [{ ...base, additionalProperties: false }, "$: refuses other members"],
    [
      { ...base, properties: { ...base.properties, id: { type: "string", maxLength: 40 } } },
      "$.id: `maxLength` is 40, was 36",
    ],
    [
      { ...base, properties: { ...base.properties, id: { type: "integer", maxLength: 36 } } },
      '$.id: `type` is "integer", was "string"',
    ],
    [
      { ...base, properties: { ...base.properties, state: { enum: ["open", "void"] } } },
      '$.state: takes also "void", and "paid" no more',
    ],
    [line({ amount: { type: "integer" } }), "$.lines[*].amount: `maximum` is said no more, was 100"],
    [line({ amount: { type: "integer", maximum: 100, pattern: "a" } }), '$.lines[*].amount: `pattern` is "a"'],
    [{ ...base, properties: { ...base.properties, lines: { type: "array" } } }, "$.lines: its items may be anything"],
    [{ ...base, anyOf: [{}] }, "$: `anyOf` has 1 alternatives, had 0"],
  ] as const)
    assert.deepEqual(schemaDifferences(base, after), [says]);
  assert.deepEqual(schemaDifferences({ anyOf: [{ minimum: 1 }] }, { anyOf: [{ minimum: 2 }] }), [
    "$: `minimum` is 2, was 1",
  ]);
  assert.deepEqual(schemaDifferences({ not: { minimum: 1 } }, { not: { minimum: 2 } }), [
    '$: `not` is {"minimum":2}, was {"minimum":1}',
  ]);
});

test("the order of members and the names of definitions are no change; a definition that moved says nothing of values", () => {
  const { $defs, ...rest } = base;
  assert.deepEqual(schemaDifferences(base, { $defs, ...rest }), []);
  const renamed = JSON.parse(JSON.stringify(base).replaceAll("Line", "Row"));
  assert.deepEqual(schemaDifferences(base, renamed), ["rules differ that are not told apart here"]);
});

test("attack: schemas that refer to themselves, are deep, or differ everywhere are compared in bounded words", () => {
  const ring = (maximum: number) => ({
    $ref: "#/$defs/A",
    $defs: {
      A: { properties: { a: { $ref: "#/$defs/B" }, b: { $ref: "#/$defs/A" } } },
      B: { maximum, properties: { a: { $ref: "#/$defs/A" } } },
    },
  });
  assert.deepEqual(schemaDifferences(ring(1), ring(2)), ["$.a: `maximum` is 2, was 1"]);
  const wide = (type: string) => ({
    properties: Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`m${n}`, { type }])),
  });
  const said = schemaDifferences(wide("string"), wide("integer"));
  assert.equal(said.length, saidMax + 1);
  assert.match(said.at(-1) ?? "", /^and \d+ more$/);
  const deep = (leaf: object): object =>
    Array.from({ length: 60 }).reduce<object>((inner) => ({ properties: { a: inner } }), leaf);
  assert.deepEqual(schemaDifferences(deep({ minimum: 1 }), deep({ minimum: 2 })), [
    "rules differ that are not told apart here",
  ]);
});

test("a plan names operation and part of whatever changes, also where a schema comes or goes", () => {
  const estate = (operation: string) =>
    load({
      ...soundEstate(),
      "systems/billing.yaml": `system: billing\nurl: https://billing.example\noperations:\n  invoice.read: GET /v1/invoices/{id}\n  invoice.create:\n    match: POST /v1/invoices\n${operation}`,
    }).estate.environments;
  const body = (schema: string) => `    body: { schema: ${schema} }\n`;
  const limit = (maximum: number) =>
    `    parameters: { 'query:limit': { schema: { type: integer, maximum: ${maximum} } } }\n`;
  assert.deepEqual(schemaChanges(estate(body("{ minimum: 1 }")), estate(body("{ minimum: 1 }"))), []);
  const at = { environment: "production", operation: "billing:invoice.create" };
  assert.deepEqual(
    schemaChanges(estate(body("{ minimum: 1 }") + limit(5)), estate(body("{ minimum: 2 }") + limit(9))),
    [
      { ...at, part: "body", says: ["$: `minimum` is 2, was 1"] },
      { ...at, part: "parameters", says: ["$.query.limit: `maximum` is 9, was 5"] },
    ],
  );
  assert.deepEqual(schemaChanges(estate(""), estate('    response: { statuses: { "404": { type: object } } }\n')), [
    { ...at, part: "answer 404", says: ["is held against a schema"] },
  ]);
  assert.deepEqual(schemaChanges(estate(body("{ minimum: 1 }")), estate("")), [
    { ...at, part: "body", says: ["is held against no schema any more"] },
  ]);
  assert.deepEqual(schemaChanges([], estate(body("{ minimum: 1 }"))), []);
});
