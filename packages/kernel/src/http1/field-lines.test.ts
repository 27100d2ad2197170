import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type FieldFault, FieldLines } from "./field-lines.ts";

interface Section {
  readonly end: "end" | "more" | FieldFault;
  readonly raw: readonly string[];
  readonly rest: string;
}

/** Reads a section that arrives in two pieces, as a connection would: the octets so far are shown again each time there are more. */
function readIn(text: string, cut = text.length, fieldsMax = 100): Section {
  const octets = Buffer.from(text, "latin1");
  const lines = new FieldLines({ fieldsMax });
  lines.begin(0);
  let end = lines.read(octets, cut);
  if (end === "more") end = lines.read(octets, octets.length);
  return { end, raw: end === "end" ? lines.raw(octets) : [], rest: text.slice(end === "end" ? lines.at : text.length) };
}

const read = (text: string): Section => readIn(text);

describe("field lines", () => {
  test("are names and values as received, without the white space around a value, and end behind the empty line", () => {
    assert.deepEqual(read("Host: a.test\r\nx-EMPTY:\r\nX-White: \t a \t b\t \r\nx-1:v\r\n\r\nrest"), {
      end: "end",
      raw: ["Host", "a.test", "x-EMPTY", "", "X-White", "a \t b", "x-1", "v"],
      rest: "rest",
    });
    assert.deepEqual(read("\r\n"), { end: "end", raw: [], rest: "" });
  });

  test("keep obs-text and every visible character of a value for the judge behind", () => {
    const visible = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i)).join("");
    assert.deepEqual(read(`a: ${visible}\u00e9\u0080\r\n\r\n`).raw, ["a", `${visible}\u00e9\u0080`]);
  });

  const refused: readonly (readonly [string, string, FieldFault])[] = [
    ["white space before the colon (RFC 9112 §5.1)", "Host : a\r\n\r\n", "field-name"],
    ["a tab before the colon", "Host\t: a\r\n\r\n", "field-name"],
    ["obs-fold with a space (RFC 9112 §5.2)", "a: b\r\n c\r\n\r\n", "field-name"],
    ["obs-fold with a tab", "a: b\r\n\tc\r\n\r\n", "field-name"],
    ["a fold before the first field", " a: b\r\n\r\n", "field-name"],
    ["an empty name", ": b\r\n\r\n", "field-name"],
    ["a line without a colon", "GARBAGE\r\n\r\n", "field-name"],
    ["a name with NUL", "a\0: b\r\n\r\n", "field-name"],
    ["a name with a byte above 0x7e", "\u00e9: b\r\n\r\n", "field-name"],
    ["a bare LF instead of a line end", "a: b\nc: d\r\n\r\n", "field-value"],
    ["a bare LF as the empty line", "a: b\r\n\nc", "field-name"],
    ["a bare CR in a value", "a: b\rc: d\r\n\r\n", "field-end"],
    ["CR CR LF", "a: b\r\r\n\r\n", "field-end"],
    ["a bare CR instead of the empty line", "a: b\r\n\rc: d\r\n\r\n", "field-end"],
    ["NUL in a value", "a: b\0\r\n\r\n", "field-value"],
    ["DEL in a value", "a: b\u007f\r\n\r\n", "field-value"],
    ["a vertical tab before a value", "a:\u000bchunked\r\n\r\n", "field-value"],
  ];
  for (const [what, text, fault] of refused)
    test(`refuse ${what}, wherever the octets were cut`, () => {
      for (let cut = 0; cut <= text.length; cut++) assert.equal(readIn(text, cut).end, fault, `cut at ${cut}`);
    });

  test("have one reading for every way the octets can be cut, also when they move to another buffer between two reads", () => {
    const text = "Host: a.test\r\nX-White: \t a \t \r\n:x".replace("\r\n:x", "\r\nx-empty:\r\n\r\n");
    const whole = read(text);
    assert.equal(whole.end, "end");
    for (let cut = 0; cut <= text.length; cut++) {
      assert.deepEqual(readIn(text, cut), whole, `cut at ${cut}`);
      const lines = new FieldLines({ fieldsMax: 100 });
      const before = Buffer.from(`####${text.slice(0, cut)}`, "latin1");
      lines.begin(4);
      if (lines.read(before, before.length) === "end") continue;
      lines.moved(-4);
      const after = Buffer.from(text, "latin1");
      assert.equal(lines.read(after, after.length), "end", `moved at ${cut}`);
      assert.deepEqual(lines.raw(after), whole.raw, `moved at ${cut}`);
    }
  });

  test("are read again in the same object, and share no text with those before", () => {
    const lines = new FieldLines({ fieldsMax: 2 });
    for (const text of ["a: 1\r\nb: 2\r\n\r\n", "c: 3\r\n\r\n", "\r\n"]) {
      const octets = Buffer.from(`xx${text}`, "latin1");
      lines.begin(2);
      assert.equal(lines.read(octets, octets.length), "end");
      const expected = text.split("\r\n").flatMap((line) => (line === "" ? [] : line.split(": ")));
      assert.deepEqual(lines.raw(octets, octets.toString("latin1", 2), 2), expected);
    }
  });

  test("header bomb by count: one field more than the bound is refused before its name is read", () => {
    const many = (count: number) => `${Array.from({ length: count }, (_, i) => `a${i}: b\r\n`).join("")}\r\n`;
    assert.equal(readIn(many(3), 0, 3).end, "end");
    assert.equal(readIn(many(4), 0, 3).end, "too-many-fields");
  });

  test("a name of many requests is one string in each of its spellings, and every other spelling is kept as sent", () => {
    const names = ["host", "Host", "HOST", "hOST", "dpop", "DPoP", "Dpop", "DPOP", "content-type", "Content-Type"];
    assert.deepEqual(
      read(`${names.map((name) => `${name}: x\r\n`).join("")}\r\n`).raw.filter((_, i) => i % 2 === 0),
      names,
    );
  });
});
