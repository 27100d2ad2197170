// Promises one shape for what a check found: what was measured, whether that is good, and how to mend it. Trusts nothing: it is data.
// Specified in docs/cli/doctor.md.
export interface CheckResult {
  /** `disk.sync` */
  readonly check: string;
  readonly verdict: "ok" | "warn" | "fail";
  readonly measured: string;
  /** Null where nothing is to be done. */
  readonly fix: string | null;
}

export function good(check: string, measured: string): CheckResult {
  return { check, verdict: "ok", measured, fix: null };
}

export function warn(check: string, measured: string, fix: string): CheckResult {
  return { check, verdict: "warn", measured, fix };
}

export function fail(check: string, measured: string, fix: string): CheckResult {
  return { check, verdict: "fail", measured, fix };
}

/** `ok    disk.sync   0.4 ms`, the fix on a line of its own. */
export function resultLines(results: readonly CheckResult[]): readonly string[] {
  const width = Math.max(0, ...results.map(({ check }) => check.length));
  return results.flatMap(({ check, verdict, measured, fix }) => [
    `${verdict.padEnd(5)} ${check.padEnd(width)}  ${measured}`,
    ...(fix === null ? [] : [`${" ".repeat(width + 8)}fix: ${fix}`]),
  ]);
}
