// Promises that everything said about a configuration names the place and the fix.
// Trusts the readers to pass public text only: no message ever holds a value that could be a secret.
// Specified in docs/configuration.md.

export interface Place {
  /** Relative to the estate directory, with `/`. */
  readonly file: string;
  /** One-based. */
  readonly line: number;
  readonly column: number;
}

export interface Finding extends Place {
  readonly severity: "error" | "warning";
  /** JSONPath (RFC 9535) of the key inside the file. */
  readonly path: string;
  readonly message: string;
  readonly fix: string;
  /** Of a warning: the lint rule it belongs to, by which it can be waived (registry/lint). */
  readonly rule?: string;
}

/** What a check has to say about one spot; the spot supplies the place. */
export interface Spot extends Place {
  readonly path: string;
}

export function errorAt(spot: Spot, message: string, fix: string): Finding {
  return { severity: "error", ...placeOf(spot), path: spot.path, message, fix };
}

/** `rule` is an id of the table in registry/lint/rules.ts. */
export function warningAt(
  spot: Spot,
  said: { readonly rule: string; readonly message: string; readonly fix: string },
): Finding {
  return { severity: "warning", ...placeOf(spot), path: spot.path, ...said };
}

/** The first spot of a file, for what concerns all of it. */
export function fileSpot(file: string): Spot {
  return { file, line: 1, column: 1, path: "$" };
}

export function placeOf(spot: Place): Place {
  return { file: spot.file, line: spot.line, column: spot.column };
}

/** `systems/billing.yaml:3:8 error $.url: not a URL. Fix: …`, one line. */
export function formatFinding(finding: Finding): string {
  const { file, line, column, severity, path, message, fix } = finding;
  return `${file}:${line}:${column} ${severity} ${path}: ${message}. Fix: ${fix}`;
}

/** Appends a member to a JSONPath: `.name` where the shorthand is allowed (RFC 9535 §2.5.1), else `['a.b']`. */
export function pathInto(path: string, member: string | number): string {
  if (typeof member === "number") return `${path}[${member}]`;
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(member)) return `${path}.${member}`;
  return `${path}['${member.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}']`;
}

/** Same place and same words once, in reading order, errors before warnings at one spot. */
export function sortFindings(findings: readonly Finding[]): Finding[] {
  const seen = new Map<string, Finding>();
  for (const finding of findings) {
    const key = JSON.stringify([finding.file, finding.line, finding.column, finding.path, finding.message]);
    if (!seen.has(key)) seen.set(key, finding);
  }
  return [...seen.values()].sort(
    (a, b) =>
      compareText(a.file, b.file) ||
      a.line - b.line ||
      a.column - b.column ||
      compareText(a.severity, b.severity) ||
      compareText(a.message, b.message),
  );
}

/** Code unit order, the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
