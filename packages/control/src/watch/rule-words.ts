// Promises severity and sentence of everything that can raise a finding. Trusts the tables of rules. Described in docs/findings.md "Rules".
import type { Severity } from "./detector.ts";
import { logRules } from "./log-rules.ts";
import { rules } from "./rules.ts";
import { unreadableRecords } from "./unreadable-records.ts";

export interface RuleWords {
  readonly severity: Severity;
  readonly describe: string;
}

const known: ReadonlyMap<string, RuleWords> = new Map(
  [...rules, ...Object.values(logRules), unreadableRecords].map(({ id, severity, describe }) => [
    id,
    { severity, describe },
  ]),
);

/** Undefined: a rule of another version of Sallyport. */
export function ruleWords(id: string): RuleWords | undefined {
  return known.get(id);
}
