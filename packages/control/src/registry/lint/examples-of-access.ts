// Promises an example for each rule about owners, dates, bounds, proofs and keys. Trusts example.ts for the form; a test runs each.
import { billing, integration, operation, orders, purposed, type RuleExamples, readOnly } from "./example.ts";

const teams = "# sallyport.yaml\nteams:\n  payments: { contact: payments@acme.example }\n";
const two = "environments: [production, staging]\n";

export const accessExamples: RuleExamples = {
  "load-error": {
    bad: billing("operations:\n  invoice.read: GET /v1/invoices/{id}\ntimeuot: 3s"),
    good: operation("invoice.read", "match: GET /v1/invoices/{id}\ntimeout: 3s"),
    waive: "never: it cannot be waived.",
  },
  "stray-file": {
    bad: "# system/payments.yaml\nsystem: payments\nurl: https://payments.acme.example",
    good: "# systems/payments.yaml\nsystem: payments\nurl: https://payments.acme.example",
    waive: "hardly ever; move the file out of the estate.",
  },
  "no-teams": {
    bad: "# sallyport.yaml\nestate: shop",
    good: teams,
    waive: "for an estate of one team, with that team's name in the reason.",
  },
  unowned: {
    bad: `${teams}${billing("operations:\n  invoice.read: GET /v1/invoices/{id}")}`,
    good: `${teams}${billing("owner: team:payments\noperations:\n  invoice.read: GET /v1/invoices/{id}")}\n${orders("owner: team:payments\nidentity: { client: orders, keys: [orders.jwks.json] }")}`,
    waive: "while a system changes hands, until the day it has.",
  },
  "team-without-contact": {
    bad: "# sallyport.yaml\nteams:\n  payments: { name: Payments }",
    good: teams,
    waive: "where the contact is kept elsewhere, with the place in the reason.",
  },
  "purpose-says-nothing": {
    bad: purposed("Access to billing"),
    good: purposed("Charge a customer when an order ships"),
    waive: "never: a sentence is quicker than a waiver.",
  },
  "review-missing": {
    bad: integration(""),
    good: integration("review: 2027-06-30"),
    waive: "where another process reviews the access, with its name in the reason.",
  },
  "review-overdue": {
    bad: integration("review: 2026-09-30"),
    good: integration("review: 2027-06-30"),
    waive: "for some weeks, when the review is planned and the day is known.",
  },
  "review-too-far": {
    bad: integration("review: 2031-12-31"),
    good: integration("review: 2027-06-30"),
    waive: "where a contract fixes the day.",
  },
  "integration-expired": {
    bad: integration("expires: 2026-10-31"),
    good: integration("expires: 2027-03-31"),
    waive: "while the file documents something for an audit; better is version control.",
  },
  "integration-expires-soon": {
    bad: integration("expires: 2026-12-10"),
    good: integration("expires: 2027-03-31"),
    waive: "when the end is meant and everybody knows.",
  },
  "expiry-without-end": {
    bad: integration("expires: 2027-03-31\nonExpiry: alert"),
    good: integration("expires: 2027-03-31"),
    waive: "where somebody must decide on that day and the traffic must not stop.",
  },
  "rate-unlimited": {
    bad: integration("limits: []"),
    good: integration("limits:\n  - { per: client, rate: 200/s }"),
    waive: "where something in front limits already, with its name in the reason.",
  },
  "rate-too-high": {
    bad: integration("limits:\n  - { per: client, rate: 50000/s }"),
    good: integration("limits:\n  - { per: client, rate: 500/s, burst: 1000 }"),
    waive: "for a flow that was measured at this rate.",
  },
  "body-too-large": {
    bad: `${operation("invoice.create", "match: POST /v1/invoices\nbody: { size: 12MiB }")}\n${integration("", "invoice.create")}`,
    good: `${operation("invoice.create", "match: POST /v1/invoices\nbody: { size: 64KiB }")}\n${integration("", "invoice.create")}`,
    waive: "for documents that really are that large, with a low rate beside it.",
  },
  "timeout-too-long": {
    bad: `${operation("invoice.read", "match: GET /v1/invoices/{id}\ntimeout: 3m")}\n${readOnly}`,
    good: `${operation("invoice.read", "match: GET /v1/invoices/{id}\ntimeout: 3s")}\n${readOnly}`,
    waive: "for a provider that cannot answer sooner yet, with the day it can.",
  },
  "grants-everything": {
    bad: `${billing("operations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n  invoice.list: GET /v1/invoices\n  invoice.cancel: POST /v1/invoices/{id}/cancel")}\n${integration("", "invoice.create, invoice.read, invoice.list, invoice.cancel")}`,
    good: `${billing("operations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n  invoice.list: GET /v1/invoices\n  invoice.cancel: POST /v1/invoices/{id}/cancel")}\n${integration("", "invoice.create, invoice.read, invoice.list")}`,
    waive: "where the consumer is the provider's own user interface.",
  },
  "grants-too-many": {
    bad: `${billing(`operations:\n${many(21)}`)}\n${integration("", names(21))}`,
    good: `${billing(`operations:\n${many(21)}`)}\n${integration("", names(20))}`,
    waive: "where all of them serve one purpose that an auditor would accept.",
  },
  "caller-reaches-too-much": {
    bad: providers(21),
    good: providers(20),
    waive: "for a portal or an orchestrator that is guarded accordingly.",
  },
  "edge-reaches-data": {
    bad: `${restricted("zone: data")}\n${orders("zone: edge\nidentity: { client: orders, keys: [orders.jwks.json] }")}\n${readOnly}`,
    good: `${restricted("zone: data")}\n${orders("zone: internal\nidentity: { client: orders, keys: [orders.jwks.json] }")}\n${readOnly}`,
    waive: "while a tier between is being built, until the day it stands.",
  },
  "bearer-accepted": {
    bad: integration(bearer("2027-01-15")),
    good: integration("proof: { accept: [dpop, mtls] }"),
    waive: "with the plan for the caller, until the exception ends.",
  },
  "api-key-accepted": {
    bad: integration(bearer("2027-01-15").replace("[bearer]", "[api-key]")),
    good: integration("proof: { accept: [signature] }"),
    waive: "with the plan for the caller, until the exception ends.",
  },
  "bearer-ended": {
    bad: integration(bearer("2026-10-31").replace("[bearer]", "[dpop, bearer]")),
    good: integration("proof: { accept: [dpop] }"),
    waive: "hardly ever; take the three keys out.",
  },
  "bearer-ends-soon": {
    bad: integration(bearer("2026-11-30")),
    good: integration(bearer("2027-01-15")),
    waive: "when every caller has moved and the end is meant.",
  },
  "bearer-too-long": {
    bad: integration(bearer("2027-11-30")),
    good: integration(bearer("2027-01-15")),
    waive: "where the caller's vendor has a later date, with that date in the reason.",
  },
  "bearer-reason-says-nothing": {
    bad: integration("proof: { accept: [bearer], reason: needed for orders, until: 2027-01-15 }"),
    good: integration(bearer("2027-01-15")),
    waive: "never: a sentence is quicker than a waiver.",
  },
  "bearer-on-sensitive": {
    bad: `${restricted("")}\n${integration(bearer("2027-01-15"))}`,
    good: `${restricted("")}\n${integration("proof: { accept: [dpop, mtls] }")}`,
    waive: "for a few weeks, with a low rate limit, while the caller moves.",
  },
  "caller-without-identity": {
    bad: orders("owner: team:default"),
    good: orders("identity: { client: orders, keys: [orders.jwks.json] }"),
    waive: "before the system goes live, until the day it does.",
  },
  "client-without-keys": {
    bad: orders("identity: { client: orders }"),
    good: orders("identity: { client: orders, keys: [orders.jwks.json] }"),
    waive: "before the system goes live, until the day it does.",
  },
  "key-shared": {
    bad: "# systems/shop.yaml\nsystem: shop\nidentity: { client: shop, keys: [orders.jwks.json] }",
    good: "# systems/shop.yaml\nsystem: shop\nidentity: { client: shop, keys: [shop.jwks.json] }",
    waive: "for the days of a move, never for longer.",
  },
  "key-across-environments": {
    bad: `# sallyport.yaml\n${two}# systems/orders.yaml\nsystem: orders\nenvironments: [production, staging]\nidentity: { client: orders, keys: [orders.jwks.json] }`,
    good: `# sallyport.yaml\n${two}# systems/orders.yaml\nsystem: orders\nenvironments:\n  production:\n    identity: { client: orders, keys: [orders.jwks.json] }\n  staging:\n    identity: { client: orders, keys: [shop.jwks.json] }`,
    waive: "between two environments that are both for tests.",
  },
  "key-twice": {
    bad: orders("identity: { client: orders, keys: [orders.jwks.json, orders.jwks.json] }"),
    good: orders("identity: { client: orders, keys: [orders.jwks.json, shop.jwks.json] }"),
    waive: "never: take one out.",
  },
  "keys-too-many": {
    bad: orders("identity: { client: orders, keys: [four.jwks.json] }"),
    good: orders("identity: { client: orders, keys: [orders.jwks.json, shop.jwks.json] }"),
    waive: "for a client of many hosts with a key each, where each key has a known host.",
  },
  "key-old": {
    bad: orders("identity: { client: orders, keys: [old.jwks.json] }"),
    good: orders("identity: { client: orders, keys: [orders.jwks.json] }"),
    waive: "for a key in hardware whose policy says longer.",
  },
  "certificate-name-wide": {
    bad: trusted('identity: { certificate: { trust: acme, uri: "spiffe://acme.example" } }'),
    good: trusted('identity: { certificate: { trust: acme, uri: "spiffe://acme.example/orders" } }'),
    waive: "for a partner with one workload whose CA issues only that name.",
  },
  "certificate-pinned": {
    bad: trusted(`identity: { certificate: { trust: acme, x5t: ${"A".repeat(43)} } }`),
    good: trusted("identity: { certificate: { trust: acme, dns: orders.acme.example } }"),
    waive: "for a partner without a CA, with the day of the next certificate.",
  },
  "operator-key-shared": {
    bad: "# sallyport.yaml\noperators:\n  ada: { keys: [systems/orders.jwks.json] }",
    good: "# sallyport.yaml\noperators:\n  ada: { keys: [systems/shop.jwks.json] }",
    waive: "never.",
  },
};

function trusted(identity: string): string {
  return `# trust/acme.yaml\ntrust: acme\nroots: [acme.pem]\n${orders(identity)}`;
}

function many(count: number): string {
  return Array.from({ length: count }, (_, n) => `  report.n${n}: GET /v1/reports/${n}`).join("\n");
}

function names(count: number): string {
  return Array.from({ length: count }, (_, n) => `report.n${n}`).join(", ");
}

function providers(count: number): string {
  const systems = Array.from(
    { length: count },
    (_, n) => `# systems/p${n}.yaml\nsystem: p${n}\nurl: https://p${n}.acme.example\noperations: { a.read: GET /a }`,
  );
  const uses = Array.from(
    { length: count },
    (_, n) => `  - { to: p${n}, purpose: Show the figures of one shop, operations: [a.read] }`,
  );
  return [
    ...systems,
    `# systems/portal.yaml\nsystem: portal\nidentity: { client: portal, keys: [shop.jwks.json] }\nuses:\n${uses.join("\n")}`,
  ].join("\n");
}

function restricted(more: string): string {
  const lines = more === "" ? "" : `${more}\n`;
  return billing(
    `${lines}operations:\n  invoice.read:\n    match: GET /v1/invoices/{id}\n    classification: restricted`,
  );
}

function bearer(until: string): string {
  return `proof: { accept: [bearer], reason: The legacy shop cannot sign requests before its release 9, until: ${until} }`;
}
