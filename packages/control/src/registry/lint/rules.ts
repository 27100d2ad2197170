// Promises the table of all lint rules: what `sallyport check` can say, each with a page docs/lint/<id>.md. Trusts each rule's own file.
import { boundsRules } from "./bounds-rules.ts";
import { clientRules } from "./client-rules.ts";
import { corsRules } from "./cors-rules.ts";
import { dataRules } from "./data-rules.ts";
import { estateRules, trustRules } from "./estate-rules.ts";
import { issuerRules } from "./issuer-rules.ts";
import { nextHopRules } from "./next-hop-rules.ts";
import { observeRules } from "./observe-rules.ts";
import { openApiRules } from "./openapi-rules.ts";
import { ownershipRules } from "./ownership-rules.ts";
import { peopleRules } from "./people-rules.ts";
import { policyRules } from "./policy-rules.ts";
import { proofRules } from "./proof-rules.ts";
import { proxyRules } from "./proxy-rules.ts";
import { resilienceRules } from "./resilience-rules.ts";
import type { Rule } from "./rule.ts";
import { upstreamRules } from "./upstream-rules.ts";
import { witnessRules } from "./witness-rules.ts";

const loadRules: readonly Rule[] = [
  {
    id: "load-error",
    severity: "error",
    title: "Something is not served",
    why: "A file cannot be read, a key does not exist, a value has no meaning, a reference leads nowhere, YAML reads otherwise than it looks, or a secret stands in clear. The object it is in is not served; everything else is.",
    fix: "do what the finding says",
    waivable: false,
  },
  {
    id: "stray-file",
    severity: "warning",
    title: "A file that nothing reads",
    why: "Somebody wrote it for the estate and believes it is in force.",
    fix: "move it to the folder where it is read, or out of the estate",
    waivable: true,
  },
];

const waiverRules: readonly Rule[] = [
  {
    id: "waiver-invalid",
    severity: "error",
    title: "A waiver lacks what makes it one",
    why: "Without reason, owner and date an exception is a hole that nobody will close; it waives nothing.",
    fix: "write `rule`, `reason`, `owner` and `until`",
    waivable: false,
  },
  {
    id: "waiver-unknown-rule",
    severity: "error",
    title: "A waiver names a rule that does not exist",
    why: "It waives nothing, and the finding it was meant for has another name.",
    fix: "copy the id from the finding; `sallyport check --list-rules` has all",
    waivable: false,
  },
  {
    id: "waiver-not-allowed",
    severity: "error",
    title: "A waiver for what cannot be waived",
    why: "What is not served stays so however many accept it, and waivers do not waive waivers.",
    fix: "remove the waiver and do what the finding says",
    waivable: false,
  },
  {
    id: "waiver-expired",
    severity: "warning",
    title: "A waiver has ended",
    why: "Its finding counts again; the exception was for a time, and the time is over.",
    fix: "do what the finding says, or give the waiver a later day and a reason for it",
    waivable: false,
  },
  {
    id: "waiver-unused",
    severity: "warning",
    title: "A waiver that waives nothing",
    why: "What it accepted is gone; left in place it would hide the next finding of the same kind.",
    fix: "remove it",
    waivable: false,
  },
  {
    id: "waiver-too-long",
    severity: "warning",
    title: "A waiver for more than a year",
    why: "An exception without a near end is a rule that nobody decided.",
    fix: "write a day within a year",
    waivable: false,
  },
];

/** In the order of the pages: what is not served, who answers, what is open, who proves what, where it goes, what it is, what decides, what is left. */
export const rules: readonly Rule[] = [
  ...loadRules,
  ...ownershipRules,
  ...boundsRules,
  ...proofRules,
  ...clientRules,
  ...corsRules,
  ...issuerRules,
  ...peopleRules,
  ...nextHopRules,
  ...upstreamRules,
  ...resilienceRules,
  ...dataRules,
  ...openApiRules,
  ...policyRules,
  ...observeRules,
  ...trustRules,
  ...estateRules,
  ...proxyRules,
  ...witnessRules,
  ...waiverRules,
];

const byId = new Map(rules.map((rule) => [rule.id, rule]));

export function ruleById(id: string): Rule | undefined {
  return byId.get(id);
}
