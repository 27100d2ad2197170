// Promises an example for each rule about access tokens of outside issuers. Trusts example.ts for the form; a test runs each.
import { operation, type RuleExamples } from "./example.ts";

const audience = "    audiences:\n      billing-api: [billing]";
const carries = '    carries:\n      invoices.read: ["billing:invoice.read"]';
const sso = (lines: string, lifetime = "5m") => `# issuers/sso.yaml
issuer: sso
url: https://sso.acme.example/realms/shop
preset: keycloak
jwksUri: https://sso.acme.example/realms/shop/protocol/openid-connect/certs
lifetime: ${lifetime}
gateways:
  - system: orders
    party: orders-web
    speaksFor: user
${lines}`;
const sound = sso(`${audience}\n${carries}`);

const asked = (keep: string) => `# issuers/sso.yaml
issuer: sso
url: https://sso.acme.example
preset: access-token
gateways:
  - system: orders
    party: orders-web
    speaksFor: user
${audience}
${carries}
introspection:
  url: https://sso.acme.example/introspect
  client: sallyport
  providers: [billing]
  keep: ${keep}`;

const bearer = `# integrations/orders-to-billing.yaml
integration: orders-to-billing
from: orders
to: billing
purpose: Charge a customer when an order ships
proof:
  accept: [dpop, bearer]
  reason: The web client of the shop binds its tokens from release 9 on
  until: 2027-01-15
operations: [invoice.read]`;
const confidential = operation("invoice.read", "match: GET /v1/invoices/{id}\nclassification: confidential");

export const issuerExamples: RuleExamples = {
  "outside-token-audience": {
    bad: sso(`    audiences:\n      account: [billing]\n${carries}`),
    good: sound,
    waive: "while the realm's client scopes get their audience mappers, until the day they have.",
  },
  "outside-token-bearer": {
    bad: `${sound}\n${bearer}\n${confidential}`,
    good: `${sound}\n${confidential}`,
    waive: "while its clients move to bound tokens, until the end of the bearer exception.",
  },
  "outside-token-long": {
    bad: sso(`${audience}\n${carries}`, "1h"),
    good: sound,
    waive: "for an issuer whose lives cannot be set for one client, with what is done when somebody leaves.",
  },
  "introspection-long": {
    bad: asked("5m"),
    good: asked("30s"),
    waive: "for an issuer that cannot bear more questions, with how somebody who leaves is ended here.",
  },
  "outside-token-unscoped": {
    bad: sso(audience),
    good: sound,
    waive: "where the grant is as narrow as the scope would be.",
  },
};
