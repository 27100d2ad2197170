import assert from "node:assert/strict";
import { test } from "node:test";
import { directoryOf } from "../../identity/directory.ts";
import { integrationFile, load, soundEstate } from "./sound-estate.ts";

const head = "operations: [invoice.read, invoice.create]\nexchange:\n";
const orders = { "systems/orders.yaml": "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\n" };

function loaded(rules: string, more: Record<string, string> = {}) {
  const { estate, findings } = load({ ...soundEstate(), ...orders, ...integrationFile(head + rules), ...more });
  const errors = findings.filter(({ severity }) => severity === "error").map(({ message }) => message);
  return { production: estate.environments[0], errors };
}

test("a rule says its defaults: delegate, everything granted, one exchange, the key kept", () => {
  const { production, errors } = loaded("  - subject: own\n");
  assert.deepEqual(errors, []);
  assert.deepEqual(production?.integrations[0]?.exchange, [
    { subject: "own", as: "delegate", operations: ["invoice.create", "invoice.read"], depth: 1, binding: "keep" },
  ]);
});

test("the token endpoint reads the rule with full names, and only such clients may use the grant", () => {
  const { production } = loaded(
    "  - subject: own\n    operations: [invoice.read]\n    carries: { shop.read: [invoice.read] }\n",
  );
  assert.ok(production !== undefined);
  const directory = directoryOf({ ...production, isActive: () => true });
  const [rule] = directory.grants("orders", "billing")[0]?.exchange ?? [];
  assert.deepEqual(rule?.operations, ["billing:invoice.read"]);
  assert.deepEqual(rule?.carries, { "shop.read": ["billing:invoice.read"] });
  assert.ok(directory.clients.get("orders")?.grantTypes.some((type) => type.endsWith(":token-exchange")));
  const without = load(soundEstate()).estate.environments[0];
  assert.ok(without !== undefined);
  assert.deepEqual(directoryOf({ ...without, isActive: () => true }).clients.get("orders")?.grantTypes, [
    "client_credentials",
  ]);
});

const refused: readonly (readonly [string, string, RegExp])[] = [
  [
    "an operation that is not granted",
    "  - subject: own\n    operations: [invoice.void]\n",
    /goes beyond what may be carried/,
  ],
  [
    "a carried operation beyond the ceiling",
    "  - subject: own\n    operations: [invoice.read]\n    carries: { x: [invoice.create] }\n",
    /goes beyond/,
  ],
  ["two rules for one issuer", "  - subject: own\n  - subject: own\n    as: impersonate\n", /a second rule/],
  ["an issuer that nobody trusts", "  - subject: keycloak\n", /no issuer `keycloak` is trusted in production/],
  ["nine exchanges", "  - subject: own\n    depth: 9\n", /larger than 8/],
  ["no subject", "  - as: delegate\n", /`subject` is missing/],
];
for (const [name, rules, pattern] of refused) {
  test(`refuses ${name}, and the integration is not served`, () => {
    const { production, errors } = loaded(rules);
    assert.match(errors.join("\n"), pattern);
    assert.deepEqual(production?.integrations, []);
  });
}

test("two integrations between the same systems may not both have a rule for one issuer", () => {
  const rules = "  - subject: own\n";
  const { production, errors } = loaded(
    rules,
    integrationFile(`operations: [invoice.read]\nexchange:\n${rules}`, "third"),
  );
  assert.match(errors.join("\n"), /also exchanged by `third`/);
  assert.deepEqual(production?.integrations, []);
});

test("no file in issuers/ can take the name of our own issuer", () => {
  const own = "issuer: own\nurl: https://x.example\nalgorithms: [ES256]\njwksUri: https://x.example/jwks\n";
  assert.match(
    loaded("  - subject: own\n", { "issuers/own.yaml": own }).errors.join("\n"),
    /`own` means this environment's own issuer/,
  );
});
