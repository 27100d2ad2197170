import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import type { EnvironmentConfig, IssuerConfig } from "./config/estate.ts";
import { load, soundEstate } from "./config/sound-estate.ts";
import { trustChanges, trustWords } from "./trust-words.ts";

const jwkOf = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
const jwks = (kid: string) => JSON.stringify({ keys: [{ ...jwkOf(), kid }] });

const partner = `issuer: partner
url: https://idp.partner.example
algorithms: [ES256]
jwks: partner.jwks.json
systems:
  - system: orders
    subject: order-robot
`;

function environmentOf(files: Readonly<Record<string, string>>): EnvironmentConfig {
  const { estate, findings } = load({ ...soundEstate(), ...files });
  assert.deepEqual(
    findings.filter(({ severity }) => severity === "error").map(({ message }) => message),
    [],
  );
  const [production] = estate.environments;
  assert.ok(production);
  return production;
}

const issuer: IssuerConfig = {
  id: "keycloak",
  url: "https://sso.example/realms/shop",
  kind: "keycloak",
  algorithms: ["RS256"],
  audiences: ["https://id.example"],
  companions: ["account"],
  parties: ["portal"],
  lifetimeSecondsMax: 3600,
  keys: { from: "uri", uri: "https://sso.example/certs", allowPrivate: false, trust: "corp" },
  systems: [{ system: "orders", subject: "s1", claims: { realm: "shop" } }],
  gateways: [
    {
      system: "portal",
      party: "web",
      speaksFor: "user",
      claims: {},
      audiences: { api: ["billing"] },
      carries: { read: ["billing:invoice.read"] },
      acr: { gold: "urn:sallyport:acr:mfa" },
    },
  ],
  declaredAt: { file: "issuers/keycloak.yaml", line: 1, column: 1 },
};

function withIssuer(base: EnvironmentConfig, ...issuers: readonly IssuerConfig[]): EnvironmentConfig {
  return { ...base, issuers };
}

test("an issuer, its mapping and its keys are said in words; what is not declared is not", () => {
  const words = trustWords(environmentOf({ "issuers/partner.jwks.json": jwks("k"), "issuers/partner.yaml": partner }));
  const said = words.map(({ about, says }) => `${about}: ${says}`);
  assert.match(
    said[0] ?? "",
    /^issuer\/partner: tokens of partner \(https:\/\/idp\.partner\.example\) are believed; assertions for us alone; signed with ES256; for this environment's issuer; at most 3600 s long; keys of a file: k \(ES256 [\w-]{12}\)$/,
  );
  assert.equal(
    said[1],
    'issuer/partner: whoever shows a token of partner with sub "order-robot" gets tokens as orders',
  );
  assert.deepEqual(trustWords(environmentOf({})), []);
});

test("a key that takes the place of another under its name is a change that a plan shows", () => {
  const one = environmentOf({ "issuers/partner.jwks.json": jwks("k"), "issuers/partner.yaml": partner });
  const other = environmentOf({ "issuers/partner.jwks.json": jwks("k"), "issuers/partner.yaml": partner });
  assert.deepEqual(trustChanges([one], [one]), []);
  assert.deepEqual(
    trustChanges([one], [other]).map(({ about, change }) => [about, change]),
    [["issuer/partner", "changed"]],
  );
});

const changesOfIssuer: Readonly<Record<string, Partial<IssuerConfig>>> = {
  url: { url: "https://sso.example/realms/other" },
  kind: { kind: "access-token" },
  algorithm: { algorithms: ["RS256", "PS256"] },
  audience: { audiences: [] },
  companion: { companions: [] },
  party: { parties: null },
  "longest life": { lifetimeSecondsMax: 7200 },
  "place of keys": { keys: { from: "uri", uri: "https://evil.example/certs", allowPrivate: false, trust: "corp" } },
  "roots of that place": { keys: { from: "uri", uri: "https://sso.example/certs", allowPrivate: false } },
  "private addresses": { keys: { from: "uri", uri: "https://sso.example/certs", allowPrivate: true, trust: "corp" } },
  "pinned subject": { systems: [{ system: "orders", subject: "s2", claims: { realm: "shop" } }] },
  "pinned claim": { systems: [{ system: "orders", subject: "s1", claims: {} }] },
  "mapped system": { systems: [{ system: "billing", subject: "s1", claims: { realm: "shop" } }] },
};

for (const [name, change] of Object.entries(changesOfIssuer))
  test(`nobody is believed unseen: a changed ${name} of an outside issuer is in the plan`, () => {
    const base = environmentOf({});
    const changes = trustChanges([withIssuer(base, issuer)], [withIssuer(base, { ...issuer, ...change })]);
    assert.ok(changes.length > 0);
    for (const { about } of changes) assert.equal(about, "issuer/keycloak");
  });

const [rule] = issuer.gateways ?? [];
assert.ok(rule);
const { carries: _carries, ...uncarried } = rule;
const { acr: _acr, ...levelless } = rule;
for (const [name, gateways] of Object.entries({
  system: [{ ...rule, system: "orders" }],
  party: [{ ...rule, party: "other" }],
  "speaks for": [{ ...rule, speaksFor: "workload" as const }],
  subject: [{ ...rule, subject: "s9" }],
  claim: [{ ...rule, claims: { a: "b" } }],
  audience: [{ ...rule, audiences: { api: ["billing", "orders"] } }],
  "scope word": [{ ...rule, carries: { read: ["billing:invoice.create"] } }],
  "lost scope words": [uncarried],
  acr: [{ ...rule, acr: { gold: "urn:sallyport:acr:phishing-resistant" as const } }],
  "lost acr": [levelless],
  "further rule": [rule, { ...rule, party: "second" }],
}))
  test(`nobody may present more unseen: a changed ${name} of a rule at gateways is in the plan`, () => {
    const base = environmentOf({});
    assert.notDeepEqual(trustChanges([withIssuer(base, issuer)], [withIssuer(base, { ...issuer, gateways })]), []);
  });

test("a mapping that pins something else is one that went and one that came", () => {
  const base = environmentOf({});
  const other = { ...issuer, systems: [{ system: "orders", subject: "s2", claims: { realm: "shop" } }] };
  assert.deepEqual(
    trustChanges([withIssuer(base, issuer)], [withIssuer(base, other)]).map(({ change, before, after }) => [
      change,
      before ?? after,
    ]),
    [
      ["removed", 'whoever shows a token of keycloak with sub "s1", "realm" "shop" gets tokens as orders'],
      ["added", 'whoever shows a token of keycloak with sub "s2", "realm" "shop" gets tokens as orders'],
    ],
  );
});

test("what an issuer chose as a value neither ends its quotes nor moves a cursor", () => {
  const base = environmentOf({});
  const evil = { ...issuer, systems: [{ system: "orders", subject: 'x" gets nothing\u001b[2J', claims: {} }] };
  const said = trustWords(withIssuer(base, evil)).map(({ says }) => says);
  assert.equal(
    said[1],
    'whoever shows a token of keycloak with sub "x\\" gets nothing\\u001b[2J" gets tokens as orders',
  );
});

function withExchange(change: Readonly<Record<string, unknown>> = {}): EnvironmentConfig {
  const base = environmentOf({});
  const exchange = [
    { subject: "own", as: "delegate", operations: ["invoice.read"], depth: 1, binding: "keep", ...change },
  ] as const;
  return {
    ...base,
    // The changes of this file keep to the shape of a rule.
    integrations: base.integrations.map((one) => ({ ...one, exchange: exchange as never })),
  };
}

test("a rule of exchange says who may exchange whose tokens for what", () => {
  const [word] = trustWords(withExchange());
  assert.match(
    word?.says ?? "",
    /^clients of \w+ may exchange tokens of this environment that were issued to or for them for tokens to \w+; for invoice\.read; named as the actor; at most 1 exchange deep; only with the key the token is bound to$/,
  );
});

for (const [name, change] of Object.entries({
  subject: { subject: "keycloak" },
  impersonation: { as: "impersonate" },
  operation: { operations: ["invoice.read", "invoice.create"] },
  "scope word": { carries: { read: ["invoice.read"] } },
  depth: { depth: 2 },
  binding: { binding: "rebind" },
}))
  test(`nobody may act for somebody unseen: a changed ${name} of an exchange is in the plan`, () => {
    assert.notDeepEqual(trustChanges([withExchange()], [withExchange(change)]), []);
  });

const provider = {
  id: "corp",
  name: "Corp",
  issuer: "https://login.corp.example",
  client: "sallyport",
  acr: "urn:sallyport:acr:mfa",
  jit: false,
  allowPrivate: false,
} as const;

function withProvider(change: object = {}): EnvironmentConfig {
  const people = { signIn: ["corp"], idleMs: 1, absoluteMs: 1, providers: [{ ...provider, ...change }] };
  return { ...environmentOf({}), people };
}

for (const [name, change] of Object.entries({
  name: { name: "Corp2" },
  issuer: { issuer: "https://evil.example" },
  client: { client: "x" },
  "worth of a log-in": { acr: "urn:sallyport:acr:phishing-resistant" },
  "way of making users": { jit: true },
  "private address": { allowPrivate: true },
  roots: { trust: "corp" },
}))
  test(`nobody signs people in unseen: a changed ${name} of a provider is in the plan`, () => {
    assert.deepEqual(
      trustChanges([withProvider()], [withProvider(change)]).map((one) => [one.about, one.change]),
      [["provider/corp", "changed"]],
    );
  });

test("an environment that an estate no longer describes loses everybody it believed", () => {
  const before = withIssuer(environmentOf({}), issuer);
  assert.deepEqual(
    trustChanges([before], []).map(({ change, after }) => [change, after]),
    Array.from({ length: 3 }, () => ["removed", null]),
  );
});
