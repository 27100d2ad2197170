// Promises an example for each rule about OpenAPI descriptions. Trusts example.ts for the form; a test runs each.
import { billing, type RuleExamples } from "./example.ts";

const system = billing(
  "openapi: ../openapi/billing.yaml\noperations:\n  invoice.read: { operationId: getInvoice }\n  invoice.create: POST /v1/invoices",
);
const described = (more: string) =>
  `${system}\n# openapi/billing.yaml\nopenapi: 3.1.0\npaths:\n  /v1/invoices/{id}:\n    get:\n      operationId: getInvoice\n      parameters:\n        - { name: id, in: path, required: true, schema: { type: string } }\n${more}      responses: { "200": { description: the invoice } }`;

export const openApiExamples: RuleExamples = {
  "openapi-uncovered": {
    bad: `${described("")}\n    delete:\n      operationId: deleteInvoice\n      responses: { "204": { description: gone } }`,
    good: described(""),
    waive: "where part of an API is not for the gateway, for the description's whole life if need be.",
  },
  "openapi-unchecked": {
    bad: described("        - { name: filter, in: query, style: deepObject, schema: { type: object } }\n"),
    good: described("        - { name: filter, in: query, schema: { type: string } }\n"),
    waive: "where the provider checks it, and that was looked at.",
  },
};
