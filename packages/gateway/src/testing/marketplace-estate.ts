// Promises the small estate most tests run on: orders and portal call billing, each with its own grants; analytics has none.
// Trusts nothing. Shapes: test-estate.ts.
import type { TestEstate, TestSystem } from "./test-estate.ts";

const invoice = {
  type: "object",
  required: ["amount", "customer"],
  additionalProperties: false,
  properties: { amount: { type: "integer", minimum: 1 }, customer: { type: "string", maxLength: 64 } },
};

/** billing with its operations at `url`. */
export function billing(url: string): TestSystem {
  return {
    id: "billing",
    url,
    operations: [
      { name: "invoice.read", method: "GET", path: "/v1/invoices/{id}" },
      {
        name: "invoice.create",
        method: "POST",
        path: "/v1/invoices",
        body: { content: "json", contentType: "application/json", schema: invoice },
      },
      {
        name: "invoice.upload",
        method: "PUT",
        path: "/v1/invoices/{id}/scan",
        body: { content: "opaque", contentType: "application/pdf" },
        changes: { bodyBytesMax: 1_048_576 },
      },
      { name: "invoice.delete", method: "DELETE", path: "/v1/invoices/{id}" },
      {
        name: "region.read",
        method: "GET",
        path: "/v1/regions/{region}",
        attributes: { region: { from: "path", name: "region", type: "string" } },
        cedar:
          'forbid(principal, action == Action::"billing:region.read", resource) unless { principal.region == resource.region };',
      },
      {
        name: "refund.create",
        method: "POST",
        path: "/v1/refunds",
        attributes: { amount: { from: "body", name: "$.amount", type: "long" } },
        body: { content: "json", contentType: "application/json" },
        cedar: 'forbid(principal, action == Action::"billing:refund.create", resource) when { resource.amount > 100 };',
      },
      {
        name: "overflow.read",
        method: "GET",
        path: "/v1/overflow",
        attributes: { n: { from: "query", name: "n", type: "long" } },
        cedar:
          'forbid(principal, action == Action::"billing:overflow.read", resource) when { resource.n * 9007199254740991 * 9007199254740991 > 1 };',
      },
      { name: "secret.read", method: "GET", path: "/v1/secrets/{id}", changes: { classification: "restricted" } },
      {
        name: "payout.read",
        method: "GET",
        path: "/v1/payouts",
        changes: { stepUp: { acr: "urn:sallyport:acr:mfa", maxAgeSeconds: 600 } },
      },
      { name: "slow.read", method: "GET", path: "/v1/slow", changes: { timeoutMs: 1_500 } },
    ],
  };
}

const names = [
  "invoice.read",
  "invoice.create",
  "invoice.upload",
  "region.read",
  "refund.create",
  "overflow.read",
  "secret.read",
  "slow.read",
  "payout.read",
];

/** The estate, with whatever a test changes. */
export function marketplace(url: string, changes: Partial<TestEstate> = {}): TestEstate {
  return {
    systems: [
      billing(url),
      { id: "orders", clients: ["orders"], attributes: { region: "eu" } },
      { id: "portal", clients: ["portal"], attributes: { region: "us" } },
      { id: "analytics", clients: ["analytics"], attributes: { region: "eu" } },
      { id: "ledger", url, changes: { broken: "systems/ledger.yaml:3: no url. Add url" } },
    ],
    integrations: [
      { id: "orders-to-billing", from: "orders", to: "billing", operations: names.map((name) => ({ name })) },
      {
        id: "portal-to-billing",
        from: "portal",
        to: "billing",
        operations: [{ name: "invoice.read" }, { name: "region.read" }],
        limits: [{ per: "client", rate: 1, periodMs: 60_000, burst: 3 }],
      },
    ],
    ...changes,
  };
}
