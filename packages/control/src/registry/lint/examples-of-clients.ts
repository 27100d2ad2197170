// Promises an example for each rule about how clients prove themselves. Trusts example.ts for the form; a test runs each.
import { billing, orders, type RuleExamples } from "./example.ts";

const reason = "The packaged shop of the vendor knows no other way before its release 9";
const withKeys = orders("identity: { client: orders, keys: [orders.jwks.json] }");

function secrets(until: string, why = reason): string {
  return orders(`identity:\n  client: orders\n  secrets: { reason: ${why}, until: ${until} }`);
}

const legacy =
  "tokens:\n  algorithm: RS256\n  reason: The appliance in front of billing verifies nothing but RS256 before its release 9\n  until: 2027-01-15\n";
const read = "operations:\n  invoice.read: GET /v1/invoices/{id}";

export const clientExamples: RuleExamples = {
  "legacy-token-algorithm": {
    bad: billing(`${legacy}${read}`),
    good: billing(read),
    waive: "with the plan for the services that verify, until the exception ends.",
  },
  "client-secret-accepted": {
    bad: secrets("2027-01-15"),
    good: withKeys,
    waive: "with the plan for the client, until the exception ends.",
  },
  "client-secret-ended": {
    bad: secrets("2026-10-31"),
    good: withKeys,
    waive: "hardly ever; take the key out, the secrets are refused anyway.",
  },
  "client-secret-ends-soon": {
    bad: secrets("2026-11-30"),
    good: secrets("2027-01-15"),
    waive: "when the client has moved and the end is meant.",
  },
  "client-secret-too-long": {
    bad: secrets("2027-11-30"),
    good: secrets("2027-01-15"),
    waive: "where the client's vendor has a later date, with that date in the reason.",
  },
  "client-secret-reason-says-nothing": {
    bad: secrets("2027-01-15", "needed for orders"),
    good: secrets("2027-01-15"),
    waive: "never: a sentence is quicker than a waiver.",
  },
};
