// Compiled policies: the evaluator's answer without the evaluator, and the evaluator wherever that is not certain.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Cedar, instantiateCedar } from "./cedar.ts";
import { isInRange, parseIpRange } from "./cedar-ip.ts";
import { createSliceCompiler, type SliceInput } from "./compile-slice.ts";
import { CompiledSet } from "./compiled-set.ts";
import { atOnce } from "./decider.ts";
import { compareSet, runDifferential } from "./differential.test-support.ts";
import { createPolicyEngine } from "./policy-engine.ts";
import type { DecisionInputs, PolicySlice } from "./port.ts";
import { RandomCedar } from "./random-cedar.test-support.ts";

test("policies and requests at random, of fitting types and not, are decided as Cedar decides them: decision, policies and which failed", () => {
  for (const seed of [1, 2, 3]) {
    const { differences, ...counts } = runDifferential({ seed, pairs: 800, requestsOfSet: 40 });
    assert.deepEqual(differences, [], JSON.stringify(counts));
    assert.ok(counts.allows > 30 && counts.denies > 150 && counts.failing > 80, JSON.stringify(counts));
    assert.equal(counts.leftOut, 0, "everything that is generated is compiled");
  }
});

/** Corners that random policies seldom reach, each over many worlds: a condition, decided alone. */
const corners = [
  "principal in [principal, 1]",
  "principal in []",
  "principal in [1]",
  'principal in G::"a" && resource in [G::"a", G::"b"]',
  "1 in [principal]",
  "(true && 1) == 1",
  "(false || 1) == 1",
  "(false && 1) == false",
  "(true || 1) == true",
  "(if 1 then 2 else 3) == 2",
  "(if false then 1 + true else 3) == 3",
  '"a" like "a*a"',
  '"aa" like "a*a"',
  '"aba" like "a*b*a*"',
  '"abab" like "*ab"',
  '"" like "*"',
  '"" like ""',
  '"*" like "\\*"',
  '1 like "*"',
  "9007199254740991 * 1024 > 0",
  "9007199254740991 * 1025 > 0",
  "-9007199254740991 * 1025 < 0",
  "9007199254740991 * 1024 + 9007199254740991 == 9007199254740991 * 1025",
  "-(9007199254740991 * 1024) < 0",
  "3037000500 * 3037000500 > 0",
  "0 * -1 == 0",
  "[1, 1, 2] == [2, 1]",
  "[[1], [2]] == [[2], [1], [1]]",
  "[1, true].contains(true)",
  "[].containsAny([1])",
  "[].containsAll([])",
  "1.contains(1)",
  "[1].containsAll(1)",
  "{a: 1} == {a: 1, b: 2}",
  "{a: 1, b: 2} == {b: 2, a: 1}",
  "{a: 1} has a && {a: 1}.a == 1",
  "{a: {b: 1}} has a.b",
  "{a: 1} has a.b",
  "{} has a.b",
  'U::"nobody" has a',
  'U::"nobody".a == 1',
  "action has a",
  'action in Action::"read"',
  "1 has a",
  "context.missing == 1",
  "!(1 == 1) || !1",
  "principal == resource",
  "principal is W",
  "principal is R in 1",
  "principal is W in 1",
  'principal is W in [principal, G::"a"]',
  "1 is W",
  '1 == "1"',
  "1 < true",
  'ip("10.0.0.0/8") == ip("10.0.0.1/8")',
  'ip("1.2.3.4") == ip("1.2.3.4/32")',
  'ip("::1") == ip("0:0:0:0:0:0:0:1")',
  'ip("127.0.0.0/7").isLoopback()',
  'ip("224.0.0.0/4").isMulticast()',
  'ip("10.0.0.1/8").isInRange(ip("10.9.9.9/8"))',
  'ip("0.0.0.1").isInRange(ip("::/0"))',
  "1.isLoopback()",
  'decimal("1.0") == decimal("1.0000")',
  'decimal("-0.0").lessThanOrEqual(decimal("0.0"))',
  'decimal("1.0").lessThan(ip("::1"))',
  "context.r == {a: 1}",
  "context.es.isEmpty()",
];

test("the corners of the language are decided as Cedar decides them", () => {
  const cedar = instantiateCedar();
  const random = new RandomCedar(5);
  const worlds = Array.from({ length: 12 }, () => random.world());
  for (const corner of corners) {
    for (const kind of ["when", "unless"]) {
      const written = { one: `permit(principal, action, resource) ${kind} { ${corner} };` };
      assert.deepEqual(compareSet(cedar, written, worlds), [], corner);
    }
  }
  for (const conditions of [
    "when { false } when { 1 }",
    "when { 1 } when { false }",
    "unless { true } unless { 1 }",
    "when { 1 }",
    "unless { 1 }",
  ])
    assert.deepEqual(
      compareSet(cedar, { one: `forbid(principal, action, resource) ${conditions};` }, worlds),
      [],
      conditions,
    );
});

const compiler = createSliceCompiler();
const input: SliceInput = {
  action: "billing:invoice.read",
  system: "billing",
  resourceAttributes: { region: "string", amount: "long", urgent: "boolean" },
  callers: [{ id: "orders", attributes: { region: "eu", tier: 2 } }],
  grants: [{ integration: "orders-to-billing", from: "orders" }],
  authorize: "grant",
  policies: [],
};
const scope = 'principal, action == Action::"billing:invoice.read", resource';

function compile(text: string): PolicySlice {
  const { slice, findings } = compiler.compileSlice({ ...input, policies: [{ file: "p.cedar", text }] });
  assert.deepEqual(findings, []);
  return slice;
}

function inputs(resource: DecisionInputs["resource"]["attributes"] = {}, context: object = {}): DecisionInputs {
  return {
    principal: { id: "orders", attributes: { region: "eu", tier: 2 } },
    resource: { system: "billing", attributes: { region: "eu", amount: 1, urgent: false, ...resource } },
    context: {
      ...{ integration: "orders-to-billing", environment: "production", zone: "internal", proof: "dpop" },
      ...{ scopes: [], stalenessMs: 0 },
      ...context,
    },
  };
}

/** An evaluator that counts the questions it is asked. */
function counting() {
  const seen = { asked: 0 };
  const instantiate = (): Cedar => {
    const cedar = instantiateCedar();
    const statefulIsAuthorized: Cedar["statefulIsAuthorized"] = (call) => {
      seen.asked += 1;
      return cedar.statefulIsAuthorized(call);
    };
    return { ...cedar, statefulIsAuthorized };
  };
  return { seen, instantiate };
}

describe("a slice", () => {
  const text = `@id("own") forbid(${scope}) unless { resource.region == principal.region };
    @id("big") forbid(${scope}) when { resource.amount * 1000 > 5000000 && !(context.scopes.containsAny(["a", "b"])) };
    @id("like") forbid(${scope}) when { context.zone like "ext*" || principal in System::"legacy" };`;

  test("is decided without the evaluator once both agreed on requests made to compare them", () => {
    const { seen, instantiate } = counting();
    const engine = createPolicyEngine({ memoEntriesMax: 0, later: atOnce, instantiate });
    const loaded = engine.load(compile(text));
    assert.equal(loaded.decide(inputs()).kind, "allow");
    const atLoad = seen.asked;
    assert.ok(atLoad >= 64, String(atLoad));
    assert.deepEqual(loaded.decide(inputs({ region: "us" })), { kind: "deny", policies: ["own"], errors: [] });
    assert.deepEqual(loaded.decide(inputs({ region: "us", amount: 6_000 })).policies, ["big", "own"]);
    assert.equal(loaded.decide(inputs({ amount: 6_000 }, { scopes: ["b"] })).kind, "allow");
    assert.equal(loaded.decide(inputs({}, { zone: "external" })).kind, "deny");
    assert.equal(seen.asked, atLoad);
    assert.deepEqual(engine.standing(), { compiled: 1, evaluated: 0, disagreed: 0 });
  });

  test("gives the same decisions with closures and without, byte for byte, also where policies fail", () => {
    const failing = `${text} @id("sum") forbid(${scope}) when { resource.amount * 4611686018427387904 > 0 };`;
    for (const one of [text, failing, "", `@id("u") forbid(${scope}) when { resource.urgent };`]) {
      const slice = compile(one.replaceAll("4611686018427387904", "4611686018427387"));
      const [compiled, evaluated] = [false, true].map((closuresOff) =>
        createPolicyEngine({ memoEntriesMax: 0, later: atOnce, closuresOff }).load(slice),
      );
      for (const region of ["eu", "us", "", "\u{1f600}"])
        for (const amount of [0, -1, 5_001, 3_000, Number.MAX_SAFE_INTEGER])
          for (const urgent of [true, false]) {
            const on = inputs({ region, amount, urgent }, { scopes: amount > 0 ? ["a"] : [] });
            assert.deepEqual(compiled?.decide(on), evaluated?.decide(on), JSON.stringify(on));
          }
    }
  });

  test("attack: an overflow is a denial with the evaluator's own words", () => {
    const loaded = createPolicyEngine({ memoEntriesMax: 0, later: atOnce }).load(
      compile(`@id("sum") forbid(${scope}) when { resource.amount * 9007199254740991 > 0 };`),
    );
    const decision = loaded.decide(inputs({ amount: 9_007_199_254_740_991 }));
    assert.equal(decision.kind, "error");
    assert.match(decision.errors[0] ?? "", /^sum: .*overflow/);
  });
});

test("until both agreed the evaluator answers, and they are compared a step at a time", () => {
  const { seen, instantiate } = counting();
  const jobs: Iterator<void>[] = [];
  const engine = createPolicyEngine({ memoEntriesMax: 0, instantiate, later: (job) => void jobs.push(job) });
  const loaded = engine.load(compile(`@id("own") forbid(${scope}) unless { resource.region == principal.region };`));
  for (const _ of [1, 2, 3]) assert.equal(loaded.decide(inputs({ region: "us" })).kind, "deny");
  assert.deepEqual([seen.asked, jobs.length], [3, 1], "one job for a set");
  for (let steps = 0; jobs[0]?.next().done !== true; steps++) {
    const before = seen.asked;
    jobs[0]?.next();
    assert.ok(seen.asked - before <= 1, "a step is one question");
    assert.ok(steps < 200);
  }
  const { asked } = seen;
  assert.equal(loaded.decide(inputs({ region: "us" })).kind, "deny");
  assert.equal(seen.asked, asked);
});

describe("the evaluator decides", () => {
  const unknown = [
    ["a number whose digits JSON loses", "resource.amount < 9223372036854775807"],
    ["a date", 'datetime("2026-11-30") < datetime("2026-12-01")'],
    ["a duration", 'duration("1h") < duration("2h")'],
  ] as const;
  for (const [what, condition] of unknown)
    test(`over a set with ${what}, and counts it`, () => {
      const { seen, instantiate } = counting();
      const engine = createPolicyEngine({ memoEntriesMax: 0, later: atOnce, instantiate });
      const loaded = engine.load(compile(`@id("x") forbid(${scope}) when { ${condition} };`));
      const decision = loaded.decide(inputs({ region: "127.0.0.1" }));
      assert.equal(decision.kind, "deny", JSON.stringify(decision));
      assert.ok(seen.asked >= 1);
      assert.deepEqual(engine.standing(), { compiled: 0, evaluated: 1, disagreed: 0 });
    });

  test("attack: where compiled policies would answer otherwise, which is found before they are believed, said and counted", () => {
    // The evaluator's own JSON form lies: what is compiled is another policy than what it decides over.
    const instantiate = (): Cedar => {
      const cedar = instantiateCedar();
      const policyToJson: Cedar["policyToJson"] = (policy) => {
        const answer = cedar.policyToJson(policy);
        if (answer.type !== "success" || !JSON.stringify(answer.json).includes("region")) return answer;
        return { ...answer, json: { ...answer.json, effect: "permit" } };
      };
      return { ...cedar, policyToJson };
    };
    const warned: string[] = [];
    const engine = createPolicyEngine({
      memoEntriesMax: 0,
      later: atOnce,
      instantiate,
      warn: (message) => void warned.push(message),
    });
    const loaded = engine.load(compile(`@id("own") forbid(${scope}) when { resource.region == "us" };`));
    assert.deepEqual(loaded.decide(inputs({ region: "us" })), { kind: "deny", policies: ["own"], errors: [] });
    assert.deepEqual(engine.standing(), { compiled: 0, evaluated: 0, disagreed: 1 });
    assert.match(warned.join(), /billing:invoice\.read are not used, the evaluator decides: they disagreed/);
    loaded.decide(inputs());
    assert.equal(warned.length, 1, "once");
  });

  test("about whatever of Cedar is not known here: it is not compiled at all", () => {
    const policy = {
      effect: "forbid",
      principal: { op: "All" },
      action: { op: "All" },
      resource: { op: "All" },
    } as const;
    const bodies: readonly unknown[] = [
      { hasTag: { left: { Var: "principal" }, right: { Value: "a" } } },
      { Slot: "?principal" },
      { Var: "world" },
      { Value: 2 ** 60 },
      { Value: { __extn: { fn: "ip", arg: "::1" } } },
      { "==": { left: { Value: 1 }, right: { Value: 1 }, more: { Value: 1 } } },
      { "==": { left: { Value: 1 }, right: { Value: 1 } }, "!=": {} },
      { toString: { arg: { Value: 1 } } },
      { __proto__: null, constructor: { arg: { Value: 1 } } },
      { ip: [{ Value: "::ffff:1.2.3.4" }] },
      { decimal: [{ Value: "1.23456" }] },
      {},
      [],
      null,
    ];
    for (const body of bodies)
      assert.equal(
        typeof CompiledSet.compile({ p: { ...policy, conditions: [{ kind: "when", body: body as never }] } }),
        "string",
        JSON.stringify(body),
      );
  });
});

test("addresses are read and compared as Cedar does, which refuses zones, embedded IPv4 and leading zeros", () => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4/33",
    "1.2.3.4/08",
    "1.2.3.4/",
    "1.2.3.4/8/8",
    "::1%lo",
    "::ffff:1.2.3.4",
    "01.2.3.4",
    "::1/129",
    "1.2.3.4/-1",
  ])
    assert.equal(parseIpRange(text), null, text);
  const within = (one: string, other: string) => {
    const [left, right] = [parseIpRange(one), parseIpRange(other)];
    return left === null || right === null ? assert.fail() : isInRange(left, right);
  };
  assert.ok(
    within("10.1.2.3", "10.0.0.0/8") && within("10.1.0.0/16", "10.9.9.9/8") && within("2001:db8::1", "2001:db8::/32"),
  );
  assert.ok(!within("10.0.0.0/7", "10.0.0.0/8") && !within("::1", "0.0.0.0/0") && !within("0.0.0.1", "::/0"));
});
