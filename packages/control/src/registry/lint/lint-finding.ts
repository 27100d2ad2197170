// Promises the shape of one finding of `sallyport check`, how bad it is, and its one line for people. Pure; trusts nothing.
// Specified in docs/cli/check.md.
import type { Place } from "../config/finding.ts";
import type { Severity } from "./rule.ts";

export interface LintFinding extends Place {
  readonly rule: string;
  readonly severity: Severity;
  /** JSONPath (RFC 9535) of the key inside the file. */
  readonly path: string;
  readonly message: string;
  readonly fix: string;
  /** Somebody accepted it, for a time. */
  readonly waived?: Waived;
}

export interface Waived extends Place {
  readonly reason: string;
  readonly owner: string;
  /** `2027-01-31` */
  readonly until: string;
}

const ranks: readonly Severity[] = ["error", "warning", "info"];

/** 0 is the worst. */
export function severityRank(severity: Severity): number {
  return ranks.indexOf(severity);
}

/** Does a finding make the answer no? Waived ones do not. */
export function fails(finding: LintFinding, failOn: Severity): boolean {
  return finding.waived === undefined && severityRank(finding.severity) <= severityRank(failOn);
}

/** `systems/billing.yaml:3:8 warning [upstream-cleartext] $.url: … Fix: …`, one line. */
export function formatLint(finding: LintFinding): string {
  const { file, line, column, severity, rule, path, message, fix, waived } = finding;
  const at = `${file}:${line}:${column}`;
  if (waived !== undefined)
    return `${at} waived [${rule}] ${path}: ${message}. Waived by ${waived.owner} until ${waived.until}: ${waived.reason}`;
  return `${at} ${severity} [${rule}] ${path}: ${message}. Fix: ${fix}`;
}
