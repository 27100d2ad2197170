// What `threats` of a system and of its operations come to, and what is no sense.
import assert from "node:assert/strict";
import { test } from "node:test";
import { threatRules } from "@sallyport/protocol/snapshot/threat-rule.ts";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const estate = (system: string, operation = "") => ({
  ...soundEstate(),
  "systems/billing.yaml": `system: billing\nurl: https://billing.example\n${system === "" ? "" : `threats: ${system}\n`}operations:\n  invoice.create: POST /v1/invoices\n  invoice.read:\n    match: GET /v1/invoices/{id}\n${operation === "" ? "" : `    threats: ${operation}\n`}`,
});
const errorsOf = (system: string, operation?: string) =>
  load(estate(system, operation))
    .findings.filter(({ severity }) => severity === "error")
    .map(formatFinding)
    .join("\n");
const threatsOf = (name: string, system: string, operation?: string) => {
  assert.equal(errorsOf(system, operation), "");
  return load(estate(system, operation))
    .estate.environments[0]?.systems.find(({ id }) => id === "billing")
    ?.operations.find((one) => one.name === name)?.threats;
};

test("without a word nothing is judged", () => {
  assert.equal(threatsOf("invoice.read", ""), undefined);
});

test("what a system says holds for each operation that says nothing itself", () => {
  const shadow = { block: [], shadow: threatRules, except: [] };
  assert.deepEqual(threatsOf("invoice.create", "{ mode: shadow }"), shadow);
  assert.deepEqual(threatsOf("invoice.create", "{ mode: shadow }", "{ mode: block }"), shadow);
  assert.deepEqual(threatsOf("invoice.read", "{ mode: shadow }", "{ mode: block }"), {
    ...{ block: threatRules, shadow: [], except: [] },
  });
});

test("attack: an exception of a system is none of an operation that says something itself, nor the other way round", () => {
  const system = '{ mode: block, except: [{ rules: [sql-injection], reason: "it takes SQL" }] }';
  const rest = threatRules.filter((rule) => rule !== "sql-injection");
  assert.deepEqual(threatsOf("invoice.create", system, "{ mode: block }")?.block, rest);
  assert.deepEqual(threatsOf("invoice.read", system, "{ mode: block }")?.block, threatRules);
  assert.deepEqual(threatsOf("invoice.create", "{ mode: block }", system)?.block, threatRules);
});

test("exceptions at places, rules that only watch, and `none` with its reason", () => {
  assert.deepEqual(
    threatsOf(
      "invoice.read",
      '{ mode: block, shadow: [script-injection], except: [{ rules: [sql-injection, null-byte], at: ["query:q", "header:X-Note", "body:/lines/*/note"], reason: "free text" }] }',
    ),
    {
      block: threatRules.filter((rule) => rule !== "script-injection"),
      shadow: ["script-injection"],
      except: ["sql-injection", "null-byte"].flatMap((rule) =>
        ["query:q", "header:x-note", "body:/lines/*/note"].map((at) => ({ rule, at })),
      ),
    },
  );
  assert.equal(
    threatsOf("invoice.read", "{ mode: block }", '{ mode: none, reason: "it is a query language" }'),
    undefined,
  );
});

test("what is no sense is an error with its place and the fix", () => {
  for (const [text, message] of [
    ["{ mode: block, except: [{ rules: [sql-injection] }] }", "except[0].reason"],
    ['{ mode: block, except: [{ rules: [sql-injection], reason: "" }] }', "except[0].reason"],
    ['{ mode: block, except: [{ rules: [sql], reason: "x" }] }', "except[0].rules[0]"],
    ['{ mode: block, except: [{ rules: [sql-injection], at: ["note"], reason: "x" }] }', "not a place"],
    ['{ mode: block, except: [{ rules: [sql-injection], at: ["cookie:a"], reason: "x" }] }', "not a place"],
    ["{ mode: none }", "`mode: none` needs `reason`"],
    ['{ mode: shadow, reason: "x" }', "`reason` belongs to `mode: none`"],
    ['{ mode: none, reason: "x", except: [{ rules: [sql-injection], reason: "x" }] }', "nothing is judged"],
    ["{ mode: shadow, shadow: [sql-injection] }", "remove it: all watch"],
    [
      '{ mode: block, shadow: [sql-injection], except: [{ rules: [sql-injection], reason: "x" }] }',
      "excepted and in shadow",
    ],
    ["{ mode: enforce }", "threats.mode"],
  ] as const) {
    const errors = errorsOf("", text);
    assert.ok(errors.includes(message), `${text}: ${errors}`);
    assert.match(errors, /systems\/billing\.yaml:\d+/);
    assert.notEqual(errorsOf(text), "", "of a system too");
  }
});

test("blocking needs no time in shadow before", () => {
  assert.equal(errorsOf("{ mode: block }"), "");
});
