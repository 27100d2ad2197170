// Promises an estate of one provider whose operations bear repeats in every declared way, and two systems that call it. Trusts nothing: it is data.
// What the operations declare: docs/idempotency.md.
import type { OperationObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { TestEstate, TestOperation } from "./test-estate.ts";

const hourMs = 3_600_000;
const json = { content: "json", contentType: "application/json" } as const;
const required = { key: "required", ttlMs: 24 * hourMs } as const;

const post = (name: string, changes: Partial<OperationObject>, more: Partial<TestOperation> = {}): TestOperation => ({
  name,
  method: "POST",
  path: `/v1/${name.split(".")[0]}s`,
  body: json,
  changes,
  ...more,
});

export const repeatOperations: readonly TestOperation[] = [
  post("payment.make", { idempotency: required }),
  post("refund.make", { idempotency: required }),
  post("order.place", { idempotency: { key: "optional", ttlMs: hourMs } }),
  post("transfer.make", { idempotency: { ...required, provider: "honours" } }),
  post("file.put", { idempotency: required }, { body: { content: "opaque", contentType: "text/plain" } }),
  post("note.write", {}),
  {
    name: "account.change",
    method: "PUT",
    path: "/v1/accounts/{id}",
    body: json,
    changes: { precondition: "if-match-strong", serialize: { from: "path", name: "id", type: "string" } },
  },
  {
    name: "account.patch",
    method: "PATCH",
    path: "/v1/accounts/{id}",
    body: json,
    changes: { precondition: "if-match", serialize: { from: "path", name: "id", type: "string" } },
  },
];

/** `changes`: of single operations, by name. */
export function repeatEstate(url: string, changes: Readonly<Record<string, Partial<TestOperation>>> = {}): TestEstate {
  const operations = repeatOperations.map((one) => ({ ...one, ...changes[one.name] }));
  const granted = operations.map(({ name }) => ({ name }));
  return {
    systems: [
      { id: "bank", url, operations },
      { id: "orders", clients: ["orders"] },
      { id: "portal", clients: ["portal"] },
    ],
    integrations: [
      { id: "orders-to-bank", from: "orders", to: "bank", operations: granted },
      { id: "portal-to-bank", from: "portal", to: "bank", operations: granted },
    ],
  };
}
