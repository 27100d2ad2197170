import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readPolicyTests } from "@sallyport/control/policy-tests/read-tests.ts";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import { runBinary } from "../program.test-support.ts";
import { checkCase, coverageOf, environmentOf, type JudgedCase, judgeCase } from "./judge-cases.ts";
import { decideCase, gatewayEstate } from "./run-cases.ts";
import { decideToken } from "./run-token-cases.ts";

const now = Date.parse("2026-11-22T00:00:00Z");
const tools = { compiler: createSliceCompiler(), engine: createPolicyEngine({ memoEntriesMax: 0 }), now };
const jwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
const marketplace = join(import.meta.dirname, "../../../../examples/marketplace/estate");
const folder = mkdtempSync(join(tmpdir(), "sallyport-policy-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const billing = `system: billing
url: https://billing.acme.example
operations:
  invoice.read:
    match: GET /v1/invoices/{id}
    attributes:
      region: header:x-region
      level: { from: query:level, type: long }
  invoice.create:
    match: POST /v1/invoices
    attributes:
      amount: { from: "body:$.total.amount", type: long }
  invoice.audit:
    match: GET /v1/audit
    classification: restricted
    authorize: policy
`;
const files: Readonly<Record<string, string>> = {
  "systems/billing.yaml": billing,
  "systems/orders.yaml":
    "system: orders\nattributes: { region: eu }\nidentity: { client: orders, keys: [orders.jwks.json] }\n",
  "systems/orders.jwks.json": JSON.stringify({ keys: [jwk] }),
  "integrations/orders-to-billing.yaml":
    "integration: orders-to-billing\nfrom: orders\nto: billing\npurpose: Charge a customer when an order ships\noperations: [invoice.read, invoice.create, invoice.audit]\n",
  "policies/rules.cedar":
    '@id("own-region")\nforbid (principal, action == Action::"billing:invoice.read", resource) unless { principal.region == resource.region };\n@id("small")\nforbid (principal, action == Action::"billing:invoice.create", resource) when { resource.amount > 100 };\n',
};

/** Cases in the shape of a table, each with `caller: orders` unless it says otherwise. */
function judged(cases: readonly string[], more: Readonly<Record<string, string>> = {}): readonly JudgedCase[] {
  const table = `cases:\n${cases.map((one) => `  - { ${one.includes("caller:") ? "" : "caller: orders, "}${one} }`).join("\n")}\n`;
  const io = memoryEstateIo({ ...files, ...more, "tests/t.yaml": table }, () => now);
  const { estate } = loadEstateFrom(io);
  const tests = readPolicyTests(io);
  assert.deepEqual(tests.findings, []);
  return tests.cases.map((one) => {
    assert.deepEqual(checkCase(one, estate.environments), []);
    const environment = environmentOf(one, estate.environments);
    assert.ok(environment !== undefined);
    const ofToken = decideToken(environment, estate.environments, tools)(one);
    return judgeCase(one, environment.name, ofToken ?? decideCase(one, gatewayEstate(environment, tools), now));
  });
}

const verdicts = (cases: readonly string[], more?: Readonly<Record<string, string>>) =>
  judged(cases, more).map(({ got }) => got);

const read = "operation: billing:invoice.read, expect: allow";

test("a case is decided by grant, proof, scope, staleness, attributes and policies, in the order of a gateway", () => {
  const region = "attributes: { region: eu, level: 1 }";
  assert.deepEqual(
    verdicts([
      `${read}, ${region}`,
      `${read}, attributes: { region: us, level: 1 }`,
      `${read}, ${region}, scopes: ["billing:invoice.create"]`,
      `${read}, ${region}, proof: bearer`,
      `${read}, ${region}, staleness: 6m`,
      "caller: billing, operation: billing:invoice.read, expect: deny",
      "operation: billing:invoice.audit, expect: deny",
    ]),
    [
      "allow by grant:orders-to-billing",
      "deny policy-denied by own-region",
      "deny scope-missing",
      "deny proof-not-accepted",
      "deny stale-snapshot",
      "deny not-granted",
      "deny policy-denied",
    ],
  );
});

const stepUp = {
  "systems/billing.yaml": billing
    .replace("    match: GET /v1/audit", "    acr: mfa\n    maxAge: 10m\n    match: GET /v1/audit")
    .replace("    authorize: policy\n", ""),
};

test("an operation that wants a log-in is decided by it, and is not for machines", () => {
  const audit = "operation: billing:invoice.audit, expect: allow";
  assert.deepEqual(
    verdicts(
      [
        audit,
        `${audit}, subject: usr_1, acr: mfa, authAge: 5m`,
        `${audit}, subject: usr_1, acr: "urn:sallyport:acr:phishing-resistant", authAge: 0s`,
        `${audit}, subject: usr_1, acr: password, authAge: 5m`,
        `${audit}, subject: usr_1, acr: mfa, authAge: 601s`,
        `${audit}, subject: usr_1, acr: mfa`,
        `${audit}, subject: usr_1, acr: Mfa, authAge: 5m`,
      ],
      stepUp,
    ),
    [
      "deny insufficient-user-authentication",
      "allow by grant:orders-to-billing",
      "allow by grant:orders-to-billing",
      ...Array<string>(4).fill("deny insufficient-user-authentication"),
    ],
  );
});

test("an outside issuer's word is told apart by its id", () => {
  const policies = {
    "policies/own.cedar": `@id("own-only") forbid (principal, action == Action::"billing:invoice.read", resource) when { context has issuer && context.issuer != "partner" };
`,
  };
  const region = "attributes: { region: eu, level: 1 }";
  assert.deepEqual(
    verdicts(
      [`${read}, ${region}`, `${read}, ${region}, issuer: keycloak`, `${read}, ${region}, issuer: partner`],
      policies,
    ),
    ["allow by grant:orders-to-billing", "deny policy-denied by own-only", "allow by grant:orders-to-billing"],
  );
});

test("signals are set by the case, and one that nobody could know is absent", () => {
  const policies = {
    "policies/rules.cedar": `@id("safe") forbid (principal, action == Action::"billing:invoice.create", resource) when { context has risk && context.risk >= 50 };
@id("home") forbid (principal, action == Action::"billing:invoice.create", resource) unless { context has country && context.country == "DE" };
@id("strong") forbid (principal, action == Action::"billing:invoice.create", resource) when { context.acrLevel < 2 || context.addressClass == "private" };
@id("young") forbid (principal, action == Action::"billing:invoice.create", resource) unless { context has authAge && context.authAge <= 60 && context has amr && context.amr.contains("otp") };
`,
  };
  const good =
    "operation: billing:invoice.create, expect: allow, attributes: { amount: 1 }, subject: usr_1, acr: mfa, authAge: 1m, amr: [pwd, otp]";
  assert.deepEqual(
    verdicts(
      [
        `${good}, country: DE`,
        `${good}, country: DE, risk: 50, riskFactors: [impossible-travel]`,
        `${good}, country: AU`,
        good,
        `${good}, country: DE, address: private`,
        `${good.replace("mfa", "password")}, country: DE`,
        `${good.replace("1m", "61s")}, country: DE`,
        `${good.replace("[pwd, otp]", "[pwd]")}, country: DE`,
      ],
      policies,
    ),
    [
      "allow by grant:orders-to-billing",
      ...["safe", "home", "home", "strong", "strong", "young", "young"].map((id) => `deny policy-denied by ${id}`),
    ],
  );
});

test("attributes are read where a request carries them, with the types a gateway judges", () => {
  const create = "operation: billing:invoice.create, expect: allow";
  assert.deepEqual(
    verdicts([
      `${create}, attributes: { amount: 100 }`,
      `${create}, attributes: { amount: 101 }`,
      `${create}, attributes: { amount: "100" }`,
      create,
      `${read}, attributes: { region: eu, level: many }`,
      `${read}, attributes: { region: eu }`,
    ]),
    [
      "allow by grant:orders-to-billing",
      "deny policy-denied by small",
      "deny attribute-missing",
      "deny attribute-missing",
      "deny attribute-missing",
      "deny attribute-missing",
    ],
  );
});

test("a state is no configuration: what awaits approval is decided, what has expired is not granted any more", () => {
  const region = "attributes: { region: eu, level: 1 }";
  const approval = { "sallyport.yaml": "environments:\n  production: { approval: operator }\n" };
  assert.deepEqual(verdicts([`${read}, ${region}`], approval), ["allow by grant:orders-to-billing"]);
  const text = files["integrations/orders-to-billing.yaml"] ?? "";
  const ended = { "integrations/orders-to-billing.yaml": `${text}expires: 2026-10-31\n` };
  assert.deepEqual(verdicts([`${read}, ${region}`], ended), ["deny not-active"]);
});

const tokenFiles = {
  "policies/tokens.cedar": `@id("no-password")
forbid (principal, action in [Action::"token:issue", Action::"token:exchange"], resource in System::"billing")
when { context.operations.contains("billing:invoice.create") && context has amr && context.amr.contains("pwd") };
@id("inside")
forbid (principal, action == Action::"token:issue", resource) when { context has address && !context.address.isInRange(ip("10.0.0.0/8")) };
@id("shallow")
forbid (principal, action == Action::"token:exchange", resource) when { context.as == "impersonate" && context.depth > 1 };
`,
  "integrations/orders-to-billing.yaml": `${files["integrations/orders-to-billing.yaml"]}exchange:\n  - { subject: own, as: impersonate, operations: [invoice.read, invoice.create], depth: 2 }\n`,
};

test("a case about a token says the country, the risk and the age of the log-in that control would find", () => {
  const rules = {
    ...tokenFiles,
    "policies/tokens.cedar": `@id("home")
forbid (principal, action == Action::"token:issue", resource) unless { context has country && context.country == "DE" };
@id("calm")
forbid (principal, action == Action::"token:issue", resource) when { context has risk && context.risk >= 50 };
@id("fresh")
forbid (principal, action == Action::"token:issue", resource) when { context has authAge && context.authAge > 300 };
@id("no-travel")
forbid (principal, action == Action::"token:issue", resource) when { context has riskFactors && context.riskFactors.contains("impossible-travel") };
`,
  };
  const machine = "operation: token:issue, token: { for: billing }, expect: allow";
  const user =
    "operation: token:issue, token: { for: billing, grantType: refresh_token }, subject: usr_1, country: DE, expect: allow";
  assert.deepEqual(
    verdicts(
      [
        machine,
        `${machine}, country: AU`,
        `${machine}, country: DE`,
        user,
        `${user}, risk: 50`,
        `${user}, risk: 49, riskFactors: [impossible-travel]`,
        `${user}, authAge: 5m`,
        `${user}, authAge: 301s`,
      ],
      rules,
    ),
    [
      "deny policy-denied by home",
      "deny policy-denied by home",
      "allow by grant:orders-to-billing",
      "allow by grant:orders-to-billing",
      "deny policy-denied by calm",
      "deny policy-denied by no-travel",
      "allow by grant:orders-to-billing",
      "deny policy-denied by fresh",
    ],
  );
});

test("a case about a token is decided by grant, scope, proof, rule of exchange and policies, in the order of the token endpoint", () => {
  const issue = (token: string, more = "") =>
    `operation: token:issue, token: { for: billing${token} }${more}, expect: allow`;
  const exchange = (token = "", more = "") =>
    `operation: token:exchange, token: { for: billing${token} }${more}, expect: allow`;
  const by = "allow by grant:orders-to-billing";
  assert.deepEqual(
    verdicts(
      [
        issue(""),
        issue("", ', scopes: ["billing:invoice.read"]'),
        issue("", ', scopes: ["billing:invoice.void"]'),
        issue("", ", proof: bearer"),
        issue(", address: 10.0.0.7"),
        issue(", address: 192.0.2.1"),
        issue(", grantType: refresh_token, amr: [pwd, otp]"),
        issue(", grantType: refresh_token, amr: [pwd, otp]", ', scopes: ["billing:invoice.read"]'),
        "operation: token:issue, token: { for: orders }, expect: deny",
        "caller: billing, operation: token:issue, token: { for: orders }, expect: deny",
        exchange(),
        exchange(", depth: 2"),
        exchange(", depth: 3"),
        exchange(", amr: [pwd]"),
        exchange("", ', scopes: ["billing:invoice.audit"]'),
      ],
      tokenFiles,
    ),
    [
      by,
      by,
      "deny scope-not-granted",
      "deny proof-not-accepted",
      by,
      "deny policy-denied by inside",
      "deny policy-denied by no-password",
      by,
      "deny resource-not-granted",
      "deny client-unknown",
      by,
      "deny policy-denied by shallow",
      "deny exchange-depth",
      "deny policy-denied by no-password",
      "deny exchange-scope",
    ],
  );
  const renamed = {
    ...tokenFiles,
    "policies/tokens.cedar": tokenFiles["policies/tokens.cedar"].replace("invoice.create", "invoice.make"),
  };
  assert.deepEqual(verdicts([issue("", ', scopes: ["billing:invoice.read"]')], renamed), ["deny policy-error"]);
});

test("a table about tokens that contradicts itself, or names what is not there, tests nothing and says so", () => {
  const table = (one: string) => {
    const io = memoryEstateIo(
      { ...files, "tests/t.yaml": `cases:\n  - { caller: orders, expect: allow, ${one} }\n` },
      () => now,
    );
    const { estate } = loadEstateFrom(io);
    const tests = readPolicyTests(io);
    return [...tests.findings, ...tests.cases.flatMap((made) => checkCase(made, estate.environments))].map(
      ({ message }) => message,
    );
  };
  const said: readonly (readonly [string, RegExp])[] = [
    ["operation: token:issue", /for which system/],
    ["operation: token:issue, token: { for: biling }", /no system `biling`/],
    ["operation: token:issue, token: { for: billing, client: shop }", /no client `shop`/],
    ["operation: token:exchange, token: { for: billing, subjectIssuer: keycloak }", /no issuer is called `keycloak`/],
    ["operation: token:issue, token: { for: billing }, attributes: { region: eu }", /a token has none/],
    ["operation: billing:invoice.read, token: { for: billing }", /belongs to/],
    ["operation: token:issue, token: { for: billing, grantType: password }", /grantType|one of|expected/i],
  ];
  for (const [one, message] of said) assert.match(table(one)[0] ?? "", message, one);
});

test("attack: a policy file that cannot be read permits nothing, in a test as at a gateway", () => {
  const broken = { "policies/broken.cedar": "forbid (principal" };
  assert.deepEqual(verdicts([`${read}, attributes: { region: eu, level: 1 }`], broken), ["deny policy-error"]);
});

test("a verdict is as expected only with the code and exactly the policies that are named", () => {
  const us = "operation: billing:invoice.read, attributes: { region: us, level: 1 }, expect: deny";
  const results = judged([
    us,
    `${us}, code: policy-denied, policies: [own-region]`,
    `${us}, code: not-granted`,
    `${us}, policies: []`,
    `${us}, policies: [own-region, small]`,
    us.replace("expect: deny", "expect: allow"),
  ]);
  assert.deepEqual(
    results.map(({ ok }) => ok),
    [true, true, false, false, false, false],
  );
  assert.ok(results.at(-1)?.why.some((line) => line.includes("denied by own-region")));
});

test("coverage: a policy counts when it decided a verdict, an operation when a case asked for it", () => {
  const results = judged([`${read}, attributes: { region: eu, level: 1 }`]);
  const { estate } = loadEstateFrom(memoryEstateIo(files, () => now));
  const policies = ["own-region", "small"];
  const some = coverageOf(results, { environments: estate.environments, policies });
  assert.deepEqual(some.operations.never, ["billing:invoice.audit", "billing:invoice.create"]);
  // It looked at the request and did not decide it: no case shows that it forbids anything.
  assert.deepEqual(some.policies, { total: 2, decided: 0, never: policies });
});

test("a table that names what does not exist, or reads otherwise than it looks, is refused with its place", () => {
  const wrong: readonly [string, RegExp, number][] = [
    ["  - { caller: order, operation: billing:invoice.read, expect: deny }", /no system `order`.*orders/, 2],
    [
      "  - { caller: orders, operation: billing:invoice.reed, expect: deny }",
      /no operation `invoice.reed`.*invoice\.read/,
      2,
    ],
    ["  - { caller: orders, operation: bill:invoice.read, expect: deny }", /no system `bill`/, 2],
    [
      "  - { caller: orders, operation: billing:invoice.read, environment: stagin, expect: deny }",
      /no such environment/,
      2,
    ],
    [
      "  - caller: orders\n    operation: billing:invoice.read\n    attributes: { regoin: eu }\n    expect: deny",
      /no attribute `regoin`.*region/,
      4,
    ],
    ["  - { caller: orders, operation: billing:invoice.read, expect: maybe }", /not one of `allow`, `deny`/, 2],
    [
      "  - { caller: orders, operation: billing:invoice.read, expect: allow, code: policy-denied }",
      /why something is denied/,
      2,
    ],
    ["  - { caller: orders, operation: billing:invoice.read, expect: deny, acr: mfa }", /acts for nobody.*subject/, 2],
    [
      "  - { caller: orders, operation: billing:invoice.read, expect: deny, subject: u, authTime: 1, authAge: 1s }",
      /says it already/,
      2,
    ],
    ["  - { caller: orders, operation: billing:invoice.read, expect: deny, country: de }", /not in the form/, 2],
    ["  - { caller: orders, operation: billing:invoice.read, expect: deny, nonsense: 1 }", /unknown key `nonsense`/, 2],
    ["  - { caller: no, operation: billing:invoice.read, expect: deny }", /boolean to YAML 1\.1/, 2],
  ];
  const { estate } = loadEstateFrom(memoryEstateIo(files, () => now));
  for (const [lines, says, line] of wrong) {
    const { cases, findings } = readPolicyTests(memoryEstateIo({ "tests/t.yaml": `cases:\n${lines}\n` }, () => now));
    const all = [...findings, ...cases.flatMap((one) => checkCase(one, estate.environments))];
    assert.ok(
      all.some((one) => says.test(`${one.message} ${one.fix}`) && one.file === "tests/t.yaml" && one.line === line),
      `${lines}: ${JSON.stringify(all)}`,
    );
  }
});

const bounded = { timeout: 120_000 };

test(
  "policy test: 0 and coverage for the tables of the marketplace, 1 with the reasons when one is wrong, 2 when there is none",
  bounded,
  async () => {
    const wrong = join(folder, "wrong");
    cpSync(marketplace, wrong, { recursive: true });
    writeFileSync(
      join(wrong, "tests/billing.yaml"),
      "environment: production\ncases:\n  - { caller: analytics, operation: billing:invoice.create, proof: mtls, expect: allow }\n",
    );
    const none = join(folder, "none");
    cpSync(marketplace, none, { recursive: true });
    rmSync(join(none, "tests"), { recursive: true });
    const [good, json] = await Promise.all([
      runBinary(["policy", "test", marketplace]),
      runBinary(["policy", "test", marketplace, "--json", "--fail-uncovered"]),
    ]);
    const [bad, junit] = await Promise.all([
      runBinary(["policy", "test", wrong]),
      runBinary(["policy", "test", wrong, "--format", "junit"]),
    ]);
    const absent = await runBinary(["policy", "test", none]);
    assert.deepEqual([good.exit, good.err], [0, ""]);
    assert.match(good.out, /policies decided: 3 of 4; by no case: ledger-read-from-eu-only/);
    const report = JSON.parse(json.out);
    assert.deepEqual([json.exit, report.failed, report.cases.length], [1, 0, report.passed]);
    assert.equal(bad.exit, 1);
    assert.match(
      bad.out,
      /tests\/billing\.yaml:3:5 .*\n {2}expected allow\n {2}got {6}deny not-granted\n[\s\S]*Integration analytics-to-billing does not grant/,
    );
    assert.equal(junit.exit, 1);
    assert.match(
      junit.out,
      /tests="1" failures="1"[\s\S]*<failure type="verdict" message="expected allow, got deny not-granted">/,
    );
    assert.equal(absent.exit, 2);
    assert.match(absent.err, /there is no test in .*\n {2}fix: write tests\//);
  },
);
