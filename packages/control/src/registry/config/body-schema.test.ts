// Schemas with which one granted caller could stop a gateway by one body.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readBodySchema } from "./body-schema.ts";

const refused: readonly [string, unknown, RegExp][] = [
  ["`uniqueItems` without a bound", { type: "array", uniqueItems: true }, /uniqueItems/],
  ["`uniqueItems` with a high bound", { type: "array", uniqueItems: true, maxItems: 257 }, /uniqueItems/],
  ["`uniqueItems` under `$defs`", { $defs: { a: { type: "array", uniqueItems: true } } }, /uniqueItems/],
  [
    "`uniqueItems` under `dependencies`",
    { type: "object", dependencies: { a: { type: "array", uniqueItems: true } } },
    /uniqueItems/,
  ],
  ["a pattern that backtracks", { type: "string", maxLength: 64, pattern: "^(a+)+$" }, /could stop a gateway/],
  ["a pattern without a bound", { type: "string", pattern: "^a$" }, /nothing bounds/],
  ["a pattern for names without a bound", { type: "object", patternProperties: { "^a$": true } }, /nothing bounds/],
  [
    "a pattern for names that backtracks",
    { type: "object", propertyNames: { maxLength: 20 }, patternProperties: { "^(a|a)*$": true } },
    /could stop a gateway/,
  ],
  ["a schema hidden in data", { $ref: "#/default", default: { type: "array", uniqueItems: true } }, /no schema here/],
  ["a format that backtracks", { type: "string", format: "url" }, /bounded time/],
  ["a format that compiles what is sent", { type: "string", format: "regex" }, /bounded time/],
];
for (const [name, schema, message] of refused) {
  test(`stopped gateway: ${name} is refused with a fix`, () => {
    const read = readBodySchema(schema);
    assert.ok("message" in read);
    assert.match(read.message, message);
    assert.notEqual(read.fix, "");
  });
}

test("bounded `uniqueItems`, patterns and formats remain", () => {
  const schema = {
    type: "object",
    properties: {
      lines: { type: "array", uniqueItems: true, maxItems: 256, items: { $ref: "#/$defs/line" } },
      at: { type: "string", format: "date-time" },
    },
    propertyNames: { maxLength: 40 },
    patternProperties: { "^x-[a-z]+$": { type: "string" } },
    $defs: { line: { type: "string", maxLength: 20, pattern: "^[a-z]{1,20}$" } },
  };
  assert.ok("schema" in readBodySchema(schema));
});

test("a schema of another dialect is a finding at `$schema`, and never an end of the load", () => {
  for (const dialect of ["http://json-schema.org/draft-07/schema#", 5, null]) {
    const read = readBodySchema({ $schema: dialect, type: "object" });
    assert.ok("message" in read);
    assert.deepEqual(read.path, ["$schema"]);
  }
  assert.ok("schema" in readBodySchema({ $schema: "https://json-schema.org/draft/2020-12/schema", type: "object" }));
});

test("a schema that was found right does not vouch for the next one", () => {
  assert.ok("schema" in readBodySchema({ $id: "https://acme.example/a", type: "object" }));
  assert.ok("schema" in readBodySchema({ $id: "https://acme.example/a", type: "string" }));
  assert.ok("message" in readBodySchema({ $ref: "https://acme.example/a" }));
  assert.ok("message" in readBodySchema({ $id: "https://acme.example/a", type: "object", nonsense: 1 }));
});
