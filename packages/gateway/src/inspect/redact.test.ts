// What is taken out of an answer, over the bytes alone: docs/inspection.md "What is taken out". Attacks over real sockets: answer-attacks.test.ts.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { LabelNode, ResponseRule } from "@sallyport/protocol/snapshot/response-rule.ts";
import fc from "fast-check";
import { readJson } from "./json.ts";
import { type Redaction, redactJson } from "./redact.ts";
import { compileFilter } from "./response-filter.ts";

interface How {
  readonly redact?: readonly string[];
  readonly labels?: readonly LabelNode[];
  readonly data?: readonly DataClass[];
  readonly undeclared?: ResponseRule["undeclared"];
}

function redact(text: string, { redact = [], undeclared = "keep", labels, data }: How): Redaction {
  assert.ok(readJson(Buffer.from(text)).ok, `strict JSON: ${text}`);
  const rule = { redact: [], undeclared, ...(labels === undefined ? {} : { labels }) };
  const filter = compileFilter({ rule, redact, data });
  return filter === null ? { kind: "kept" } : redactJson(Buffer.from(text), filter);
}

function left(text: string, how: How): string {
  const redacted = redact(text, how);
  assert.notEqual(redacted.kind, "leak");
  return redacted.kind === "changed" ? redacted.bytes.toString("utf8") : text;
}

describe("paths", () => {
  const cases: readonly [what: string, path: string, text: string, expected: string][] = [
    ["the only member", "$.a", '{"a":1}', "{}"],
    ["the first", "$.a", '{ "a" : 1 , "b" : 2 }', '{  "b" : 2 }'],
    ["the last", "$.b", '{"a":1,"b":2}', '{"a":1}'],
    ["one in the middle", "$.b", '{"a":1, "b":{"c":[1,"}"]} ,"d":2}', '{"a":1 ,"d":2}'],
    ["inside an object", "$.customer.taxId", '{"customer":{"name":"n","taxId":"t"}}', '{"customer":{"name":"n"}}'],
    ["of every item", "$.lines[*].card", '{"lines":[{"card":1,"n":2},{"card":3}]}', '{"lines":[{"n":2},{}]}'],
    ["every item", "$.tags[*]", '{"tags":["a","b"],"n":1}', '{"tags":[],"n":1}'],
    ["one item", "$.tags[1]", '{"tags":["a","b","c"]}', '{"tags":["a","c"]}'],
    ["the first item", "$.tags[0]", '{"tags":["a" , "b"]}', '{"tags":[ "b"]}'],
    ["at any depth", "$..taxId", '[{"taxId":1,"x":{"taxId":{"taxId":2}}},[[{"taxId":3}]]]', '[{"x":{}},[[{}]]]'],
    ["below a descendant", "$..card.no", '{"a":{"card":{"no":1,"x":2}},"card":3}', '{"a":{"card":{"x":2}},"card":3}'],
    ["every member", "$.a.*", '{"a":{"b":1,"c":[2]},"d":3}', '{"a":{},"d":3}'],
    ["null", "$.a", '{"a":null,"b":null}', '{"b":null}'],
    ["a name with a dot", "$['a.b']", '{"a.b":1,"a":{"b":2}}', '{"a":{"b":2}}'],
    ["nothing", "$.x.y", '{"x":1,"y":[{"y":2}]}', '{"x":1,"y":[{"y":2}]}'],
  ];
  for (const [what, path, text, expected] of cases)
    test(`${path} takes out ${what}`, () => assert.equal(left(text, { redact: [path] }), expected));

  test("numbers, escapes, spaces and the order of what stays are the provider's, byte for byte", () => {
    const stays =
      '"big":12345678901234567890, "one":1.0 ,"e":1E+2,"neg":-0,"esc":"\\u0041\\/é\\ud83d\\ude00","z":"","a":[ ]';
    assert.equal(left(`{"taxId":"x",${stays}}\n`, { redact: ["$.taxId"] }), `{${stays}}\n`);
    assert.equal(left(`{${stays},"taxId":{"n":1e400}}`, { redact: ["$.taxId"] }), `{${stays}}`);
  });

  test("escaped name: taxId written with escapes is taxId", () => {
    for (const name of ["\\u0074axId", "t\\u0061x\\u0049d", "\\u0054AXID"])
      assert.equal(left(`{"a":1,"${name}":"canary"}`, { redact: ["$.taxId"] }), '{"a":1}');
  });

  test("case twin: a reader without regard to case must not find it under another case, in ASCII or beyond", () => {
    for (const name of ["TaxID", "TAXID", "taxid"])
      assert.equal(left(`{"${name}":"canary"}`, { redact: ["$.taxId"] }), "{}");
    assert.equal(left('{"ſecret":"canary","Kelvin":1}', { redact: ["$.secret", "$.kelvin"] }), "{}");
  });

  test("nested list: a name looks through lists in lists", () => {
    const text = '{"customer":[[{"taxId":"canary"}],{"taxId":"canary","n":1}]}';
    assert.equal(left(text, { redact: ["$.customer.taxId"] }), '{"customer":[[{}],{"n":1}]}');
  });

  test("several paths over one value, and paths that meet", () => {
    const text = '{"a":{"b":1,"c":2},"d":[1,2,3]}';
    assert.equal(left(text, { redact: ["$.a.b", "$.a", "$.d[0]", "$.d[2]"] }), '{"d":[2]}');
    assert.equal(left(text, { redact: ["$.a.b", "$..c", "$.d[*]"] }), '{"a":{},"d":[]}');
  });
});

/** `{ name, taxId: pii, pin: secret, address: { street: pii }, lines: [{ sku, card: payment }] }` */
const labels: readonly LabelNode[] = [
  { members: { name: 1, taxid: 2, pin: 3, address: 4, lines: 5 }, scalar: false },
  {},
  { classes: ["pii"] },
  { classes: ["secret"] },
  { members: { street: 2 }, scalar: false },
  { items: 6, scalar: false },
  { members: { sku: 1, card: 7 }, scalar: false },
  { classes: ["payment"] },
];

describe("labels", () => {
  test("an integration that says nothing gets all but restricted and secret fields", () => {
    const text = '{"name":"n","taxId":"t","lines":[{"card":"c"}]}';
    assert.equal(left(text, { labels }), text);
    assert.deepEqual(redact('{"name":"n","pin":"canary"}', { labels }), { kind: "leak", classes: ["secret"] });
  });

  test("one that names classes gets those, and the rest is taken out", () => {
    const text = '{"name":"n","taxId":"t","address":{"street":"s","city":"c"},"lines":[{"sku":1,"card":"c"}]}';
    assert.equal(
      left(text, { labels, data: ["payment"] }),
      '{"name":"n","address":{"city":"c"},"lines":[{"sku":1,"card":"c"}]}',
    );
    assert.equal(left(text, { labels, data: ["pii", "payment"] }), text);
  });

  test("a secret that is named is read, one that a path takes out does not leak, and one that is null is taken out", () => {
    assert.equal(left('{"pin":"p"}', { labels, data: ["secret"] }), '{"pin":"p"}');
    assert.equal(left('{"pin":"p","name":1}', { labels, redact: ["$.pin"] }), '{"name":1}');
    assert.equal(left('{"pin":null,"name":1}', { labels }), '{"name":1}');
  });

  test("other shape: what stands where an object or a list was declared may hide what is labelled, so it goes or is withheld", () => {
    assert.equal(left('{"address":"street 1","name":1}', { labels, data: [] }), '{"name":1}');
    assert.equal(left('{"address":[{"street":"s"}],"name":1}', { labels, data: [] }), '{"name":1}');
    assert.equal(left('{"lines":{"card":"c"},"name":1}', { labels, data: [] }), '{"name":1}');
    assert.equal(left('{"lines":null,"address":null}', { labels, data: [] }), '{"lines":null,"address":null}');
    assert.deepEqual(redact('[{"pin":"canary"}]', { labels }), { kind: "leak", classes: ["secret"] });
    assert.deepEqual(redact('"canary"', { labels }), { kind: "leak", classes: ["secret"] });
  });

  test("undeclared: drop leaves what a schema declares, and a whole that none declares is withheld", () => {
    const text =
      '{"extra":{"taxId":"canary"},"name":"n","lines":[{"sku":1,"x":2},[3]],"address":{"street":"s","x":{}}}';
    assert.equal(
      left(text, { labels, undeclared: "drop" }),
      '{"name":"n","lines":[{"sku":1},[]],"address":{"street":"s"}}',
    );
    assert.deepEqual(redact("7", { labels: [{ members: {}, scalar: false }], undeclared: "drop" }), {
      kind: "leak",
      classes: [],
    });
  });

  test("a schema that leads back to itself is walked as deep as the answer goes", () => {
    const ring: readonly LabelNode[] = [{ members: { next: 0, taxid: 1 }, scalar: false }, { classes: ["pii"] }];
    assert.equal(
      left('{"next":{"next":{"taxId":"t","n":1}}}', { labels: ring, data: [] }),
      '{"next":{"next":{"n":1}}}',
    );
  });
});

describe("against JSON.parse as an oracle, seeded", () => {
  const names = ["a", "b", "taxId", "TAXID", "x.y", "é"];
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom(null, 1, -0.5, "t", '\\" ,]}', true),
      tie("list"),
      tie("map"),
    ),
    list: fc.array(tie("any"), { maxLength: 4 }),
    map: fc.dictionary(fc.constantFrom(...names), tie("any"), { maxKeys: 4 }),
  })).any;

  /** `$..taxId` without a walk over bytes. */
  const without = (at: unknown): unknown => {
    if (Array.isArray(at)) return at.map(without);
    if (typeof at !== "object" || at === null) return at;
    return Object.fromEntries(
      Object.entries(at).flatMap(([name, inner]) => (name.toLowerCase() === "taxid" ? [] : [[name, without(inner)]])),
    );
  };

  test("what comes out is JSON, and the same value without the field, however the text is spaced", () => {
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 1, "\t"), (given, space) => {
        const text = JSON.stringify(given, null, space);
        assert.deepEqual(JSON.parse(left(text, { redact: ["$..taxId"] })), without(given));
      }),
      { seed: 20261130, numRuns: 2_000 },
    );
  });
});
