// Neighbours of the rules about people beyond the one pair on each page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lintFiles } from "./lint.test-support.ts";

const billing = (operation: string) =>
  `system: billing\nurl: https://billing.acme.example\noperations:\n  invoice.read: ${operation}\n`;
const people = (text: string) => `environments:\n  production:\n    people: ${text}\n`;
const integration = (more: string) =>
  `integration: orders-to-billing\nfrom: orders\nto: billing\npurpose: Charge a customer when an order ships\n${more}operations: [invoice.read]\n`;
const app = (more: string) => `system: orders\nidentity:\n  client: orders\n${more}`;
const signsIn =
  "  keys: [orders.jwks.json]\n  grants: [authorization_code]\n  redirectUris: [https://shop.acme.example/callback]\n";

/** `file:line rule: message` of the findings of these rules. */
function found(rule: string, files: Readonly<Record<string, string>>): readonly string[] {
  return lintFiles(files)
    .filter((one) => one.rule === rule)
    .map(({ file, line, message }) => `${file}:${line} ${message}`);
}

test("a log-in that is asked for where nobody signs in is found at the key that asks", () => {
  const asking = { "systems/billing.yaml": billing("{ match: GET /v1/invoices, maxAge: 10m }") };
  assert.deepEqual(found("step-up-unreachable", asking), [
    "systems/billing.yaml:4 `invoice.read` asks for a log-in, and nobody signs in in this environment: it has no `people`",
  ]);
  assert.deepEqual(found("step-up-unreachable", { ...asking, "sallyport.yaml": people("{ signIn: [password] }") }), []);
});

test("a system brings users by a grant, by an exchange, or by an outside issuer; one that does none of it is a machine", () => {
  const asking = {
    "sallyport.yaml": people("{ signIn: [password] }"),
    "systems/billing.yaml": billing("{ match: GET /v1/invoices, acr: password }"),
  };
  assert.equal(found("step-up-for-machine", asking).length, 1);
  for (const bringing of [
    { "systems/orders.yaml": app(signsIn) },
    {
      "integrations/orders-to-billing.yaml": integration(
        "exchange:\n  - subject: own\n    operations: [invoice.read]\n",
      ),
    },
  ])
    assert.deepEqual(found("step-up-for-machine", { ...asking, ...bringing }), []);
});

test("a grant may ask for more than its operation: then it is the grant that counts", () => {
  const own = { "sallyport.yaml": people("{ signIn: [password] }"), "systems/orders.yaml": app(signsIn) };
  const confidential = billing("{ match: GET /v1/invoices, classification: confidential }");
  const granted = integration("").replace("[invoice.read]", "\n  invoice.read: { acr: mfa }");
  assert.equal(found("user-data-on-password", { ...own, "systems/billing.yaml": confidential }).length, 1);
  assert.deepEqual(
    found("user-data-on-password", {
      ...own,
      "systems/billing.yaml": confidential,
      "integrations/orders-to-billing.yaml": granted,
    }),
    [],
  );
});

test("tokens of an outside issuer are bound to nothing of ours: rebinding them is what the key is for", () => {
  const rule = (subject: string) => ({
    "issuers/keycloak.yaml":
      "issuer: keycloak\nurl: https://sso.acme.example/realms/shop\npreset: keycloak\njwksUri: https://sso.acme.example/realms/shop/protocol/openid-connect/certs\naudiences: [sallyport]\n",
    "integrations/orders-to-billing.yaml": integration(
      `exchange:\n  - subject: ${subject}\n    operations: [invoice.read]\n    binding: rebind\n`,
    ),
  });
  assert.deepEqual(found("load-error", rule("keycloak")), []);
  assert.deepEqual(found("exchange-rebinds", rule("keycloak")), []);
  assert.equal(found("exchange-rebinds", rule("own")).length, 1);
});

test("each of the two lengths of a session counts by itself, at its own key", () => {
  const lines = (text: string) => found("session-long", { "sallyport.yaml": people(text) });
  assert.deepEqual(lines("{ absolute: 24h, idle: 8h }"), []);
  assert.deepEqual(lines("{ absolute: 25h }"), ["sallyport.yaml:3 a log-in lasts 25 hours"]);
  assert.deepEqual(lines("{ idle: 9h }"), ["sallyport.yaml:3 a log-in lasts 9 hours without use"]);
});
