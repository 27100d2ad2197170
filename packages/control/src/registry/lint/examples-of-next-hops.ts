// Promises an example for each rule about tokens that providers are called with. Trusts example.ts for the form; a test runs each.
import { billing, type RuleExamples } from "./example.ts";

const own = billing("nextHop: own\noperations:\n  invoice.read: GET /v1/invoices/{id}");
const bearer = (until: string, reason = "Its framework verifies bearer tokens alone before its release 9"): string =>
  billing(
    `nextHop:\n  bearer: { reason: ${reason}, until: ${until} }\noperations:\n  invoice.read: GET /v1/invoices/{id}`,
  );

export const nextHopExamples: RuleExamples = {
  "next-hop-bearer": {
    bad: bearer("2027-01-15"),
    good: own,
    waive: "with the plan for the provider, until the exception ends.",
  },
  "next-hop-bearer-ended": {
    bad: bearer("2026-10-31"),
    good: own,
    waive: "never: every call to the provider fails.",
  },
  "next-hop-bearer-too-long": {
    bad: bearer("2027-11-30"),
    good: bearer("2027-01-15"),
    waive: "where the provider's vendor has a later date, with that date in the reason.",
  },
  "next-hop-bearer-reason-says-nothing": {
    bad: bearer("2027-01-15", "needed for billing"),
    good: bearer("2027-01-15"),
    waive: "never: a sentence is quicker than a waiver.",
  },
};
