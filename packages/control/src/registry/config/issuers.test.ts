import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { environmentsOfRows, rowsOfEstate } from "../estate-rows.ts";
import { load, soundEstate } from "./sound-estate.ts";

const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwks = JSON.stringify({ keys: [{ ...ec.publicKey.export({ format: "jwk" }), kid: "k" }] });
const partner = "issuer: partner\nurl: https://idp.partner.example\nalgorithms: [ES256]\njwks: partner.jwks.json\n";
const github = (mapping: string) =>
  `issuer: ci\nurl: https://token.actions.githubusercontent.com\npreset: github\njwksUri: https://token.actions.githubusercontent.com/.well-known/jwks\nsystems:\n  - system: orders\n${mapping}`;

function loaded(file: string, text: string, more: Record<string, string> = {}) {
  const { estate, findings } = load({
    ...soundEstate(),
    "issuers/partner.jwks.json": jwks,
    [`issuers/${file}.yaml`]: text,
    ...more,
  });
  const [production] = estate.environments;
  return {
    estate,
    issuers: production?.issuers ?? [],
    broken: production?.broken.map(({ object }) => object) ?? [],
    said: findings
      .filter(({ severity, file: named }) => severity === "error" && named.startsWith("issuers/"))
      .map(({ message, fix }) => `${message}. ${fix}`),
  };
}

test("an issuer of a file with keys in a file is trusted with what its preset says", () => {
  const { issuers, said } = loaded("partner", `${partner}systems:\n  - system: orders\n    subject: order-robot\n`);
  assert.deepEqual(said, []);
  const [issuer] = issuers;
  assert.equal(issuer?.kind, "assertion");
  assert.deepEqual(issuer?.systems, [{ system: "orders", subject: "order-robot", claims: {} }]);
  assert.equal(issuer?.keys.from === "file" && issuer.keys.keys[0]?.alg, "ES256");
  assert.deepEqual([issuer?.lifetimeSecondsMax, issuer?.audiences, issuer?.parties], [3_600, [], null]);
});

test("what is applied comes back from its rows", () => {
  const { estate } = loaded("partner", partner);
  const rows = rowsOfEstate(estate);
  assert.deepEqual(
    environmentsOfRows(rows).map(({ issuers }) => issuers),
    estate.environments.map(({ issuers }) => issuers),
  );
});

test("an issuer that names no environment is trusted in production only", () => {
  const sallyport = { "sallyport.yaml": "environments: [production, staging]\n" };
  const { estate } = loaded("partner", partner, sallyport);
  assert.deepEqual(
    estate.environments.map(({ name, issuers }) => [name, issuers.length]),
    [
      ["production", 1],
      ["staging", 0],
    ],
  );
  const named = loaded("partner", `${partner}environments: [staging]\n`, sallyport);
  assert.deepEqual(
    named.estate.environments.map(({ issuers }) => issuers.length),
    [0, 1],
  );
});

const pins = '    claims: { repository_id: "42", repository_owner_id: "7" }\n';
const refused: readonly (readonly [string, string, string, RegExp])[] = [
  ["no algorithm", "partner", partner.replace("algorithms: [ES256]\n", ""), /`algorithms` is missing/],
  ["HMAC", "partner", partner.replace("ES256", "HS256"), /not one of/],
  [
    "both jwks and jwksUri",
    "partner",
    `${partner}jwksUri: https://x.example/j\n`,
    /exactly one of `jwks` and `jwksUri`/,
  ],
  ["neither", "partner", partner.replace("jwks: partner.jwks.json\n", ""), /exactly one of/],
  ["keys over http", "partner", partner.replace("jwks: partner.jwks.json", "jwksUri: http://x.example/j"), /not https/],
  [
    "keys at a private address",
    "partner",
    partner.replace("jwks: partner.jwks.json", "jwksUri: https://10.0.0.7/j"),
    /private or loopback/,
  ],
  ["a key of another algorithm", "partner", partner.replace("ES256", "EdDSA"), /not usable \(algorithm\)/],
  [
    "a wildcard in a subject",
    "partner",
    `${partner}systems:\n  - system: orders\n    subject: "repo:acme/*"\n`,
    /no wildcards/,
  ],
  ["a mapping without a pin", "partner", `${partner}systems:\n  - system: orders\n`, /pins nothing/],
  ["a mapping to nobody", "partner", `${partner}systems:\n  - system: nobody\n    subject: x\n`, /no system `nobody`/],
  [
    "a mapping to a system without a client",
    "partner",
    `${partner}systems:\n  - system: billing\n    subject: x\n`,
    /no client/,
  ],
  [
    "a bundle that is not there",
    "partner",
    partner.replace("jwks: partner.jwks.json", "jwksUri: https://x.example/j\ntls: { ca: acme }"),
    /no bundle `acme`/,
  ],
  [
    "a GitHub repository by name",
    "ci",
    github("    subject: repo:acme/shop:ref:refs/heads/main\n"),
    /pin the id that cannot: `repository_id` and `repository_owner_id`/,
  ],
  ["a GitHub repository without a ref", "ci", github(pins), /which job or workload/],
  [
    "every token of a Keycloak realm",
    "partner",
    partner.replace("algorithms: [ES256]\n", "preset: keycloak\nalgorithms: [ES256]\naudiences: [account]\n"),
    /every token of the realm/,
  ],
  ["a life of a week", "partner", `${partner}lifetime: 7d\n`, /out of range/],
  ["an unknown key", "partner", `${partner}skipAudience: yes-please\n`, /unknown key/],
];
for (const [name, file, text, pattern] of refused) {
  test(`refuses ${name}, and trusts nobody instead`, () => {
    const { issuers, broken, said } = loaded(file, text);
    assert.match(said.join("\n"), pattern);
    assert.deepEqual(issuers, []);
    assert.deepEqual(broken, [`issuer/${file}`]);
  });
}

test("accepts a GitHub job by ids and ref, and a Keycloak realm by client", () => {
  assert.deepEqual(loaded("ci", github(`    subject: repo:acme/shop:ref:refs/heads/main\n${pins}`)).said, []);
  const realm = partner.replace(
    "algorithms: [ES256]\n",
    "preset: keycloak\nalgorithms: [ES256]\naudiences: [account]\nparties: [shop]\n",
  );
  const { issuers, said } = loaded("partner", realm);
  assert.deepEqual(said, []);
  assert.deepEqual(issuers[0]?.companions, ["account"]);
});

test("two issuers for one iss are both broken", () => {
  const { broken } = loaded("partner", partner, {
    "issuers/other.yaml": partner.replace("issuer: partner", "issuer: other"),
  });
  assert.deepEqual(broken.sort(), ["issuer/other", "issuer/partner"]);
});

const realm =
  "issuer: partner\nurl: https://sso.example/realms/shop\npreset: keycloak\nalgorithms: [ES256]\njwks: partner.jwks.json\n";
const rule = "gateways:\n  - system: orders\n    party: orders-web\n    speaksFor: user\n";

test("access tokens may be presented only where a rule says which client, and nothing is by default", () => {
  assert.equal(loaded("partner", realm).issuers[0]?.gateways, undefined);
  const { issuers, said } = loaded(
    "partner",
    `${realm}${rule}    audiences: { billing-api: [billing] }\n    carries: { read: ["billing:invoice.read"] }\n    acr: { gold: mfa }\n`,
  );
  assert.deepEqual(said, []);
  assert.deepEqual(issuers[0]?.gateways, [
    {
      system: "orders",
      party: "orders-web",
      claims: {},
      speaksFor: "user",
      audiences: { "billing-api": ["billing"] },
      carries: { read: ["billing:invoice.read"] },
      acr: { gold: "urn:sallyport:acr:mfa" },
    },
  ]);
});

const refusedRules: readonly (readonly [string, string, string])[] = [
  ["no client", rule.replace("    party: orders-web\n", ""), "`party` is missing"],
  ["nobody said for whom", rule.replace("    speaksFor: user\n", ""), "`speaksFor` is missing"],
  ["a wildcard client", rule.replace("orders-web", "'orders-*'"), "there are no wildcards"],
  [
    "a workload without its subject",
    rule.replace("user", "workload"),
    "every user of this client would count as the workload",
  ],
  [
    "a workload that logs in",
    `${rule.replace("user", "workload")}    subject: s\n    acr: { gold: mfa }\n`,
    "a workload does not log in",
  ],
  ["a system that is not there", rule.replace("orders", "ordrs"), "there is no system `ordrs`. did you mean `orders`?"],
  [
    "a provider that is not there",
    `${rule}    audiences: { a: [biling] }\n`,
    "there is no system `biling`. did you mean `billing`?",
  ],
  [
    "an operation that is not there",
    `${rule}    carries: { read: ["billing:invoice.raed"] }\n`,
    "billing publishes no operation `invoice.raed`. did you mean `billing:invoice.read`?",
  ],
  [
    "an operation without its system",
    `${rule}    carries: { read: [invoice.read] }\n`,
    "not the full name of an operation",
  ],
  [
    "two rules for the same tokens",
    `${rule}${rule.replace("gateways:\n", "").replace("system: orders", "system: billing")}`,
    "the same tokens as rule 1",
  ],
  ["a level that is none", `${rule}    acr: { gold: silver }\n`, "not one of"],
];
for (const [what, text, says] of refusedRules) {
  test(`a rule for presented tokens is refused at its line: ${what}`, () => {
    const { issuers, broken, said } = loaded("partner", `${realm}${text}`);
    assert.ok(
      said.some((one) => one.includes(says)),
      said.join("\n"),
    );
    assert.deepEqual([issuers, broken], [[], ["issuer/partner"]]);
  });
}

test("assertions, CI jobs' and pods' tokens cannot be presented", () => {
  const { said } = loaded("partner", `${partner}${rule}`);
  assert.match(said.join("\n"), /tokens of the preset `assertion` are not access tokens\. let them be traded/);
});

const opaque = `issuer: sso\nurl: https://sso.example\npreset: access-token\n${rule}    audiences: { billing-api: [billing] }\n`;
const asked = (more = "") =>
  `introspection:\n  url: https://sso.example/introspect\n  client: sallyport\n  providers: [billing]\n${more}`;

test("an issuer that is asked about opaque tokens needs no keys, and one that is not does", () => {
  const { issuers, said } = loaded("sso", opaque + asked());
  assert.deepEqual(said, []);
  assert.deepEqual(issuers[0]?.introspection, {
    ...{ uri: "https://sso.example/introspect", allowPrivate: false, client: "sallyport" },
    ...{ providers: ["billing"], keepMs: 30_000, perSecond: 50 },
  });
  assert.deepEqual(issuers[0]?.keys, { from: "file", keys: [] });
  assert.match(loaded("sso", opaque).said.join("\n"), /keys come from exactly one of/);
  const traded = `${opaque}${asked()}systems:\n  - system: orders\n    subject: s\n`;
  assert.match(loaded("sso", traded).said.join("\n"), /keys come from exactly one of/, "who trades needs keys");
});

const refusedQuestions: readonly (readonly [string, string, string])[] = [
  [
    "not https",
    opaque + asked().replace("https://sso.example/i", "http://sso.example/i"),
    "tokens are shown over https",
  ],
  ["a private address", opaque + asked().replace("//sso.example/i", "//10.0.0.7/i"), "private or loopback address"],
  ["a provider that does not exist", opaque + asked().replace("[billing]", "[biling]"), "there is no system `biling`"],
  ["no provider", opaque + asked().replace("[billing]", "[]"), "the list is empty"],
  ["no rule", opaque.slice(0, opaque.indexOf("gateways:")) + asked(), "no rule says whom its tokens stand for"],
  ["a yes that holds for an hour", opaque + asked("  keep: 1h\n"), "choose `0s` to `5m`"],
  ["a key that is none", opaque + asked("  secret: s\n"), "secret"],
  ["a bundle that does not exist", `${opaque}${asked()}tls: { ca: nowhere }\n`, "nowhere"],
];
for (const [what, text, says] of refusedQuestions) {
  test(`asking an issuer about tokens is refused at its line: ${what}`, () => {
    const { issuers, said } = loaded("sso", text);
    assert.ok(
      said.some((one) => one.includes(says)),
      said.join("\n"),
    );
    assert.deepEqual(issuers, []);
  });
}

test("Keycloak's tokens are JWTs: there is nothing to ask", () => {
  const { said } = loaded("partner", `${realm}${rule}${asked()}`);
  assert.match(said.join("\n"), /tokens of the preset `keycloak` are JWTs, which are verified and not asked about/);
});

test("attack: a provider that two issuers name would show one's tokens to the other: neither is trusted", () => {
  const other = `${opaque}${asked()}`.replace("issuer: sso", "issuer: login").replaceAll("//sso.", "//login.");
  const { issuers, said } = loaded("sso", opaque + asked(), { "issuers/login.yaml": other });
  assert.deepEqual(issuers, []);
  assert.deepEqual(said.map((one) => one.split(". ")[0]).sort(), [
    "opaque tokens for `billing` are taken for `login`'s as well",
    "opaque tokens for `billing` are taken for `sso`'s as well",
  ]);
});
