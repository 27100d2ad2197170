// Promises the estate of the chaos soak: billing at several endpoints, with or without what a gateway does about failures. Trusts the defaults it asks control for.

import { defaultResilience } from "@sallyport/control/registry/config/read-resilience.ts";
import type { TestEstate } from "@sallyport/gateway/testing/test-estate.ts";
import type { HedgeRule } from "@sallyport/protocol/snapshot/hedge-rule.ts";

const attemptMs = 500;
const timeoutMs = 2_000;

/** `hedge`: of its reads; absent: none. */
export function chaosEstate(urls: readonly string[], isControlled: boolean, hedge?: HedgeRule): TestEstate {
  const [url = ""] = urls;
  const resilience = isControlled ? { ...defaultResilience(urls.length), attemptMs } : {};
  return {
    systems: [
      {
        id: "billing",
        url,
        operations: [
          {
            name: "invoice.read",
            method: "GET",
            path: "/v1/invoices/{id}",
            changes: { timeoutMs, ...(hedge === undefined ? {} : { hedge }) },
          },
          {
            name: "invoice.create",
            method: "POST",
            path: "/v1/invoices",
            body: { content: "json", contentType: "application/json" },
            changes: { timeoutMs },
          },
        ],
        changes: {
          upstream: {
            url,
            allowPrivate: true,
            endpoints: urls.map((one) => ({ url: one, weight: 1 })),
            resilience,
          },
        },
      },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: [
      {
        id: "orders-to-billing",
        from: "orders",
        to: "billing",
        operations: [{ name: "invoice.read" }, { name: "invoice.create" }],
      },
    ],
  };
}
