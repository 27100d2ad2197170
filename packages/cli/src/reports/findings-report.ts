// Promises what a check found, per directory, in the one shape every format prints. Pure. Trusts control's lint for the findings.
import type { LintFinding } from "@sallyport/control/registry/lint/lint-finding.ts";

export interface CheckedDirectory {
  /** As it was named on the command line. */
  readonly directory: string;
  /** The directory relative to where the command runs, with `/`: what CI systems call files by. */
  readonly prefix: string;
  readonly environments: readonly { readonly name: string; readonly systems: number; readonly integrations: number }[];
  readonly findings: readonly LintFinding[];
}

export interface Located extends LintFinding {
  /** The file as the CI system knows it: with the directory before it. */
  readonly inRepository: string;
}

export function located(checked: readonly CheckedDirectory[]): readonly Located[] {
  return checked.flatMap(({ prefix, findings }) =>
    findings.map((finding) => ({
      ...finding,
      inRepository: prefix === "" ? finding.file : `${prefix}/${finding.file}`,
    })),
  );
}

export function countBySeverity(findings: readonly LintFinding[]): {
  readonly errors: number;
  readonly warnings: number;
  readonly infos: number;
  readonly waived: number;
} {
  const open = findings.filter(({ waived }) => waived === undefined);
  const count = (severity: LintFinding["severity"]) => open.filter((finding) => finding.severity === severity).length;
  return {
    errors: count("error"),
    warnings: count("warning"),
    infos: count("info"),
    waived: findings.length - open.length,
  };
}
