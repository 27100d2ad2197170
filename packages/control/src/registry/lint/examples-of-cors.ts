// Promises an example for each rule about pages of browsers. Trusts example.ts for the form; a test runs each.
import { integration, type RuleExamples } from "./example.ts";

const pages = "cors: { origins: [https://shop.example] }";
const bearer =
  "proof: { accept: [dpop, bearer], reason: The vendor's shop verifies no proofs before its release 9, until: 2027-01-15 }";
export const corsExamples: RuleExamples = {
  "cors-bearer": {
    bad: integration(`${bearer}\n${pages}`),
    good: integration(`proof: { accept: [dpop] }\n${pages}`),
    waive: "while the program in the page learns DPoP, until the day it has.",
  },
  "cors-without-dpop": {
    bad: integration(`proof: { accept: [mtls] }\n${pages}`),
    good: integration(`proof: { accept: [dpop, mtls] }\n${pages}`),
    waive: "never: no page can call, so `cors` can go.",
  },
  "cors-loopback-origin": {
    bad: integration('cors: { origins: ["http://localhost:5173"] }'),
    good: integration(pages),
    waive:
      "for a program that is installed on the user's machine and serves its own page, with its name in the reason.",
  },
};
