import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Cedar, instantiateCedar } from "./cedar.ts";
import { createSliceCompiler, type SliceInput } from "./compile-slice.ts";
import { createPolicyEngine } from "./policy-engine.ts";
import type { DecisionInputs, PolicySlice } from "./port.ts";

const compiler = createSliceCompiler();
const engine = createPolicyEngine({ memoEntriesMax: 1000 });

const base: SliceInput = {
  action: "billing:invoice.create",
  system: "billing",
  resourceAttributes: { owner: "string", amount: "long", urgent: "boolean" },
  callers: [
    { id: "orders", attributes: { team: "shop", tier: 2 } },
    { id: "portal", attributes: { team: "web" } },
  ],
  grants: [
    { integration: "orders-to-billing", from: "orders" },
    { integration: "portal-to-billing", from: "portal" },
  ],
  authorize: "grant",
  policies: [],
};

function compile(text: string, changes: Partial<SliceInput> = {}): PolicySlice {
  const { slice, findings } = compiler.compileSlice({ ...base, policies: [{ file: "p.cedar", text }], ...changes });
  assert.deepEqual(findings, []);
  return slice;
}

interface InputChanges {
  readonly from?: string;
  readonly attributes?: DecisionInputs["principal"]["attributes"];
  readonly resource?: Record<string, unknown>;
  readonly context?: Partial<DecisionInputs["context"]>;
}

function inputs({ from = "orders", attributes, resource, context }: InputChanges = {}): DecisionInputs {
  return {
    principal: { id: from, attributes: attributes ?? { team: "shop", tier: 2 } },
    // Hostile values of any type are the point of some tests.
    resource: {
      system: "billing",
      attributes: { owner: "c-1", amount: 10, urgent: false, ...resource } as DecisionInputs["resource"]["attributes"],
    },
    context: {
      integration: `${from}-to-billing`,
      environment: "production",
      zone: "internal",
      proof: "dpop",
      scopes: ["billing:invoice.create"],
      stalenessMs: 5,
      ...context,
    },
  };
}

const decide = (slice: PolicySlice, changes?: InputChanges) => engine.load(slice).decide(inputs(changes));

describe("a decision", () => {
  test("is an allow for the consumer of a grant, and names the grant", () => {
    assert.deepEqual(decide(compile("")), { kind: "allow", policies: ["grant:orders-to-billing"], errors: [] });
  });

  test("is a deny by default where an operation leaves everything to policies and none permits", () => {
    assert.deepEqual(decide(compile("", { authorize: "policy" })), { kind: "deny", policies: [], errors: [] });
  });

  test("is an allow by a policy alone where the operation says so", () => {
    const slice = compile('@id("small") permit(principal, action, resource) when { resource.amount < 100 };', {
      authorize: "policy",
    });
    assert.deepEqual(decide(slice).policies, ["small"]);
    assert.equal(decide(slice, { resource: { amount: 100 } }).kind, "deny");
  });

  test("is a deny when a forbid applies, whatever permits, and names the forbid", () => {
    const slice = compile('@id("no-big") forbid(principal, action, resource) when { resource.amount > 100 };');
    assert.equal(decide(slice).kind, "allow");
    assert.deepEqual(decide(slice, { resource: { amount: 101 } }), { kind: "deny", policies: ["no-big"], errors: [] });
  });

  test("is a deny for one consumer and an allow for the other when a policy names one of them", () => {
    const slice = compile('forbid(principal in System::"portal", action, resource);');
    assert.equal(decide(slice).kind, "allow");
    assert.deepEqual(decide(slice, { from: "portal", attributes: { team: "web" } }).policies, ["p.cedar#1"]);
  });

  test("reads scopes as a set", () => {
    const slice = compile(
      'forbid(principal, action, resource) unless { context.scopes.contains("billing:invoice.create") };',
    );
    assert.equal(decide(slice).kind, "allow");
    assert.equal(decide(slice, { context: { scopes: ["b", "billing:invoice.create", "b", "a"] } }).kind, "allow");
    assert.equal(decide(slice, { context: { scopes: [] } }).kind, "deny");
    assert.equal(decide(slice, { context: { scopes: ["billing:invoice.creat", "e"] } }).kind, "deny");
  });

  test("reads an optional attribute of callers where the policy asks for it first", () => {
    const slice = compile("forbid(principal, action, resource) when { principal has tier && principal.tier > 1 };");
    assert.equal(decide(slice).kind, "deny");
    assert.equal(decide(slice, { from: "portal", attributes: { team: "web" } }).kind, "allow");
  });
});

describe("attack: reaching beyond the grants", () => {
  const permitEverybody = compile("permit(principal, action, resource);");

  test("a policy that permits everybody does not let a system in that no integration grants", () => {
    assert.equal(decide(permitEverybody).kind, "allow");
    assert.deepEqual(decide(permitEverybody, { from: "analytics" }), { kind: "deny", policies: [], errors: [] });
  });

  test("a caller cannot use the integration of another consumer", () => {
    assert.equal(decide(permitEverybody, { context: { integration: "portal-to-billing" } }).kind, "deny");
    assert.equal(decide(compile(""), { context: { integration: "portal-to-billing" } }).kind, "deny");
  });

  test("a caller and an integration that are both absent do not match each other", () => {
    const nobody = inputs();
    const hostile = {
      ...nobody,
      principal: { attributes: {} },
      context: { ...nobody.context, integration: undefined },
    } as unknown as DecisionInputs;
    assert.equal(engine.load(permitEverybody).decide(hostile).kind, "deny");
  });

  test("a slice that lost its grants permits nobody", () => {
    const { grants: _, ...rest } = permitEverybody;
    assert.equal(engine.load(rest as PolicySlice).decide(inputs()).kind, "error");
    assert.equal(engine.load({ ...permitEverybody, grants: {} }).decide(inputs()).kind, "deny");
  });
});

describe("an error is a deny", () => {
  test("overflow in a forbid, which Cedar alone would skip and let the call through", () => {
    const slice = compile(
      '@id("sum") forbid(principal, action, resource) when { resource.amount + 9223372036854775807 < 0 };',
    );
    const { kind, policies, errors } = decide(slice);
    assert.equal(kind, "error");
    assert.deepEqual(policies, ["sum"]);
    assert.match(errors[0] ?? "", /overflow/);
  });

  test("a forbid on a missing attribute, which Cedar alone would skip and let the call through", () => {
    const slice = compile('forbid(principal, action, resource) when { resource.owner == "mallory" };');
    const bare = inputs();
    const missing = { ...bare, resource: { system: "billing", attributes: { amount: 1, urgent: true } } };
    const cedar = instantiateCedar();
    const alone = cedar.preparsePolicySet("alone", { staticPolicies: { ...slice.policies } });
    assert.equal(alone.type, "success");
    const entity = (type: string, id: string, parent: string) => ({
      uid: { type, id },
      attrs: {},
      parents: [{ type: "System", id: parent }],
    });
    const answer = cedar.statefulIsAuthorized({
      principal: { type: "Workload", id: "orders" },
      action: { type: "Action", id: slice.action },
      resource: { type: "Resource", id: "billing" },
      context: { integration: "orders-to-billing" },
      preparsedPolicySetId: "alone",
      entities: [entity("Workload", "orders", "orders"), entity("Resource", "billing", "billing")],
    });
    assert.equal(answer.type === "success" && answer.response.decision, "allow");
    assert.equal(engine.load(slice).decide(missing).kind, "error");
    assert.match(engine.load(slice).decide(missing).errors[0] ?? "", /resource\.owner is missing/);
  });

  for (const [what, resource] of [
    ['a long sent as the text "1"', { amount: "1" }],
    ["a text sent as the number 1", { owner: 1 }],
    ["a boolean sent as a text", { urgent: "true" }],
    ["a fraction", { amount: 1.5 }],
    ["a number that is not one", { amount: Number.NaN }],
    ["a number beyond 64 bits", { amount: 2 ** 63 }],
    ["a number whose last digits JavaScript has already lost", { amount: 2 ** 53 }],
    ["a bigint", { amount: 5n }],
    ["an entity in place of a text", { owner: { __entity: { type: "System", id: "orders" } } }],
    ["an extension value in place of a text", { owner: { __extn: { fn: "ip", arg: "127.0.0.1" } } }],
    ["null", { owner: null }],
    ["a text that is not well-formed Unicode", { owner: "\ud800" }],
    ["a text without end", { owner: "x".repeat(20_000) }],
    ["an attribute that the operation does not declare", { extra: 1 }],
  ] as const) {
    test(`attribute type confusion: ${what}`, () => {
      const answer = decide(compile(""), { resource });
      assert.equal(answer.kind, "error");
      assert.match(answer.errors[0] ?? "", /does not fit the schema/);
    });
  }

  test("a context that is not of the declared form", () => {
    const bad: readonly object[] = [
      { scopes: "a" },
      { scopes: [1] },
      { scopes: Array(300).fill("a") },
      { authTime: 1.5 },
      { zone: undefined },
      { device: "x" },
    ];
    for (const context of bad) assert.equal(decide(compile(""), { context }).kind, "error", JSON.stringify(context));
  });

  test("an attribute named like a member of every object is neither present nor declared", () => {
    const slice = compile("", { resourceAttributes: {} });
    const odd = { ...inputs(), resource: { system: "billing", attributes: JSON.parse('{"__proto__": 1}') } };
    assert.equal(engine.load(slice).decide(odd).kind, "error");
    const needing = compile("", { resourceAttributes: { toString: "string" as const } });
    assert.equal(
      engine.load(needing).decide({ ...inputs(), resource: { system: "billing", attributes: {} } }).kind,
      "error",
    );
  });

  test("a resource of another system than the action's", () => {
    const other = { ...inputs(), resource: { system: "orders", attributes: { owner: "", amount: 1, urgent: true } } };
    assert.equal(engine.load(compile("")).decide(other).kind, "error");
  });

  test("a broken slice, with the reason kept for operators", () => {
    const slice = { ...compile(""), broken: "p.cedar:3:1: no" };
    assert.deepEqual(engine.load(slice).decide(inputs()), { kind: "error", policies: [], errors: ["p.cedar:3:1: no"] });
  });

  test("a slice whose schema or policies are not what they say", () => {
    assert.equal(engine.load({ ...compile(""), schema: {} }).decide(inputs()).kind, "error");
    assert.equal(engine.load({ ...compile(""), policies: { a: "permit(" } }).decide(inputs()).kind, "error");
  });
});

describe("a trap of the evaluator", () => {
  /** Breaks when asked about the owner "trap", the way WebAssembly does. */
  function fragile(counter: { made: number }): () => Cedar {
    return () => {
      counter.made += 1;
      const cedar = instantiateCedar();
      return {
        ...cedar,
        preparsePolicySet: cedar.preparsePolicySet,
        statefulIsAuthorized(call) {
          if (JSON.stringify(call).includes('"trap"')) throw new Error("unreachable executed");
          return cedar.statefulIsAuthorized(call);
        },
      };
    };
  }

  test("is an error for that crossing, is not remembered, and the engine goes on with a fresh evaluator", () => {
    const counter = { made: 0 };
    const own = createPolicyEngine({ memoEntriesMax: 100, instantiate: fragile(counter), closuresOff: true });
    const loaded = own.load(compile('forbid(principal, action, resource) when { resource.owner == "mallory" };'));
    assert.equal(loaded.decide(inputs()).kind, "allow");
    assert.match(loaded.decide(inputs({ resource: { owner: "trap" } })).errors[0] ?? "", /trapped/);
    assert.equal(counter.made, 2);
    assert.equal(loaded.decide(inputs({ resource: { owner: "mallory" } })).kind, "deny");
    assert.equal(loaded.decide(inputs({ resource: { owner: "c-2" } })).kind, "allow");
    assert.equal(loaded.decide(inputs({ resource: { owner: "trap" } })).kind, "error");
    assert.equal(counter.made, 3);
  });

  test("real: an exception inside the package leaves other answers right", () => {
    const cedar = instantiateCedar();
    const own = createPolicyEngine({ memoEntriesMax: 0, instantiate: () => cedar });
    const loaded = own.load(compile(""));
    assert.equal(loaded.decide(inputs()).kind, "allow");
    // A bigint makes the bindings throw across the WebAssembly frames.
    assert.throws(() => cedar.policyToJson(5n as unknown as string));
    assert.equal(loaded.decide(inputs()).kind, "allow");
  });
});

describe("many slices in one engine", () => {
  const sliceOf = (number: number): PolicySlice => {
    const text = `@id("only") forbid(principal, action, resource) unless { resource.amount == ${number} };`;
    return compile(text, { action: `billing:op.n${number}` });
  };

  test("never answer for each other, also when the evaluator holds fewer than are asked", () => {
    const own = createPolicyEngine({ memoEntriesMax: 0, parsedSlicesMax: 2, closuresOff: true });
    const slices = [0, 1, 2, 3, 4].map((number) => own.load(sliceOf(number)));
    for (const order of [
      [0, 1, 2, 3, 4],
      [4, 0, 4, 1, 1, 3],
      [2, 2, 0, 3, 1],
    ]) {
      for (const number of order) {
        assert.equal(slices[number]?.decide(inputs({ resource: { amount: number } })).kind, "allow");
        assert.equal(slices[number]?.decide(inputs({ resource: { amount: number + 1 } })).kind, "deny");
      }
    }
  });

  test("a slice that cannot be parsed does not take the place of one that can", () => {
    const own = createPolicyEngine({ memoEntriesMax: 0, parsedSlicesMax: 2, closuresOff: true });
    const [first, second] = [own.load(sliceOf(0)), own.load(sliceOf(1))];
    const bad = own.load({ ...sliceOf(2), policies: { a: "permit(" } });
    for (let round = 0; round < 3; round += 1) {
      assert.equal(first.decide(inputs({ resource: { amount: 0 } })).kind, "allow");
      assert.equal(bad.decide(inputs({ resource: { amount: 2 } })).kind, "error");
      assert.equal(second.decide(inputs({ resource: { amount: 1 } })).kind, "allow");
      assert.equal(first.decide(inputs({ resource: { amount: 1 } })).kind, "deny");
    }
  });

  test("the same bytes are the same loaded slice; one changed byte is another", () => {
    assert.equal(engine.load(sliceOf(7)), engine.load(structuredClone(sliceOf(7))));
    assert.notEqual(engine.load(sliceOf(7)), engine.load(sliceOf(8)));
  });
});

interface DrawnRequest {
  readonly owner: string;
  readonly amount: number;
  readonly urgent: boolean;
  readonly team: string;
  readonly tier: number | undefined;
  readonly scopes: string[];
  readonly acr: string | undefined;
  readonly subject: string | undefined;
}

describe("the memo", () => {
  const text = arbitraryText();
  const policies = [
    "permit(principal, action, resource) when { resource.urgent };",
    'forbid(principal, action, resource) when { resource.owner == "a" };',
    'forbid(principal, action, resource) when { context.scopes.contains("a") && !(context has acr && context.acr == "b") };',
    "forbid(principal, action, resource) when { resource.amount * 4611686018427387904 > 4 };",
    "forbid(principal, action, resource) when { principal has tier && principal.tier == 1 };",
    'permit(principal, action, resource) when { context == context && resource.owner like "*b*" };',
    'forbid(principal, action, resource) when { (if resource.urgent then principal else principal).team == "a" };',
  ];
  const requests = fc.record({
    owner: text,
    amount: fc.integer({ min: -3, max: 3 }),
    urgent: fc.boolean(),
    team: text,
    tier: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
    scopes: fc.array(text, { maxLength: 3 }),
    acr: fc.option(text, { nil: undefined }),
    subject: fc.option(text, { nil: undefined }),
  });

  function build(drawn: DrawnRequest): DecisionInputs {
    const { owner, amount, urgent, team, tier, scopes, acr, subject } = drawn;
    const attributes = tier === undefined ? { team } : { team, tier };
    const context = { scopes, ...(acr === undefined ? {} : { acr }), ...(subject === undefined ? {} : { subject }) };
    return inputs({ attributes, resource: { owner, amount, urgent }, context });
  }

  test("changes no answer: with it and without it every decision is equal", () => {
    const choice = fc.subarray(policies);
    const plain = createPolicyEngine({ memoEntriesMax: 0 });
    const small = createPolicyEngine({ memoEntriesMax: 50 });
    fc.assert(
      fc.property(
        choice,
        fc.constantFrom("grant" as const, "policy" as const),
        fc.array(requests, { minLength: 2, maxLength: 12 }),
        (chosen, authorize, drawn) => {
          const slice = compile(chosen.join("\n"), { authorize });
          const [memoised, cold] = [small.load(slice), plain.load(slice)];
          for (const one of [...drawn, ...drawn])
            assert.deepEqual(memoised.decide(build(one)), cold.decide(build(one)));
        },
      ),
      { numRuns: 60, seed: 20261122 },
    );
  });

  test("what policies do not read changes nothing", () => {
    const slice = compile(policies[1] ?? "");
    const cold = createPolicyEngine({ memoEntriesMax: 0 }).load(slice);
    fc.assert(
      fc.property(requests, requests, (one, other) => {
        const mixed = { ...other, owner: one.owner };
        assert.deepEqual(cold.decide(build(mixed)), cold.decide(build(one)));
      }),
      { numRuns: 100, seed: 20261122 },
    );
  });

  test("attack: values that run into each other do not share an entry", () => {
    const slice = compile(
      'forbid(principal, action, resource) when { resource.owner == "a" && context.zone == "bs1:c" };',
    );
    const loaded = createPolicyEngine({ memoEntriesMax: 100 }).load(slice);
    assert.equal(loaded.decide(inputs({ resource: { owner: "as5:bs1:c" }, context: { zone: "" } })).kind, "allow");
    assert.equal(loaded.decide(inputs({ resource: { owner: "a" }, context: { zone: "bs1:c" } })).kind, "deny");
    assert.equal(loaded.decide(inputs({ resource: { owner: "ab" }, context: { zone: "s1:c" } })).kind, "allow");
  });

  test("asks Cedar once for equal requests and again for a request it has forgotten", () => {
    let asked = 0;
    const instantiate = (): Cedar => {
      const cedar = instantiateCedar();
      const statefulIsAuthorized: Cedar["statefulIsAuthorized"] = (call) => {
        asked += 1;
        return cedar.statefulIsAuthorized(call);
      };
      return { ...cedar, statefulIsAuthorized };
    };
    const loaded = createPolicyEngine({ memoEntriesMax: 2, instantiate, closuresOff: true }).load(
      compile("forbid(principal, action, resource) when { resource.amount == 1 };"),
    );
    const ask = (amount: number) => loaded.decide(inputs({ resource: { amount } }));
    for (const amount of [5, 5, 6, 5]) ask(amount);
    assert.equal(asked, 2);
    ask(7);
    ask(5);
    assert.equal(asked, 3);
    ask(6);
    assert.equal(asked, 4);
  });

  test("a request that does not fit is refused also when its projection is remembered", () => {
    const loaded = createPolicyEngine({ memoEntriesMax: 10 }).load(compile(""));
    assert.equal(loaded.decide(inputs()).kind, "allow");
    assert.equal(loaded.decide(inputs({ resource: { amount: "10" } })).kind, "error");
  });

  test("adding a forbid never allows more", () => {
    const cold = createPolicyEngine({ memoEntriesMax: 0 });
    const forbids = policies.filter((policy) => policy.startsWith("forbid"));
    fc.assert(
      fc.property(
        fc.subarray(policies),
        fc.constantFrom(...forbids),
        fc.array(requests, { minLength: 4, maxLength: 8 }),
        (chosen, added, drawn) => {
          const fewer = cold.load(compile(chosen.join("\n")));
          const more = cold.load(compile([...chosen, added].join("\n")));
          for (const one of drawn) {
            if (more.decide(build(one)).kind === "allow") assert.equal(fewer.decide(build(one)).kind, "allow");
          }
        },
      ),
      { numRuns: 60, seed: 20261122 },
    );
  });
});

test("our own check of a request accepts exactly what Cedar's request validation accepts", () => {
  const slice = compile("");
  const cedar = instantiateCedar();
  assert.equal(cedar.preparseSchema("s", slice.schema as Parameters<Cedar["preparseSchema"]>[1]).type, "success");
  assert.equal(cedar.preparsePolicySet("p", { staticPolicies: { ...slice.policies } }).type, "success");
  const anything = fc.oneof(
    fc.constant(undefined),
    fc.integer(),
    fc.string({ maxLength: 3 }),
    fc.boolean(),
    fc.double(),
    fc.constant(null),
    fc.array(fc.string({ maxLength: 2 }), { maxLength: 2 }),
  );
  const drawn = fc.record({
    owner: fc.oneof({ weight: 4, arbitrary: fc.string() }, anything),
    amount: fc.oneof({ weight: 4, arbitrary: fc.integer() }, anything),
    urgent: fc.oneof({ weight: 4, arbitrary: fc.boolean() }, anything),
    extra: fc.constantFrom(undefined, undefined, undefined, 1),
  });
  const loaded = createPolicyEngine({ memoEntriesMax: 0 }).load(slice);
  let fitting = 0;
  fc.assert(
    fc.property(drawn, (resource) => {
      const attrs = Object.fromEntries(Object.entries(resource).filter(([, value]) => value !== undefined));
      const { context } = inputs();
      const { principal } = inputs();
      const answer = cedar.statefulIsAuthorized({
        principal: { type: "Workload", id: principal.id },
        action: { type: "Action", id: slice.action },
        resource: { type: "Resource", id: "billing" },
        context: JSON.parse(JSON.stringify(context)),
        preparsedSchemaName: "s",
        validateRequest: true,
        preparsedPolicySetId: "p",
        entities: [
          {
            uid: { type: "Workload", id: principal.id },
            attrs: { ...principal.attributes },
            parents: [{ type: "System", id: "orders" }],
          },
          {
            uid: { type: "Resource", id: "billing" },
            attrs: attrs as Record<string, string>,
            parents: [{ type: "System", id: "billing" }],
          },
        ],
      });
      const ours =
        loaded.decide({ ...inputs(), resource: { system: "billing", attributes: attrs as Record<string, string> } })
          .kind !== "error";
      if (ours) fitting += 1;
      assert.equal(ours, answer.type === "success", JSON.stringify(attrs));
    }),
    { numRuns: 600, seed: 20261122 },
  );
  assert.ok(fitting > 50, `only ${fitting} requests fitted`);
});

function arbitraryText(): fc.Arbitrary<string> {
  return fc.constantFrom("", "a", "b", "ab", "s1:a", "-", "é", "a\u0000", "t");
}
