// What a record says of a policy decision, and what it does not: a replay decides over nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import { memoryEstateIo } from "../registry/config/estate-io.ts";
import { loadEstateFrom } from "../registry/config/load.ts";
import { createCandidate } from "./decide-again.ts";
import { type DecisionLeaf, type Recorded, readRecorded } from "./recorded.ts";
import { ReplayTally } from "./replay-report.ts";

const leaf: DecisionLeaf = {
  t: "crossing",
  id: "gw-1-01KAMZZZZZ0000000000000000",
  at: 1_795_305_600_000,
  tenant: "main",
  environment: "production",
  region: "eu",
  node: "gw-1",
  kind: "api",
  caller: "2026:abcdefghijklmnopqrstuQ",
  subject: null,
  proof: "dpop",
  operation: "billing:invoice.read",
  integration: "orders-to-billing",
  mode: "enforce",
  verdict: "allow",
  code: null,
  stage: null,
  policies: ["grant:orders-to-billing"],
  policySet: "a".repeat(64),
  inputs: "b".repeat(64),
  address: null,
  addressClass: "private",
  outcome: "success",
  ...{ status: 200, upstreamStatus: 200, bytesIn: 0, bytesOut: 0, totalUs: 1, upstreamUs: 1 },
};
const decision = {
  principal: { id: "orders", attributes: {} },
  resource: { system: "billing", attributes: { region: "eu" } },
  context: {
    integration: "orders-to-billing",
    environment: "production",
    zone: "internal",
    proof: "dpop",
    scopes: [],
    stalenessMs: 3,
  },
};
const denied = (
  code: "policy-denied" | "policy-error" | "schema-mismatch" | "not-granted",
  stage: "authorize" | "inspect" | "bind",
) => ({ ...leaf, verdict: "deny", code, stage }) as const;
const verdictOf = (recorded: ReturnType<typeof readRecorded>) =>
  typeof recorded === "string" ? recorded : recorded.allowed ? "allow" : "deny";

test("policies allowed what they were asked about and did not refuse, also where something later denied it", () => {
  assert.equal(verdictOf(readRecorded(leaf, { decision })), "allow");
  assert.equal(verdictOf(readRecorded(denied("schema-mismatch", "inspect"), { decision })), "allow");
  assert.equal(verdictOf(readRecorded(denied("policy-denied", "authorize"), { decision })), "deny");
  assert.equal(verdictOf(readRecorded(denied("policy-error", "authorize"), { decision })), "deny");
});

test("attack: a refusal of an outside decision point is none of the policies, which had allowed it", () => {
  const outside = { policy: "opa:sallyport/allow", id: "1" };
  const refused = { ...denied("policy-denied", "authorize"), policies: [outside.policy] };
  assert.equal(verdictOf(readRecorded(refused, { decision, outside })), "allow");
  assert.equal(verdictOf(readRecorded(refused, null)), "allow");
});

test("a denial by policies that passed behind another one under observe is theirs", () => {
  const passed = { ...denied("not-granted", "bind"), mode: "observe" } as const;
  assert.equal(
    verdictOf(readRecorded(passed, { decision, also: [{ code: "policy-denied", stage: "authorize" }] })),
    "deny",
  );
  assert.equal(verdictOf(readRecorded(passed, { decision, also: [{ code: "schema-mismatch" }] })), "allow");
});

test("what no policy decided says so", () => {
  assert.equal(readRecorded(denied("not-granted", "bind"), { decision: null }), "before-policies");
  assert.equal(readRecorded({ ...leaf, integration: null }, { decision }), "before-policies");
  assert.equal(readRecorded(leaf, { decision: null }), "decided-by-answer");
  assert.equal(readRecorded({ ...leaf, operation: "billing:(undeclared)" }, { decision: null }), "undeclared");
});

test("attack: sealed inputs of another form, or of another integration than the leaf's, are not believed", () => {
  const odd = [
    {},
    { decision: 1 },
    { decision: { ...decision, principal: { id: 7 } } },
    { decision: { ...decision, resource: { attributes: { region: { __entity: { type: "System", id: "x" } } } } } },
    { decision: { ...decision, context: { ...decision.context, integration: "mallory-to-billing" } } },
    { decision: { ...decision, context: { integration: "orders-to-billing" } } },
  ];
  for (const opened of odd) assert.equal(readRecorded(leaf, opened), "unreadable", JSON.stringify(opened));
});

const files = (policy: string) => ({
  "sallyport.yaml": "estate: shop\n",
  "systems/billing.yaml":
    'system: billing\nurl: http://billing.internal:8080\noperations:\n  invoice.read:\n    match: GET /v1/invoices/{id}\n    attributes: { region: "query:region" }\n',
  "systems/orders.yaml":
    "system: orders\nuses:\n  - to: billing\n    purpose: Charge a customer when an order ships\n    operations: [invoice.read]\n",
  "policies/p.cedar": policy,
});
function candidateOf(condition: string) {
  const text = `@id("p") forbid(principal, action == Action::"billing:invoice.read", resource) when { ${condition} };`;
  const loaded = loadEstateFrom(memoryEstateIo(files(text), () => 0));
  const [environment] = loaded.estate.environments;
  assert.ok(environment !== undefined);
  return createCandidate(environment, {
    compiler: createSliceCompiler(),
    engine: createPolicyEngine({ memoEntriesMax: 10 }),
  });
}
const recorded = (changes: Partial<DecisionLeaf> = {}, context: object = {}): Recorded => {
  const read = readRecorded({ ...leaf, ...changes } as DecisionLeaf, {
    decision: { ...decision, context: { ...decision.context, ...context } },
  });
  return typeof read === "string" ? assert.fail(read) : read;
};

test("a signal is absent where the record is of nobody, and unknown where it was of a user and nobody made it", () => {
  const risky = candidateOf("context has risk && context.risk > 50");
  assert.equal(risky.decide(recorded()).kind, "allow", "a machine has no risk");
  const ofUser = recorded({ subject: "2026:abcdefghijklmnopqrstuQ" }, { subject: "anna" });
  assert.deepEqual(risky.decide(ofUser), { kind: "unknown", why: "the record does not say context.risk" });
  const known = recorded({ subject: "2026:abcdefghijklmnopqrstuQ" }, { subject: "anna", risk: 80, riskFactors: [] });
  assert.equal(risky.decide(known).kind, "deny");
});

test("what every leaf has in clear needs no sealed inputs", () => {
  const sealed: Recorded = {
    leaf,
    operation: "billing:invoice.read",
    integration: "orders-to-billing",
    allowed: true,
    inputs: null,
  };
  assert.equal(candidateOf('context.addressClass == "private"').decide(sealed).kind, "deny");
  assert.equal(candidateOf("context has subject").decide(sealed).kind, "allow", "the leaf says that there was none");
  assert.deepEqual(candidateOf("context.scopes.isEmpty()").decide(sealed), {
    kind: "unknown",
    why: "the record does not say context.scopes",
  });
});

test("groups and reasons have bounds, and what finds no room is counted", () => {
  const tally = new ReplayTally();
  for (let i = 0; i < 10_003; i++) tally.decided(recorded({}), { kind: "deny", caller: `c-${i}`, why: "p" });
  for (let i = 0; i < 300; i++) tally.undecided(`reason ${i}`, leaf.id);
  const report = tally.report();
  assert.deepEqual([report.groups.length, report.ungrouped, report.loses], [10_000, 3, 10_003]);
  assert.equal(report.undecided.length, 257);
  assert.equal(report.undecided[0]?.count, 44, "the others are one reason");
});
