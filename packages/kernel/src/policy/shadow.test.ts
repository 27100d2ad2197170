// Policies in shadow: they say what they would have changed and change nothing, whatever they contain and however they fail.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Cedar, instantiateCedar } from "./cedar.ts";
import { createSliceCompiler, type SliceInput } from "./compile-slice.ts";
import { createPolicyEngine } from "./policy-engine.ts";
import type { DecisionInputs, PolicySlice } from "./port.ts";

const compiler = createSliceCompiler();
const engine = createPolicyEngine({ memoEntriesMax: 100 });

function input(text: string, changes: Partial<SliceInput> = {}): SliceInput {
  return {
    action: "billing:invoice.read",
    system: "billing",
    resourceAttributes: { region: "string", amount: "long" },
    callers: [{ id: "orders", attributes: { region: "eu" } }],
    grants: [{ integration: "orders-to-billing", from: "orders" }],
    authorize: "grant",
    policies: [{ file: "policies/p.cedar", text }],
    ...changes,
  };
}

const compile = (text: string, changes?: Partial<SliceInput>) => compiler.compileSlice(input(text, changes));

function inputs(resource: DecisionInputs["resource"]["attributes"] = {}, more: object = {}): DecisionInputs {
  return {
    principal: { id: "orders", attributes: { region: "eu" } },
    resource: { system: "billing", attributes: { region: "us", amount: 1, ...resource } },
    context: {
      integration: "orders-to-billing",
      environment: "production",
      zone: "internal",
      proof: "dpop",
      scopes: [],
      stalenessMs: 0,
      ...more,
    },
  };
}

const decide = (slice: PolicySlice, on = inputs()) => engine.load(slice).decide(on);
const scope = 'principal, action == Action::"billing:invoice.read", resource';
const allowed = { kind: "allow", policies: ["grant:orders-to-billing"], errors: [] };

test("attack: a forbid in shadow forbids nothing, and its decision says that it would have", () => {
  const { slice, findings } = compile(
    `@id("own") @shadow("2026-11-30") forbid(${scope}) unless { resource.region == principal.region };`,
  );
  assert.deepEqual(findings, []);
  assert.deepEqual(decide(slice), { ...allowed, shadow: [{ policy: "own", would: "deny" }] });
  assert.deepEqual(
    decide(slice, inputs({ region: "eu" })),
    allowed,
    "it says nothing where it would have changed nothing",
  );
});

test("without its mark the same text is enforced", () => {
  const { slice } = compile(`@id("own") forbid(${scope}) unless { resource.region == principal.region };`);
  assert.deepEqual(decide(slice), { kind: "deny", policies: ["own"], errors: [] });
  assert.equal(slice.shadow, undefined);
});

test("attack: a permit in shadow permits nothing, and says that it would have", () => {
  const { slice } = compile(`@id("all") @shadow("2026-11-30") permit(${scope});`, { authorize: "policy" });
  assert.deepEqual(decide(slice), {
    kind: "deny",
    policies: [],
    errors: [],
    shadow: [{ policy: "all", would: "allow" }],
  });
  assert.deepEqual(Object.keys(slice.policies), []);
});

test("attack: a permit in shadow says nothing for a caller without a grant: nothing can permit beyond one", () => {
  const { slice } = compile(`@id("all") @shadow("2026-11-30") permit(${scope});`, { authorize: "policy" });
  const stranger = inputs({}, { integration: "mallory-to-billing" });
  assert.deepEqual(decide(slice, stranger), { kind: "deny", policies: [], errors: [] });
});

test("a permit in shadow would not have changed what a forbid decided, nor a forbid what nothing permitted", () => {
  const forbidden = compile(`@id("no") forbid(${scope}); @id("all") @shadow("2026-11-30") permit(${scope});`).slice;
  assert.deepEqual(decide(forbidden), { kind: "deny", policies: ["no"], errors: [] });
  const unpermitted = compile(`@id("no") @shadow("2026-11-30") forbid(${scope});`, { authorize: "policy" }).slice;
  assert.deepEqual(decide(unpermitted), { kind: "deny", policies: [], errors: [] });
});

test("each is judged as if it alone were enforced: one does not hide another", () => {
  const { slice } = compile(
    `@id("a") @shadow("2026-11-30") forbid(${scope}); @id("b") @shadow("2026-11-30") forbid(${scope}) when { resource.amount > 0 };
     @id("c") @shadow("2026-11-30") permit(${scope});`,
  );
  assert.deepEqual(decide(slice).shadow, [
    { policy: "a", would: "deny" },
    { policy: "b", would: "deny" },
  ]);
});

describe("attack: an error in shadow changes nothing but the record", () => {
  test("one that fails while it is judged", () => {
    const overflow = compile(
      `@id("sum") @shadow("2026-11-30") forbid(${scope}) when { resource.amount * 9000000000000000000 > 0 };`,
    ).slice;
    const { shadow, ...rest } = decide(overflow, inputs({ amount: 2 }));
    assert.deepEqual(rest, allowed);
    assert.deepEqual(
      shadow?.map(({ policy, would }) => [policy, would]),
      [["sum", "error"]],
    );
    assert.match(shadow?.[0]?.why ?? "", /overflow/);
  });

  test("one that does not fit the schema, beside one that does", () => {
    const { slice, findings, shadowFindings } = compile(
      `@id("typo") @shadow("2026-11-30") forbid(${scope}) when { resource.regoin == "eu" };
       @id("good") @shadow("2026-11-30") forbid(${scope});`,
    );
    assert.deepEqual(findings, []);
    assert.equal(slice.broken, undefined);
    assert.deepEqual(
      shadowFindings?.map(({ file, line }) => [file, line]),
      [["policies/p.cedar", 1]],
    );
    const { shadow, ...rest } = decide(slice);
    assert.deepEqual(rest, allowed);
    assert.deepEqual(
      shadow?.map(({ policy, would }) => [policy, would]),
      [
        ["typo", "error"],
        ["good", "deny"],
      ],
    );
  });

  test("one that takes the id of a policy that is enforced, in a file before it", () => {
    const policies = [
      { file: "policies/a.cedar", text: `@id("own") @shadow("2026-11-30") forbid(${scope});` },
      { file: "policies/b.cedar", text: `@id("own") forbid(${scope}) when { resource.amount > 5 };` },
    ];
    const { slice, findings, shadowFindings } = compile("", { policies });
    assert.deepEqual(findings, []);
    assert.equal(decide(slice, inputs({ amount: 9 })).kind, "deny", "what is enforced keeps its id and its word");
    assert.match(shadowFindings?.[0]?.why ?? "", /already used in policies\/b\.cedar/);
    assert.deepEqual(Object.keys(slice.shadow?.broken ?? {}), ["policies/a.cedar:1"]);
  });

  test("one whose id no record could hold", () => {
    const { slice, findings } = compile(`@id("an id with spaces") @shadow("2026-11-30") forbid(${scope});`);
    assert.deepEqual(findings, []);
    assert.deepEqual(
      decide(slice).shadow?.map(({ policy, would }) => [policy, would]),
      [["policies/p.cedar:1", "error"]],
    );
  });

  test("one that breaks the evaluator it is judged by", () => {
    const breaking = (): Cedar => {
      const cedar = instantiateCedar();
      const trap: Cedar["preparsePolicySet"] = (id, set) => {
        if (JSON.stringify(set).includes("resource.amount")) throw new Error("unreachable");
        return cedar.preparsePolicySet(id, set);
      };
      return { ...cedar, preparsePolicySet: trap };
    };
    const { slice } = compile(`@id("deep") @shadow("2026-11-30") forbid(${scope}) when { resource.amount > 0 };`);
    const { shadow, ...rest } = createPolicyEngine({ memoEntriesMax: 0, instantiate: breaking })
      .load(slice)
      .decide(inputs());
    assert.deepEqual(rest, allowed);
    assert.match(shadow?.[0]?.why ?? "", /trapped/);
  });

  test("one that is there when no second evaluator can be made", () => {
    let made = 0;
    const instantiate = () => {
      made += 1;
      if (made > 1) throw new Error("no memory");
      return instantiateCedar();
    };
    const { slice } = compile(`@id("no") @shadow("2026-11-30") forbid(${scope});`);
    const { shadow, ...rest } = createPolicyEngine({ memoEntriesMax: 0, instantiate }).load(slice).decide(inputs());
    assert.deepEqual(rest, allowed);
    assert.deepEqual(
      shadow?.map(({ would }) => would),
      ["error"],
    );
  });
});

test("attack: a signal that only a policy in shadow reads does not enter what is enforced, whether it is there or not", () => {
  const { slice } = compile(
    `@id("risky") @shadow("2026-11-30") forbid(${scope}) when { context has risk && context.risk > 50 };
     @id("level") forbid(${scope}) when { context.acrLevel > 2 };`,
  );
  const loaded = engine.load(slice);
  assert.deepEqual([loaded.signals, loaded.shadowSignals], [["acrLevel"], ["risk", "riskFactors"]]);
  const told = decide(slice, inputs({}, { acrLevel: 1, risk: 80 }));
  assert.deepEqual([told.kind, told.shadow], ["allow", [{ policy: "risky", would: "deny" }]]);
  assert.deepEqual(decide(slice, inputs({}, { acrLevel: 1 })), allowed);
  assert.equal(
    decide(slice, inputs({}, { acrLevel: 1, country: "DE" })).kind,
    "error",
    "what nobody declares is refused as ever",
  );
});

test("the effect is told apart from words in annotations, comments and texts", () => {
  const text = `// forbid everything
    @id("own") @note("permit") @shadow("2026-11-30") @forbid("x")
    forbid /* no comment in Cedar */ (${scope});`.replace("/* no comment in Cedar */", "// permit\n");
  assert.deepEqual(decide(compile(text).slice).shadow, [{ policy: "own", would: "deny" }]);
});

test("a near miss of the mark is an error: it would be enforced without a word", () => {
  for (const mark of ["@Shadow", "@shadowed", "@SHADOW", "@shaddow"]) {
    const { slice, findings } = compile(`@id("own") ${mark}("2026-11-30") forbid(${scope});`);
    assert.match(findings[0]?.why ?? "", /means nothing/, mark);
    assert.ok(slice.broken !== undefined);
  }
});

test("the day is one of the calendar, or not there", () => {
  const sinceOf = (mark: string) =>
    compiler.parse([{ file: "p.cedar", text: `${mark} forbid(${scope});` }]).policies[0]?.shadow;
  assert.deepEqual(sinceOf('@shadow("2026-11-30")'), { sinceMs: Date.UTC(2026, 10, 30) });
  for (const mark of ["@shadow", '@shadow("2026-02-30")', '@shadow("soon")', '@shadow("")'])
    assert.deepEqual(sinceOf(mark), { sinceMs: null }, mark);
  assert.equal(sinceOf('@id("x")'), undefined);
});

test("where nothing is in shadow, a slice has no such member and no second evaluator is made", () => {
  let made = 0;
  const instantiate = () => {
    made += 1;
    return instantiateCedar();
  };
  const { slice, shadowFindings } = compile(`@id("own") forbid(${scope}) when { resource.amount > 5 };`);
  assert.equal("shadow" in slice, false);
  assert.equal(shadowFindings, undefined);
  const loaded = createPolicyEngine({ memoEntriesMax: 10, instantiate }).load(slice);
  const [first, second] = [loaded.decide(inputs()), loaded.decide(inputs())];
  assert.equal(first, second, "the very object that was remembered");
  assert.equal(made, 1);
});

test("what a policy in shadow says is remembered for exactly what it reads", () => {
  const { slice } = compile(`@id("big") @shadow("2026-11-30") forbid(${scope}) when { resource.amount > 5 };`);
  const would = (amount: number) => decide(slice, inputs({ amount })).shadow?.length ?? 0;
  assert.deepEqual([would(1), would(9), would(1), would(9), would(6)], [0, 1, 0, 1, 1]);
});
