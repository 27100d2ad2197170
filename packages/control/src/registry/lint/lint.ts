// Promises everything `sallyport check` has to say, in one list: what is not served, what is risky, what was waived and by whom. Pure.
// Trusts the loader and the policy compiler for their findings, the rules for theirs. Specified in docs/cli/check.md and docs/lint/README.md.
import type { ParsedPolicies } from "@sallyport/kernel/policy/policy-text.ts";
import type { LoadedEstate } from "../config/estate.ts";
import { compareText, type Finding } from "../config/finding.ts";
import { type LintFinding, severityRank } from "./lint-finding.ts";
import { type Rule, subjectOf } from "./rule.ts";
import { ruleById, rules } from "./rules.ts";
import { applyWaivers } from "./waivers.ts";

export interface LintQuestion {
  readonly loaded: LoadedEstate;
  readonly policies: {
    readonly findings: readonly Finding[];
    /** Parsed files by environment. */
    readonly parsed: ReadonlyMap<string, ParsedPolicies>;
  };
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** All findings in reading order; what is waived is among them and marked. */
export function lint({ loaded, policies, now }: LintQuestion): readonly LintFinding[] {
  const { estate, sources } = loaded;
  const subject = subjectOf({ estate, sources, policies: policies.parsed, now });
  const found = [
    ...loaded.findings.map((finding) => asLint(finding, "load-error")),
    ...policies.findings.map((finding) => asLint(finding, "policy-invalid")),
    ...rules.flatMap((rule) => hitsOf(rule, subject)),
  ];
  return sorted(applyWaivers(unique(found), { sources, estate, now }));
}

function asLint(finding: Finding, unnamed: string): LintFinding {
  const { file, line, column, path, message, fix, rule = unnamed } = finding;
  // At a start something may deserve a warning that is only worth knowing in a review: the table has the last word, downwards.
  const own = ruleById(rule)?.severity ?? finding.severity;
  const severity = severityRank(own) > severityRank(finding.severity) ? own : finding.severity;
  return { rule, severity, file, line, column, path, message, fix };
}

function hitsOf(rule: Rule, subject: Parameters<NonNullable<Rule["check"]>>[0]): readonly LintFinding[] {
  return (rule.check?.(subject) ?? []).map(({ at, message, fix = rule.fix, severity = rule.severity }) => ({
    rule: rule.id,
    severity,
    file: at.file,
    line: at.line,
    column: at.column,
    path: at.path,
    message,
    fix,
  }));
}

/** What holds in two environments and stands once is said once. */
function unique(findings: readonly LintFinding[]): readonly LintFinding[] {
  const first = new Map<string, LintFinding>();
  for (const finding of findings) {
    const { rule, file, line, column, path, message } = finding;
    const key = JSON.stringify([rule, file, line, column, path, message]);
    if (!first.has(key)) first.set(key, finding);
  }
  return [...first.values()];
}

function sorted(findings: readonly LintFinding[]): readonly LintFinding[] {
  return findings.toSorted(
    (a, b) =>
      compareText(a.file, b.file) ||
      a.line - b.line ||
      a.column - b.column ||
      severityRank(a.severity) - severityRank(b.severity) ||
      compareText(a.rule, b.rule) ||
      compareText(a.message, b.message),
  );
}
