import assert from "node:assert/strict";
import { test } from "node:test";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { memoryEstateIo } from "../registry/config/estate-io.ts";
import { loadEstateFrom } from "../registry/config/load.ts";
import type { IntegrationState } from "../snapshot/compile-objects.ts";
import { explain } from "./explain.ts";
import { type Explanation, type Question, QuestionFault } from "./explanation.ts";

const now = Date.UTC(2026, 10, 22, 12);
const jwks = () => JSON.stringify({ keys: [generateSigner("ES256").signer.jwk] });
const files: Readonly<Record<string, string>> = {
  "systems/billing.yaml": `system: billing
url: https://billing.example
operations:
  invoice.create: POST /v1/invoices
  invoice.read: GET /v1/invoices/{id}
  report.read:
    match: GET /v1/reports/{region}
    attributes: { region: "path:region" }
`,
  "systems/orders.yaml": `system: orders
identity: { client: orders, keys: [orders.jwks.json] }
attributes: { region: eu }
uses:
  - to: billing
    purpose: Charge a customer when an order ships
    operations: [invoice.read, report.read]
`,
  "systems/orders.jwks.json": jwks(),
  "systems/portal.yaml": "system: portal\n",
  "policies/regions.cedar": `// reports stay
@id("own-region")
forbid (principal, action == Action::"billing:report.read", resource) unless { principal.region == resource.region };
`,
};

function ask(
  question: Partial<Question>,
  on: { files?: Readonly<Record<string, string>>; state?: IntegrationState } = {},
): Explanation {
  const { estate } = loadEstateFrom(memoryEstateIo({ ...files, ...on.files }, () => now));
  const [environment] = estate.environments;
  assert.ok(environment);
  return explain(
    { environment: "production", from: "orders", operation: "billing:invoice.read", attributes: {}, ...question },
    {
      environment,
      states: new Map(on.state === undefined ? [] : [["orders-to-billing", on.state]]),
      now,
      compiler: createSliceCompiler(),
      engine: createPolicyEngine({ memoEntriesMax: 0 }),
    },
  );
}

const verdict = ({ allowed, code, stage }: Explanation) => (allowed ? "allowed" : `${stage} ${code}`);
const place = ({ fix }: Explanation) => (fix?.file === null || fix === null ? null : `${fix.file}:${fix.line}`);

test("what would pass is allowed, with every stage said and what only a request can tell marked", () => {
  const answer = ask({});
  assert.equal(verdict(answer), "allowed");
  assert.deepEqual(
    answer.steps.map(({ stage, passes }) => [stage, passes]),
    [
      ["route", true],
      ["identify", true],
      ["bind", true],
      ["limit", null],
      ["authorize", true],
      ["inspect", null],
    ],
  );
  assert.equal(answer.integration, "orders-to-billing");
});

test("not granted: the nearest grant, and the line with the operation added", () => {
  const answer = ask({ operation: "billing:invoice.create" });
  assert.deepEqual([verdict(answer), place(answer)], ["bind not-granted", "systems/orders.yaml:5"]);
  assert.deepEqual(
    answer.nearest.map(({ integration, why }) => [integration, why]),
    [["orders-to-billing", "same caller, other operations"]],
  );
  assert.equal(answer.fix?.yaml, "operations: [invoice.read, report.read, invoice.create]");
});

test("no integration at all: another consumer's grant is nearest, and a uses entry is what to write", () => {
  const bare = ask({ from: "portal" });
  assert.deepEqual([verdict(bare), place(bare)], ["identify client-unknown", "systems/portal.yaml:1"]);
  const identity = "system: portal\nidentity: { client: portal, keys: [portal.jwks.json] }\n";
  const answer = ask(
    { from: "portal" },
    { files: { "systems/portal.yaml": identity, "systems/portal.jwks.json": jwks() } },
  );
  assert.deepEqual([verdict(answer), place(answer)], ["bind not-granted", "systems/portal.yaml:1"]);
  assert.equal(answer.nearest[0]?.why, "same operation, other caller");
  assert.deepEqual(answer.fix?.yaml?.split("\n").slice(0, 2), ["uses:", "  - to: billing"]);
});

test("the state that operators decided counts, not what the file says", () => {
  const answer = ask({}, { state: "suspended" });
  assert.deepEqual([verdict(answer), place(answer)], ["bind not-active", "systems/orders.yaml:5"]);
  assert.match(answer.fix?.says ?? "", /^sallyport integration activate orders-to-billing --environment production/);
});

test("an operation that wants a log-in: a machine is refused, a user whose log-in is enough passes, and it is said what is wanted", () => {
  const wanting = {
    "systems/billing.yaml": `${files["systems/billing.yaml"]}  payout.create: { match: POST /v1/payouts, acr: mfa, maxAge: 10m }\n`,
    "systems/orders.yaml": `${files["systems/orders.yaml"]}`.replace("report.read]", "report.read, payout.create]"),
  };
  const payout = (user?: Question["user"]) => ask({ operation: "billing:payout.create", user }, { files: wanting });
  const machine = payout();
  assert.deepEqual(
    [verdict(machine), place(machine)],
    ["authorize insufficient-user-authentication", "systems/billing.yaml:1"],
  );
  assert.match(machine.steps.at(-1)?.says ?? "", /worth mfa or more, at most 600 s old; .*machines are refused/);
  assert.match(machine.fix?.says ?? "", /acr_values=urn:sallyport:acr:mfa and max_age=600 .*--acr mfa/);
  assert.equal(verdict(payout({ acr: "password", authAgeSeconds: 0 })), "authorize insufficient-user-authentication");
  assert.equal(verdict(payout({ acr: "mfa", authAgeSeconds: 601 })), "authorize insufficient-user-authentication");
  const enough = payout({ acr: "phishing-resistant", authAgeSeconds: 600 });
  assert.equal(verdict(enough), "allowed");
  assert.match(enough.steps.find(({ stage }) => stage === "authorize")?.says ?? "", /the user has a log-in worth mfa/);
});

test("signals that a question cannot know are assumed, and the answer says so", () => {
  const guarded = {
    "policies/regions.cedar":
      '@id("far") forbid (principal, action == Action::"billing:invoice.read", resource) when { context.acrLevel < 2 || (context has country && context.country == "AU") };\n',
  };
  assert.equal(verdict(ask({}, { files: guarded })), "authorize policy-denied");
  const user = ask({ user: { acr: "mfa", authAgeSeconds: 0 } }, { files: guarded });
  assert.equal(verdict(user), "allowed");
  assert.match(
    user.steps.find(({ stage }) => stage === "authorize")?.says ?? "",
    /assumed of acrLevel, country: docs\/policy-signals/,
  );
});

test("proof and scope are held against the grant", () => {
  assert.equal(verdict(ask({ proof: "bearer" })), "authorize proof-not-accepted");
  assert.match(ask({ proof: "bearer" }).fix?.yaml ?? "", /accept: \[mtls, dpop, bearer\]/);
  assert.equal(verdict(ask({ proof: "mtls" })), "identify certificate-unknown");
  assert.equal(verdict(ask({ scopes: ["billing:report.read"] })), "authorize scope-missing");
  assert.equal(verdict(ask({ scopes: ["billing:invoice.read"] })), "allowed");
});

test("policies are decided by the engine itself: the attribute they read must be named, and a forbid says its line", () => {
  const unnamed = ask({ operation: "billing:report.read" });
  assert.equal(verdict(unnamed), "authorize attribute-missing");
  assert.deepEqual(unnamed.missing, ["region (string, from path region)"]);
  assert.equal(verdict(ask({ operation: "billing:report.read", attributes: { region: "eu" } })), "allowed");
  const other = ask({ operation: "billing:report.read", attributes: { region: "us" } });
  assert.deepEqual([verdict(other), place(other)], ["authorize policy-denied", "policies/regions.cedar:2"]);
  assert.deepEqual(other.policies, [{ id: "own-region", place: "policies/regions.cedar:2" }]);
});

test("a broken object says file, line and why; nothing is guessed about it", () => {
  const answer = ask(
    {},
    { files: { "systems/billing.yaml": "system: billing\nurl: nonsense\noperations:\n  invoice.read: GET /x\n" } },
  );
  assert.deepEqual([verdict(answer), place(answer)], ["bind not-served", "systems/billing.yaml:2"]);
});

test("where nothing is enforced yet, a denial says that it would pass", () => {
  const observe = "mode: observe\nuntil: 2027-01-31\nreason: forty live flows\n";
  const answer = ask(
    { operation: "billing:invoice.create" },
    { files: { "systems/billing.yaml": `${files["systems/billing.yaml"]}${observe}` } },
  );
  assert.equal(answer.allowed, false);
  assert.match(answer.observed ?? "", /until 2027-02-01/);
});

test("attack: why does not say that a caller passes under observe whom a human cut off, nor one of an integration that says enforce", () => {
  const observe = "mode: observe\nuntil: 2027-01-31\nreason: forty live flows\n";
  const billing = { "systems/billing.yaml": `${files["systems/billing.yaml"]}${observe}` };
  for (const state of ["suspended", "retired"] as const)
    for (const operation of ["billing:invoice.read", "billing:invoice.create"])
      assert.equal(ask({ operation }, { files: billing, state }).observed, null, `${state} ${operation}`);
  assert.match(ask({}, { files: billing, state: "proposed" }).observed ?? "", /until 2027-02-01/);
  const integration = (mode: string) => ({
    "systems/orders.yaml": "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\n",
    "integrations/orders-to-billing.yaml": `integration: orders-to-billing\nfrom: orders\nto: billing\npurpose: Charge a customer\noperations: [invoice.read]\n${mode}`,
  });
  const enforced = { ...billing, ...integration("mode: enforce\n") };
  assert.equal(verdict(ask({}, { files: enforced })), "allowed");
  assert.equal(ask({}, { files: enforced, state: "proposed" }).observed, null);
  assert.equal(ask({}, { files: integration(observe), state: "proposed" }).observed, null, "its provider enforces");
});

test("a name that is not there is answered with the nearest", () => {
  const wrong: readonly (readonly [Partial<Question>, RegExp])[] = [
    [{ from: "ordres" }, /`orders`/],
    [{ operation: "biling:invoice.read" }, /`billing`/],
    [{ operation: "billing:invoice.raed" }, /`billing:invoice.read`/],
    [{ operation: "billing" }, /use one of/],
    [{ attributes: { __proto__x: "1" } }, /none/],
  ];
  for (const [question, fix] of wrong)
    assert.throws(
      () => ask(question),
      (error) => error instanceof QuestionFault && fix.test(error.fix),
      JSON.stringify(question),
    );
});

test("a system that only outside tokens prove is told by which issuer, client, audience and scope", () => {
  const sso = (more: string) =>
    `issuer: sso\nurl: https://sso.example\npreset: keycloak\njwksUri: https://sso.example/certs\ngateways:\n  - system: portal\n    party: portal-web\n    speaksFor: user\n${more}`;
  const grant =
    "integration: portal-to-billing\nfrom: portal\nto: billing\npurpose: Show invoices\noperations: [invoice.read]\n";
  const identify = (more: string) => {
    const answer = ask(
      { from: "portal" },
      { files: { "integrations/portal-to-billing.yaml": grant, "issuers/sso.yaml": sso(more) }, state: "active" },
    );
    assert.equal(verdict(answer), "allowed");
    return answer.steps.find(({ stage }) => stage === "identify")?.says;
  };
  const by = "portal can prove itself with dpop; or with a token of sso (issuers/sso.yaml:1) for azp portal-web, aud";
  assert.equal(identify(""), `${by} <issuer>/systems/billing`);
  const named = '    audiences: { billing-api: [billing] }\n    carries: { read: ["billing:invoice.read"] }\n';
  assert.equal(identify(named), `${by} billing-api, scope read`);
  const other = '    carries: { create: ["billing:invoice.create"] }\n';
  assert.equal(identify(other), `${by} <issuer>/systems/billing, scope (no word carries it)`);
});

test("why tells of a token what the token endpoint decides first, then which policy refuses it, with file and line", () => {
  const policies = {
    "policies/tokens.cedar": `@id("inside")
forbid (principal, action == Action::"token:issue", resource) unless { context has address && context.address.isInRange(ip("10.0.0.0/8")) };
@id("no-mfa")
forbid (principal, action == Action::"token:issue", resource)
when { context.grantType == "authorization_code" && !(context has acr && context.acr == "urn:sallyport:acr:mfa") };
`,
  };
  const token = { operation: "token:issue", for: "billing" } as const;
  assert.equal(verdict(ask(token)), "allowed");
  assert.equal(verdict(ask({ ...token, scopes: ["billing:invoice.create"] })), "bind scope-not-granted");
  assert.equal(verdict(ask({ ...token, from: "portal" })), "bind client-unknown");
  assert.equal(verdict(ask(token, { state: "suspended" })), "bind resource-not-granted");
  const outside = ask({ ...token, address: "192.0.2.1" }, { files: policies });
  assert.deepEqual([verdict(outside), place(outside)], ["authorize policy-denied", "policies/tokens.cedar:1"]);
  assert.deepEqual(outside.policies, [{ id: "inside", place: "policies/tokens.cedar:1" }]);
  assert.equal(verdict(ask({ ...token, address: "10.0.0.1" }, { files: policies })), "allowed");
  const user = (acr: "password" | "mfa") =>
    verdict(ask({ ...token, address: "10.0.0.1", user: { acr, authAgeSeconds: 5 } }, { files: policies }));
  assert.deepEqual([user("password"), user("mfa")], ["authorize policy-denied", "allowed"]);
  assert.equal(verdict(ask({ operation: "token:exchange", for: "billing" })), "bind exchange-not-granted");
  assert.throws(() => ask({ operation: "token:issue" }), { fix: /--for/ });
  assert.throws(() => ask({ operation: "token:issue", for: "biling" }), { fix: /billing/ });
});

/** Each forbids by one signal, of the action. */
const bySignals = (action: string) => `@id("at-home")
forbid (principal, action == Action::"${action}", resource) when { context has country && context.country != "DE" };
@id("fresh")
forbid (principal, action == Action::"${action}", resource) when { context has authAge && context.authAge > 300 };
@id("calm")
forbid (principal, action == Action::"${action}", resource) when { context has risk && context.risk >= 50 };
@id("still")
forbid (principal, action == Action::"${action}", resource) when { context has riskFactors && context.riskFactors.contains("country-changed") };
`;

for (const token of [
  { operation: "token:issue", for: "billing" },
  { operation: "billing:invoice.read", for: undefined },
] as const)
  test(`a question about ${token.operation} says the country, the age of the log-in and the risk that policies read`, () => {
    const on = { files: { "policies/signals.cedar": bySignals(token.operation) } };
    const user = { acr: "mfa", authAgeSeconds: 300 } as const;
    const by = (question: Partial<Question>) => ask({ ...token, ...question }, on).policies.map(({ id }) => id);
    assert.equal(verdict(ask({ ...token, user, country: "DE", risk: 49 }, on)), "allowed");
    assert.equal(verdict(ask({ ...token, user }, on)), "allowed", "what it does not say is no risk and no country");
    assert.deepEqual(by({ country: "AU" }), ["at-home"]);
    assert.deepEqual(by({ user, country: "AU" }), ["at-home"]);
    assert.deepEqual(by({ user: { ...user, authAgeSeconds: 301 } }), ["fresh"]);
    assert.deepEqual(by({ user, risk: 50 }), ["calm"]);
    assert.deepEqual(by({ user, riskFactors: ["country-changed"] }), ["still"]);
    assert.equal(verdict(ask({ ...token, risk: 100, riskFactors: ["country-changed"] }, on)), "allowed", "of nobody");
  });
