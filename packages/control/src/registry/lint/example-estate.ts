// Promises the two systems that every example of a lint rule is laid over. Pure. Shown in docs/lint/README.md; keys and roots are made by the test.

export const exampleEstate: Readonly<Record<string, string>> = {
  "systems/billing.yaml": `system: billing
url: https://billing.acme.example
operations:
  invoice.read: GET /v1/invoices/{id}
`,
  "systems/orders.yaml": `system: orders
identity: { client: orders, keys: [orders.jwks.json] }
`,
  "integrations/orders-to-billing.yaml": `integration: orders-to-billing
from: orders
to: billing
purpose: Charge a customer when an order ships
review: 2027-06-30
operations: [invoice.read]
`,
};
