import assert from "node:assert/strict";
import { test } from "node:test";
import { placeInSchema, type SharedSchema, shareDefinitions } from "./shared-definitions.ts";

const line = { type: "object", properties: { part: { $ref: "#/$defs/part" } } };
const part = { type: "string" };

function shared(schema: object): SharedSchema {
  const parts = shareDefinitions(schema);
  assert.ok(parts !== null);
  return parts;
}

function idOf(schema: object, name: string): string | undefined {
  return shared(schema).definitions.find(({ id }) => id.endsWith(`/${name}`))?.id;
}

test("equal definitions have equal ids in different schemas, each after those it refers to", () => {
  const one = { $ref: "#/$defs/line", $defs: { line, part } };
  const two = { type: "array", items: { $ref: "#/$defs/line" }, $defs: { line, part, other: { type: "null" } } };
  assert.equal(idOf(one, "line"), idOf(two, "line"));
  assert.deepEqual(
    shared(one).definitions.map(({ id }) => placeInSchema(id)),
    ["#/$defs/part", "#/$defs/line"],
  );
  assert.deepEqual(shared(one).root, { $ref: idOf(one, "line") });
  assert.equal(shared(one).hasUnused, false);
  assert.equal(shared(two).hasUnused, true);
});

test("a definition that says something else has another id, and so has what refers to it, through a circle too", () => {
  const ring = (type: string) => ({
    $ref: "#/$defs/a",
    $defs: {
      a: { properties: { next: { $ref: "#/$defs/b" } } },
      b: { properties: { next: { $ref: "#/$defs/a" }, leaf: { $ref: "#/$defs/c" } } },
      c: { type },
    },
  });
  for (const name of ["a", "b", "c"]) {
    assert.equal(idOf(ring("string"), name), idOf(ring("string"), name));
    assert.notEqual(idOf(ring("string"), name), idOf(ring("number"), name));
  }
});

test("which way round a circle goes changes its ids: two members never stand for each other", () => {
  const ring = (first: string, second: string) => ({
    $ref: "#/$defs/a",
    $defs: {
      a: { type: "object", properties: { [first]: { $ref: "#/$defs/b" } } },
      b: { type: "object", properties: { [second]: { $ref: "#/$defs/a" } } },
    },
  });
  assert.notEqual(idOf(ring("x", "y"), "a"), idOf(ring("y", "x"), "a"));
  assert.notEqual(idOf(ring("x", "x"), "a"), idOf(ring("x", "x"), "b"));
});

const whole: readonly [string, object][] = [
  ["no definitions", { type: "object" }],
  ["an `$id`", { $ref: "#/$defs/a", $defs: { a: { $id: "https://a.example" } } }],
  ["an anchor", { $ref: "#/$defs/a", $defs: { a: { $anchor: "here" } } }],
  ["a dynamic reference", { $ref: "#/$defs/a", $defs: { a: { $dynamicRef: "#/$defs/a" } } }],
  ["a reference into a definition", { $ref: "#/$defs/a/properties/b", $defs: { a: { properties: { b: {} } } } }],
  ["a reference to the whole", { $ref: "#/$defs/a", $defs: { a: { items: { $ref: "#" } } } }],
  ["definitions in a definition", { $ref: "#/$defs/a", $defs: { a: { $defs: { b: {} } } } }],
  ["a reference to nothing", { $ref: "#/$defs/b", $defs: { a: {} } }],
  ["a reference by the id of another schema's", { $ref: `def:${"0".repeat(64)}/a`, $defs: { a: {} } }],
];
for (const [name, schema] of whole)
  test(`a schema with ${name} is used whole`, () => {
    assert.equal(shareDefinitions(schema), null);
  });

test("data that looks like a reference stays data, and members may have any name", () => {
  const schema = {
    $ref: "#/$defs/a",
    $defs: {
      a: {
        const: { $ref: "#/$defs/a" },
        properties: { $ref: { type: "string" }, $id: { type: "string" }, const: { $ref: "#/$defs/b" } },
      },
      b: { enum: [{ $id: "x" }] },
    },
  };
  const [b, a] = shared(schema).definitions;
  assert.deepEqual(b?.schema, { enum: [{ $id: "x" }] });
  assert.deepEqual(a?.schema, {
    const: { $ref: "#/$defs/a" },
    properties: { $ref: { type: "string" }, $id: { type: "string" }, const: { $ref: b?.id } },
  });
});

test("a chain of 2,000 definitions is taken apart without a deep stack", () => {
  const $defs = Object.fromEntries(
    Array.from({ length: 2_000 }, (_, at) => [`d${at}`, at === 1_999 ? {} : { items: { $ref: `#/$defs/d${at + 1}` } }]),
  );
  const { definitions } = shared({ $ref: "#/$defs/d0", $defs });
  assert.equal(definitions.length, 2_000);
  assert.match(definitions[0]?.id ?? "", /\/d1999$/);
});
