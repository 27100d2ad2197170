import assert from "node:assert/strict";
import { test } from "node:test";
import { createSliceCompiler } from "./compile-slice.ts";
import { createPolicyEngine } from "./policy-engine.ts";
import type { PolicyDecision, TokenContext } from "./port.ts";
import { type TokenAction, tokenSignalsRead, tokensAreUnrestricted } from "./token-slice.ts";

const compiler = createSliceCompiler();
const engine = createPolicyEngine({ memoEntriesMax: 1_000 });
const orders = { id: "orders", attributes: { region: "eu" } };
const billing = { id: "billing", attributes: { tier: "gold" } };
const operations = new Set(["billing:invoice.read", "billing:invoice.refund"]);

function compile(text: string, action: TokenAction = "token:issue") {
  return compiler.compileTokenSlice({
    action,
    provider: billing,
    callers: [orders, billing],
    grants: [{ integration: "orders-to-billing", from: "orders" }],
    isOperation: (name) => operations.has(name),
    policies: [{ file: "policies/tokens.cedar", text }],
  });
}

const context: TokenContext = {
  integrations: ["orders-to-billing"],
  environment: "production",
  grantType: "client_credentials",
  client: "orders",
  clientAuthentication: "private_key_jwt",
  binding: "dpop",
  operations: ["billing:invoice.read"],
  lifetimeSeconds: 300,
};

function decide(text: string, over: Partial<TokenContext> = {}, action: TokenAction = "token:issue"): PolicyDecision {
  const { slice, findings } = compile(text, action);
  assert.deepEqual(findings, []);
  return engine.load(slice).decide({
    principal: orders,
    resource: { system: "billing", attributes: billing.attributes },
    context: { ...context, ...over },
  });
}

const forbid = (condition: string, action: TokenAction = "token:issue") =>
  `@id("no")\nforbid (principal, action == Action::"${action}", resource) ${condition};`;
const kindOf = (decision: PolicyDecision) => `${decision.kind} ${decision.policies.join(" ")}`;

test("a grant permits a token, a forbid that applies refuses it, one about operations alone does not", () => {
  assert.equal(
    kindOf(decide(forbid('when { context.grantType == "refresh_token" }'))),
    "allow grant:orders-to-billing",
  );
  assert.equal(
    kindOf(decide(forbid('when { context.grantType == "refresh_token" }'), { grantType: "refresh_token" })),
    "deny no",
  );
  const aboutOperations = `${forbid("when { false }")} @id("all") forbid (principal, action, resource);`;
  assert.equal(kindOf(decide(aboutOperations)), "allow grant:orders-to-billing");
  const named = `@id("no") forbid (principal, action, resource) when { action == Action::"token:issue" };`;
  assert.equal(kindOf(decide(named)), "deny no");
});

test("addresses are compared as addresses, of both families", () => {
  const inside = forbid('unless { context has address && context.address.isInRange(ip("10.0.0.0/8")) }');
  const answers = ["10.1.2.3", "11.0.0.1", "::1"].map((address) => kindOf(decide(inside, { address })));
  assert.deepEqual(answers, ["allow grant:orders-to-billing", "deny no", "deny no"]);
  assert.equal(kindOf(decide(inside)), "deny no", "an unknown address is in no range");
  assert.equal(decide(inside, { address: "10.1.2.3 " }).kind, "error");
  assert.equal(decide(inside, { address: "fe80::1%eth0" }).kind, "error");
});

test("an exchange has what only exchanges have, and needs it", () => {
  const text = forbid('when { context.as == "impersonate" && context.actors.contains("orders") }', "token:exchange");
  const exchange = { subject: "usr_1", subjectIssuer: "own", depth: 1, actors: ["orders"] } as const;
  assert.equal(kindOf(decide(text, { ...exchange, as: "impersonate" }, "token:exchange")), "deny no");
  assert.equal(
    kindOf(decide(text, { ...exchange, as: "delegate" }, "token:exchange")),
    "allow grant:orders-to-billing",
  );
  assert.equal(decide(text, exchange, "token:exchange").kind, "error");
  assert.match(compile(forbid('when { context.as == "delegate" }')).findings[0]?.why ?? "", /as/);
});

test("attack: a policy that fails while it is evaluated lets nothing through, also beside permits that hold", () => {
  const failing = forbid("when { context.lifetimeSeconds * 9223372036854775807 > 3 }");
  const decision = decide(failing);
  assert.deepEqual([decision.kind, decision.policies], ["error", ["no"]]);
  assert.match(decision.errors[0] ?? "", /overflow/);
});

test("attack: a forbid hidden by an attribute that nothing has, a word that never is, or a renamed operation breaks the slice instead of never applying", () => {
  const hidden: readonly (readonly [string, RegExp])[] = [
    ['when { context has subjct && context.subjct == "usr_1" }', /context\.subjct/],
    ["when { principal has regoin }", /principal\.regoin/],
    ["when { resource has teir }", /resource\.teir/],
    ['when { context.grantType == "refresh" }', /never "refresh"/],
    ['when { context has device && context.device == "unknown" }', /never "unknown"/],
    ['when { context has riskFactors && context.riskFactors.contains("travel") }', /never "travel"/],
    ['when { context has as && context.as == "impersonate" }', /context\.as/],
    ['when { ["dpop", "bearer"].contains(context.binding) }', /never "bearer"/],
    [
      'when { context.operations.contains("billing:invoice.repay") }',
      /no operation is called "billing:invoice\.repay"/,
    ],
    ['when { context.operations.containsAny(["billing:invoice.read", "billing:refund"]) }', /"billing:refund"/],
  ];
  for (const [condition, why] of hidden) {
    const { slice, findings } = compile(forbid(condition));
    assert.match(findings[0]?.why ?? "", why, condition);
    assert.deepEqual([findings[0]?.file, findings[0]?.line], ["policies/tokens.cedar", 1]);
    assert.ok(slice.broken !== undefined);
    const decision = engine
      .load(slice)
      .decide({ principal: orders, resource: { system: "billing", attributes: billing.attributes }, context });
    assert.equal(decision.kind, "error", condition);
  }
  // What another system declares is narrowed by `has`, as anywhere.
  assert.equal(compile(forbid("when { principal has tier }")).findings.length, 0);
});

test("country, risk and the age of the log-in are read like any other fact, and only after `has`", () => {
  const abroad = forbid('unless { context has country && ["DE", "AT"].contains(context.country) }');
  assert.equal(kindOf(decide(abroad, { country: "DE" })), "allow grant:orders-to-billing");
  assert.equal(kindOf(decide(abroad, { country: "AU" })), "deny no");
  assert.equal(kindOf(decide(abroad)), "deny no");
  const risky = forbid("when { context has risk && context.risk >= 50 }", "token:exchange");
  const exchanged = { subject: "usr_1", subjectIssuer: "own", as: "delegate", depth: 1, actors: [] } as const;
  assert.equal(kindOf(decide(risky, { ...exchanged, risk: 50 }, "token:exchange")), "deny no");
  assert.equal(kindOf(decide(risky, { ...exchanged, risk: 49 }, "token:exchange")), "allow grant:orders-to-billing");
  assert.equal(compile(forbid("when { context.authAge > 60 }")).findings.length, 1, "without `has`");
  const parsed = createSliceCompiler().parse([{ file: "policies/tokens.cedar", text: abroad }]);
  assert.deepEqual(tokenSignalsRead(parsed), ["country"]);
  const ofOperations = "forbid (principal, action, resource) when { context has risk && context.risk > 1 };";
  const others = createSliceCompiler().parse([{ file: "policies/rules.cedar", text: ofOperations }]);
  assert.deepEqual(tokenSignalsRead(others), [], "about operations alone");
});

test("attack: a permit for everybody, or integrations that are not the caller's, open nothing beyond the grant", () => {
  const open = `permit (principal, action == Action::"token:issue", resource);`;
  const { slice } = compile(open);
  const loaded = engine.load(slice);
  const resource = { system: "billing", attributes: billing.attributes };
  const ask = (principal: typeof orders, over: Partial<TokenContext> = {}) =>
    loaded.decide({ principal, resource, context: { ...context, ...over } }).kind;
  assert.equal(ask(orders), "allow");
  assert.equal(ask({ id: "portal", attributes: { region: "eu" } }), "deny");
  assert.equal(ask(orders, { integrations: [] }), "deny");
  assert.equal(ask(orders, { integrations: ["orders-to-billing", "portal-to-billing"] }), "deny");
  assert.equal(
    loaded.decide({ principal: orders, resource: { ...resource, system: "ledger" }, context }).kind,
    "error",
    "the slice of one provider decides about no other",
  );
});

test("attack: values that hold separators do not share a remembered answer", () => {
  const text = forbid('when { context.client == "a" && context has subject && context.subject == "b" }');
  assert.equal(decide(text, { client: "a", subject: "b" }).kind, "deny");
  assert.equal(decide(text, { client: "as1:b", subject: "" }).kind, "allow");
  assert.equal(decide(text, { client: "a" }).kind, "allow");
});

test("tokens are unrestricted only where no policy names a token action and every text was read", () => {
  const of = (text: string) => tokensAreUnrestricted(compiler.parse([{ file: "p.cedar", text }]));
  assert.equal(of("forbid (principal, action, resource);"), true);
  assert.equal(of(forbid("when { true }")), false);
  assert.equal(of('forbid (principal, action, resource) unless { action != Action::"token:exchange" };'), false);
  assert.equal(of("forbid (principal"), false);
});

test("a token that opens thousands of operations is decided, not refused for their number", () => {
  const many = Array.from({ length: 1_000 }, (_, n) => `billing:op${n}`);
  assert.equal(
    decide(forbid('when { context.operations.contains("billing:invoice.refund") }'), { operations: many }).kind,
    "allow",
  );
});
