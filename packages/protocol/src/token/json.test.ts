import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseJsonObject, parseJsonText, utf8, withUtf8 } from "./json.ts";

test("a name that is said twice is refused: at any depth, in arrays, spelt in another way, whatever its values are", () => {
  for (const text of [
    '{"iss":1,"iss":1}',
    '{"iss":1,"\\u0069ss":2}',
    '{"a":{"b":1,"b":2}}',
    '{"a":[{"b":1},{"b":1,"b":1}]}',
    '{"a":{"x":1,"y":2},"a":{"x":1}}',
    '{"a":1,"b":{"c":[]},"a":[[":",{"d":1}]]}',
    '{"":1,"":2}',
    '{"1":1,"1":2}',
    '{"a\\"":1,"a\\"":2}',
  ])
    assert.equal(parseJsonText(text), null, text);
});

test("a colon, a quote or a brace within a text is no member; equal names in different objects are two", () => {
  for (const text of [
    '{"a":"b:c","d:e":"\\":{\\"","f":"\\\\"}',
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
    '{"\\\\":":","x":"\\\\\\":"}',
    '{ "a" : "https://id.example:8443/x" , "b" : [ 1 , ":" ] }',
    "{}",
  ])
    assert.deepEqual(parseJsonText(text), JSON.parse(text), text);
});

test("a second member cannot hide behind one that is missing elsewhere: no text is both short of a name and over", () => {
  // Each object is built as text with known repetitions; JSON.parse alone would take them all.
  const name = fc.constantFrom("a", "b", "iss", "a:b", 'q"', "__proto_", "0");
  const value = fc.letrec<{ value: { text: string; twice: boolean } }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc
        .oneof(fc.string(), fc.integer(), fc.constant(null), fc.boolean())
        .map((one) => ({ text: JSON.stringify(one), twice: false })),
      fc.array(tie("value"), { maxLength: 3 }).map((all) => ({
        text: `[${all.map(({ text }) => text).join(",")}]`,
        twice: all.some(({ twice }) => twice),
      })),
      fc.array(fc.tuple(name, tie("value")), { maxLength: 4 }).map((members) => ({
        text: `{${members.map(([key, { text }]) => `${JSON.stringify(key)}:${text}`).join(",")}}`,
        twice: new Set(members.map(([key]) => key)).size < members.length || members.some(([, { twice }]) => twice),
      })),
    ),
  })).value;
  fc.assert(
    fc.property(value, ({ text, twice }) => {
      const whole = `{"in":${text}}`;
      assert.deepEqual(parseJsonText(whole), twice ? null : JSON.parse(whole));
    }),
    { numRuns: 2_000, seed: 20261130 },
  );
});

test("__proto__ is refused as a name at any depth, however it is spelt, and is an ordinary value", () => {
  for (const text of ['{"__proto__":1}', '{"a":[{"\\u005f_proto__":{}}]}', '{"a":{"__proto__":{"b":1}}}'])
    assert.equal(parseJsonText(text), null, text);
  assert.deepEqual(parseJsonText('{"a":"__proto__"}'), { a: "__proto__" });
});

test("twelve levels are the most there may be, of objects and arrays alike, wherever they are", () => {
  const nested = (levels: number, open: string, close: string) =>
    `{"a":${open.repeat(levels - 1)}1${close.repeat(levels - 1)}}`;
  assert.notEqual(parseJsonText(nested(12, "[", "]")), null);
  assert.equal(parseJsonText(nested(13, "[", "]")), null);
  assert.notEqual(parseJsonText(nested(12, '{"b":', "}")), null);
  assert.equal(parseJsonText(nested(13, '{"b":', "}")), null);
  assert.equal(parseJsonText(`{"a":${"[".repeat(12)}${"]".repeat(12)}}`), null, "empty ones are levels too");
});

test("what is no UTF-8, begins with a byte order mark, or is no object, is none", () => {
  assert.equal(parseJsonObject(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)), null);
  assert.equal(parseJsonObject(utf8('\ufeff{"a":1}')), null);
  for (const text of ["[]", "null", "1", '"a"', "", '{"a":1} x', null])
    assert.equal(parseJsonText(text), null, String(text));
});

test("bytes that are kept are not those that are lent: utf8 gives a copy of its own", () => {
  const kept = utf8("first");
  withUtf8("second", (bytes) => assert.equal(Buffer.from(bytes).toString(), "second"));
  assert.equal(Buffer.from(kept).toString(), "first");
});
