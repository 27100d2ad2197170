import assert from "node:assert/strict";
import { test } from "node:test";
import { createSchemaSet, SchemaFault } from "./schema.ts";

function setOf(schemas: Readonly<Record<string, object>>) {
  return createSchemaSet((id) => (schemas[id] === undefined ? undefined : JSON.stringify(schemas[id])));
}

/** Schemas of a ring: each reaches all of it, from another place. */
function ring(count: number): Readonly<Record<string, object>> {
  const $defs = Object.fromEntries(
    Array.from({ length: count }, (_, at) => [
      `part${at}`,
      {
        type: "object",
        required: ["id"],
        properties: { id: { type: "integer", minimum: at }, next: { $ref: `#/$defs/part${(at + 1) % count}` } },
      },
    ]),
  );
  return Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`schema${at}`, { $ref: `#/$defs/part${at}`, $defs }]),
  );
}

test("schemas that share definitions judge as each would alone, and say places of their own schema", () => {
  const set = setOf(ring(3));
  const body = (a: number, b: number, c: number) => ({ id: a, next: { id: b, next: { id: c } } });
  assert.deepEqual(set.check("schema0", body(0, 1, 2)), { valid: true, why: "" });
  assert.deepEqual(set.check("schema1", body(1, 2, 0)), { valid: true, why: "" });
  assert.equal(set.check("schema1", body(0, 2, 0)).valid, false);
  assert.equal(set.check("schema2", body(2, 0, 0)).valid, false);
  const simple = { $ref: "#/$defs/name", $defs: { name: { type: "string" } } };
  assert.deepEqual(setOf({ simple }).check("simple", 1), {
    valid: false,
    why: "#/$defs/name/type: type",
    says: "it must be string",
  });
});

test("what does not match is said by the names of the schema, never by those that the caller chose", () => {
  const line = { type: "object", properties: { "a/b": { type: "integer", maximum: 9 } }, additionalProperties: false };
  const order = {
    type: "object",
    required: ["lines"],
    properties: {
      lines: { type: "array", items: line },
      more: { type: "object", additionalProperties: { type: "string" } },
    },
  };
  const says = (value: unknown) => setOf({ order }).check("order", value).says;
  assert.equal(says({ lines: [{ "a/b": 10 }] }), "$.lines[*].a/b must be <= 9");
  assert.equal(says({}), "$ must have required property 'lines'");
  assert.equal(says({ lines: [{ "secret-name": 1 }] }), "$.lines[*] must NOT have additional properties");
  assert.equal(says({ lines: [], more: { "secret-name": 1 } }), "it must be string");
});

test("two schemas whose definitions have one name and say different things stay apart", () => {
  const named = (type: string) => ({ $ref: "#/$defs/id", $defs: { id: { type, not: { const: "" } } } });
  const set = setOf({ text: named("string"), number: named("number") });
  assert.equal(set.check("text", "a").valid, true);
  assert.equal(set.check("number", "a").valid, false);
  assert.equal(set.check("number", 1).valid, true);
  assert.equal(set.check("text", 1).valid, false);
});

test("stopped gateway: 200 schemas of one ring of 200 definitions compile each definition once", () => {
  const count = 200;
  const set = setOf(ring(count));
  const before = process.cpuUsage();
  for (let at = 0; at < count; at += 1) assert.equal(set.check(`schema${at}`, { id: at }).valid, true);
  const { user, system } = process.cpuUsage(before);
  const seconds = (user + system) / 1e6;
  // Alone each of them takes some 0.2 s.
  assert.ok(seconds < 15, `${seconds} s of processor time`);
});

test("a schema that does not compile is a fault each time, and takes none of its neighbours with it", () => {
  const $defs = { name: { type: "string" } };
  const set = setOf({
    good: { $ref: "#/$defs/name", $defs },
    bad: { allOf: [{ $ref: "#/$defs/name" }, { type: "no such type" }], $defs },
    other: { type: "array", items: { $ref: "#/$defs/name" }, $defs },
  });
  assert.equal(set.check("good", "a").valid, true);
  for (let time = 0; time < 2; time += 1) assert.throws(() => set.check("bad", "a"), SchemaFault);
  assert.equal(set.check("good", 1).valid, false);
  assert.equal(set.check("other", [1]).valid, false);
  assert.equal(set.check("other", ["a"]).valid, true);
});

test("foreign schema: what one schema names is not known to the next, also by the id a shared definition has", () => {
  const set = setOf({
    named: { $id: "https://a.example/a", $defs: { name: { type: "string" } }, $ref: "#/$defs/name" },
    thief: { $ref: "https://a.example/a" },
  });
  assert.equal(set.check("named", "a").valid, true);
  assert.throws(() => set.check("thief", "a"), SchemaFault);
});
