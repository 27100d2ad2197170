import assert from "node:assert/strict";
import { test } from "node:test";
import { type PathSegment, pathSegmentsMax, readJsonPath, selectsSome } from "./json-path.ts";

const child = (select: PathSegment["select"]): PathSegment => ({ select, descendant: false });
const below = (select: PathSegment["select"]): PathSegment => ({ select, descendant: true });

test("names, indexes, wildcards and descendants in both notations are read (RFC 9535 §2)", () => {
  const cases: readonly [string, readonly PathSegment[]][] = [
    ["$", []],
    ["$.a.b", [child("a"), child("b")]],
    ["$['tax-id']", [child("tax-id")]],
    ['$["a\\"b"]', [child('a"b')]],
    ["$['it\\'s \"x\"']", [child('it\'s "x"')]],
    ["$['\\u0074axId']", [child("taxId")]],
    ["$.lines[*].card", [child("lines"), child(null), child("card")]],
    ["$.*", [child(null)]],
    ["$[0][12]", [child(0), child(12)]],
    ["$..taxId", [below("taxId")]],
    ["$..*", [below(null)]],
    ["$..['tax id'].x", [below("tax id"), child("x")]],
    ["$.größe", [child("größe")]],
  ];
  for (const [text, expected] of cases) assert.deepEqual(readJsonPath(text), expected, text);
});

test("a path selects what RFC 9535 says, and nothing in what is no container", () => {
  const value = { a: { b: [1, { c: null }] }, c: "x", b: [[{ c: 2 }]] };
  const selected = (text: string): readonly unknown[] => {
    const path = readJsonPath(text);
    assert.ok(!("refused" in path));
    const found: unknown[] = [];
    selectsSome(path, value, (one) => {
      found.push(one);
      return false;
    });
    return found;
  };
  assert.deepEqual(selected("$.a.b[0]"), [1]);
  assert.deepEqual(selected("$.a.b[*].c"), [null]);
  assert.deepEqual(selected("$..c").toSorted(), [2, null, "x"].toSorted());
  assert.deepEqual(selected("$.b[*].c"), [], "RFC 9535 looks through no lists");
  assert.deepEqual(selected("$.c.length"), []);
  assert.deepEqual(selected("$.a.constructor"), []);
  assert.equal(
    selectsSome([], 7, (one) => one === 7),
    true,
  );
});

test("what is not of the subset is refused with a fix, and never throws", () => {
  const refused = [
    ...["", "a", "$a", "$.", "$..", "$.a.", "$.[0]", "$.1a", "$.a-b", "$ .a", "$.a b"],
    ...["$[-1]", "$[01]", "$[1:2]", "$[?@.a]", "$['a','b']", "$['a'", "$[a]", "$['a\\x']", "$['\\ud800']", '$["\\\'"]'],
    ...["$.__proto__", "$['__proto__']", "$[9999999]", `$${".a".repeat(pathSegmentsMax + 1)}`, `$.${"a".repeat(600)}`],
    "$['a\nb']",
  ];
  for (const text of refused) {
    const read = readJsonPath(text);
    assert.ok("refused" in read && read.fix !== "", `accepted: ${text.slice(0, 40)}`);
  }
});
