// Promises the estate the gateway serves under the bench: policies that read attributes, two rate limits per integration, a body schema.
// Trusts the test-bed to compile it. Shapes: packages/gateway/src/testing/test-estate.ts.
import { defaultResilience } from "@sallyport/control/registry/config/read-resilience.ts";
import type { TestEstate } from "@sallyport/gateway/testing/test-estate.ts";
import { bearerClient, dpopClient } from "./roles.ts";

const invoiceSchema = {
  type: "object",
  required: ["amount", "customer"],
  additionalProperties: false,
  properties: { amount: { type: "integer", minimum: 1 }, customer: { type: "string", maxLength: 64 } },
};

/** Wide enough that no limit is reached: counting is what costs, refusing is not measured here. */
const limits = [
  { per: "client" as const, rate: 1_000_000, periodMs: 1_000, burst: 1_000_000 },
  { per: "integration" as const, rate: 1_000_000, periodMs: 1_000, burst: 1_000_000 },
];
const operations = [{ name: "invoice.read" }, { name: "invoice.create" }];

function provider(id: string, url: string): TestEstate["systems"][number] {
  return {
    id,
    url,
    operations: [
      {
        name: "invoice.read",
        method: "GET",
        path: "/v1/invoices/{id}",
        cedar: `forbid(principal, action == Action::"${id}:invoice.read", resource) unless { principal.region == "eu" };`,
      },
      {
        name: "invoice.create",
        method: "POST",
        path: "/v1/invoices",
        attributes: { amount: { from: "body", name: "$.amount", type: "long" } },
        body: { content: "json", contentType: "application/json", schema: invoiceSchema },
        cedar: `forbid(principal, action == Action::"${id}:invoice.create", resource) when { resource.amount > 100000 };`,
      },
    ],
    // As control compiles it where nothing is said.
    changes: { upstream: { url, allowPrivate: true, resilience: defaultResilience(1) } },
  };
}

/** billing at `url`; one caller with unbound tokens, one with DPoP; and `more` providers of the same shape, each with a consumer of its own. */
export function benchEstate(url: string, more = 0): TestEstate {
  const others = Array.from({ length: more }, (_, n) => `other-${n}`);
  return {
    systems: [
      ...others.flatMap((id) => [provider(id, url), { id: `${id}-user`, clients: [`${id}-client`] }]),
      provider("billing", url),
      { id: "orders", clients: [bearerClient], attributes: { region: "eu" } },
      { id: "shop", clients: [dpopClient], attributes: { region: "eu" } },
    ],
    integrations: [
      ...others.map((id) => ({ id: `${id}-user-to-${id}`, from: `${id}-user`, to: id, limits, operations })),
      { id: "orders-to-billing", from: "orders", to: "billing", proof: ["bearer"], limits, operations },
      { id: "shop-to-billing", from: "shop", to: "billing", proof: ["dpop"], limits, operations },
    ],
  };
}
