// What a schema lets be kept: what it declares and does not label, and nothing that cannot be told.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import { projectValue } from "@sallyport/protocol/snapshot/project-value.ts";
import { projectSchema } from "./project-schema.ts";

function kept(schema: unknown, value: unknown, drop: readonly DataClass[] = ["secret", "payment"]): unknown {
  const projected = projectSchema(schema, new Set(drop));
  assert.ok("projection" in projected, JSON.stringify(projected));
  // As it travels: in a signed blob.
  return projectValue(JSON.parse(JSON.stringify(projected.projection)), value);
}

const secret = { type: "string", "x-data-class": "secret" };
const text = { type: "string" };

test("declared fields are kept as they are, labelled ones go with everything below them, undeclared ones go", () => {
  const schema = {
    type: "object",
    properties: {
      id: text,
      amount: { type: "number" },
      token: secret,
      card: { type: "object", "x-data-class": ["pii", "payment"], properties: { holder: text } },
      lines: { type: "array", items: { type: "object", properties: { sku: text, pin: secret } } },
      customer: { type: "object", properties: { name: { type: "string", "x-data-class": "pii" } } },
    },
  };
  const value = {
    id: "in-1",
    amount: 1.5,
    token: "canary-a",
    card: { holder: "canary-b" },
    lines: [{ sku: "a", pin: "canary-c", note: "canary-d" }, "b", null],
    customer: { name: "Ada", phone: "canary-e" },
    extra: "canary-f",
    constructor: "canary-g",
  };
  assert.deepEqual(kept(schema, value), {
    id: "in-1",
    amount: 1.5,
    lines: [{ sku: "a" }, null],
    customer: { name: "Ada" },
  });
  assert.deepEqual(kept(schema, value, ["secret", "payment", "pii"]), {
    id: "in-1",
    amount: 1.5,
    lines: [{ sku: "a" }, null],
    customer: {},
  });
});

test("attack: an object or a list where the schema says text is a way in for fields nobody declared: nothing of it is kept", () => {
  const schema = { properties: { note: text } };
  assert.deepEqual(kept(schema, { note: { card: "canary" } }), { note: {} });
  assert.deepEqual(kept(schema, { note: ["canary", { card: "canary" }] }), { note: [] });
  assert.deepEqual(kept(schema, [{ note: "canary" }]), []);
});

test("attack: a text where the schema says object or list carries labelled fields past their labels: nothing of it is kept", () => {
  const card = { type: "object", properties: { holder: text, number: secret } };
  const said = "holder=Ada;number=canary";
  const ways: readonly object[] = [
    { type: "object", properties: { card } },
    { properties: { card: { properties: card.properties } } },
    { properties: { card: { allOf: [card] } } },
    { properties: { card: { type: ["object", "null"], properties: card.properties } } },
    { properties: { card: { type: "array", items: card } } },
    { additionalProperties: card },
    { $defs: { card }, properties: { card: { $ref: "#/$defs/card" } } },
  ];
  for (const schema of ways)
    for (const value of [said, [said], [[said]], 4111111111111111, true])
      assert.doesNotMatch(
        JSON.stringify([kept(schema, { card: value }), kept(schema, value)]),
        /canary|4111|true/,
        JSON.stringify([schema, value]),
      );
  assert.equal(kept({ type: "object", properties: { card } }, said), null);
  assert.deepEqual(kept({ properties: { card } }, { card: null }), { card: null });
});

test("a text is kept where the schema declares one beside an object or a list", () => {
  for (const card of [
    { type: ["string", "object"], properties: { holder: text } },
    { oneOf: [text, { type: "object", properties: { holder: text } }] },
    { description: "whatever it is" },
  ])
    assert.deepEqual(kept({ properties: { card } }, { card: "a" }), { card: "a" }, JSON.stringify(card));
});

test("a label counts wherever the schema has it: behind a reference, in a branch, under a pattern, in a condition, beside a plain declaration", () => {
  const $defs = { pin: secret, plain: text };
  const ways: readonly object[] = [
    { $defs, properties: { x: { $ref: "#/$defs/pin" } } },
    { $defs, properties: { x: { $ref: "#/$defs/plain", "x-data-class": "secret" } } },
    { properties: { x: text }, allOf: [{ properties: { x: secret } }] },
    { anyOf: [{ properties: { x: text } }, { properties: { x: secret } }] },
    { oneOf: [{ properties: { x: text } }, { properties: { x: { oneOf: [text, secret] } } }] },
    { properties: { x: text }, patternProperties: { "^x": secret } },
    JSON.parse('{"properties":{"x":{}},"if":{"required":["y"]},"then":{"properties":{"x":{"x-data-class":"secret"}}}}'),
    { properties: { x: text }, else: { properties: { x: secret } } },
    { properties: { x: text }, if: { properties: { x: secret } } },
    ...["allOf", "anyOf", "oneOf"].map((word) => ({
      properties: { x: text },
      [word]: [{ properties: { x: secret } }],
    })),
    { properties: { x: text }, dependentSchemas: { y: { properties: { x: secret } } } },
    { allOf: [{ properties: { x: text } }, { additionalProperties: secret }] },
    { properties: { x: { type: ["string", "array"], items: text, contains: secret } } },
  ];
  for (const schema of ways)
    assert.deepEqual(
      [kept(schema, { x: "canary" }), kept(schema, { x: ["canary"] })].map((one) =>
        JSON.stringify(one).includes("canary"),
      ),
      [JSON.stringify(schema).includes("contains"), false],
      JSON.stringify(schema),
    );
});

test("names that no property declares are kept where every other name is declared, or only those of patterns may stand", () => {
  assert.deepEqual(kept({ additionalProperties: text }, { a: "b", c: "d" }), { a: "b", c: "d" });
  assert.deepEqual(kept({ additionalProperties: secret, properties: { a: text } }, { a: "b", c: "d" }), { a: "b" });
  assert.deepEqual(kept({ additionalProperties: true }, { a: "b" }), {});
  assert.deepEqual(kept({ patternProperties: { "^x-": text } }, { "x-a": "b", y: "canary" }), {});
  const closed = { patternProperties: { "^x-": text }, additionalProperties: false };
  assert.deepEqual(kept(closed, { "x-a": "b" }), { "x-a": "b" });
  assert.deepEqual(kept({ ...closed, patternProperties: { "^x-": text, "^y-": secret } }, { "x-a": "b" }), {});
});

test("what cannot be told is dropped: a reference by id or anchor, a dynamic one, a tuple", () => {
  for (const x of [
    { $ref: "#named" },
    { $ref: "https://acme.example/a" },
    { $ref: "#/$defs/none" },
    { $ref: "#/$defs/own/properties/y" },
    { $ref: "#/$defs/per%63ent" },
    { allOf: Array.from({ length: 600 }, (_, n) => ({ ...text, maxLength: n })) },
    { $dynamicRef: "#/$defs/plain" },
  ]) {
    const $defs = {
      plain: { ...text, $anchor: "named" },
      "per%63ent": text,
      own: { $id: "https://acme.example/b", properties: { y: text } },
    };
    assert.deepEqual(
      kept({ $defs, properties: { x, y: text } }, { x: "canary", y: "z" }),
      { y: "z" },
      JSON.stringify(x),
    );
  }
  assert.deepEqual(kept({ properties: { x: { prefixItems: [text, secret] } } }, { x: ["a", "canary"] }), { x: [] });
});

test("a pointer is read as RFC 6901 escapes it: what it leads to is what counts", () => {
  const $defs = { "a/b~c": text, "a~1b~0c": secret };
  assert.deepEqual(kept({ $defs, properties: { x: { $ref: "#/$defs/a~1b~0c" } } }, { x: "b" }), { x: "b" });
  const tilde = { "~1": text, "/": secret };
  assert.deepEqual(kept({ $defs: tilde, properties: { x: { $ref: "#/$defs/~01" } } }, { x: "b" }), { x: "b" });
});

test("a schema that leads back to itself is a place of its own, and its labels hold at every depth", () => {
  const schema = {
    $ref: "#/$defs/node",
    $defs: {
      node: { properties: { name: text, pin: secret, next: { $ref: "#/$defs/node" }, all: { items: { $ref: "#" } } } },
    },
  };
  const value = { name: "a", pin: "canary", next: { name: "b", pin: "canary", all: [{ name: "c", pin: "canary" }] } };
  assert.deepEqual(kept(schema, value), { name: "a", next: { name: "b", all: [{ name: "c" }] } });
  const projected = projectSchema(schema, new Set<DataClass>(["secret"]));
  assert.ok("projection" in projected && projected.projection.length <= 8);
});

test("a schema of which nothing would be left, or with more places than are told apart, is refused in words", () => {
  assert.match(
    JSON.stringify(projectSchema(secret, new Set<DataClass>(["secret"]))),
    /everything in it would be dropped/,
  );
  const wide = {
    properties: Object.fromEntries(
      Array.from({ length: 3_000 }, (_, n) => [`p${n}`, { type: "string", maxLength: n }]),
    ),
  };
  assert.match(JSON.stringify(projectSchema(wide, new Set<DataClass>())), /more than 2048 places/);
});
