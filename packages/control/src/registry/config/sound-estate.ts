// Promises the smallest sound estate and one change at a time to it, for tests. Trusts nothing.
import { generateKeyPairSync } from "node:crypto";
import type { LoadedEstate } from "./estate.ts";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";

type Files = Readonly<Record<string, string>>;

/** Loads files as on 2026-11-22. */
export function load(files: Files): LoadedEstate {
  return loadEstateFrom(memoryEstateIo(files, () => Date.parse("2026-11-22T00:00:00Z")));
}

const billing =
  "system: billing\nurl: http://billing.internal:8080\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n";

/** Billing offers two operations, orders uses both. */
export function soundEstate(): Files {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    "systems/billing.yaml": billing,
    "systems/orders.yaml":
      "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\nuses:\n  - to: billing\n    purpose: Charge a customer\n    operations: [invoice.create, invoice.read]\n",
    "systems/orders.jwks.json": JSON.stringify({ keys: [publicKey.export({ format: "jwk" })] }),
  };
}

export function billingWith(more: string): Files {
  return { "systems/billing.yaml": `${billing}${more}` };
}

/** An integration from orders to billing in a file; `more` begins at line 5. */
export function integrationFile(more: string, id = "second"): Files {
  return { [`integrations/${id}.yaml`]: `integration: ${id}\nfrom: orders\nto: billing\npurpose: Test\n${more}` };
}
