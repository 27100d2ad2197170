// Promises the report of one crossing, or of one issuance of a token, in words: what decided, for a denial what was expected, what was sent and the fix, then all inputs.
// Trusts control, which opened them. Pure.
import { oneLine } from "../terminal.ts";
import { type DenialExplained, explainDenial, type Facts } from "./explain-denial.ts";
import { issuanceFix } from "./issuance-fixes.ts";

export interface CrossingReport {
  readonly id: string;
  readonly node: string;
  readonly leaves: readonly string[];
  readonly decision: Readonly<Record<string, unknown>> | null;
  /** Control answered from what the node shipped. */
  readonly archived?: boolean;
  /** Absent: none of the policies that decided is there now, or control is one of before. */
  readonly decidedBy?: readonly DecidingPolicy[];
}

interface DecidingPolicy {
  readonly id: string;
  readonly place: string;
  /** Null: the request had none. */
  readonly read: Readonly<Record<string, unknown>>;
}

export type LeafFields = Readonly<Record<string, unknown>>;

export interface CrossingRead {
  readonly id: string;
  readonly node: string;
  readonly leaves: readonly LeafFields[];
  readonly decision: CrossingReport["decision"];
  readonly archived?: boolean;
  readonly decidedBy?: CrossingReport["decidedBy"];
  /** Null: allowed, or the node kept no inputs. */
  readonly denial: DenialExplained | null;
}

export function readReport(report: CrossingReport): CrossingRead {
  // A leaf is a JSON object by its format (docs/formats/leaf.md); control has found it in a log.
  const leaves = report.leaves.map((leaf) => JSON.parse(leaf) as LeafFields);
  return { ...report, leaves, denial: denialOf(report.decision) };
}

export function isDenied({ leaves }: Pick<CrossingRead, "leaves">): boolean {
  return leaves.some((leaf) => leaf["verdict"] === "deny");
}

function denialOf(decision: CrossingReport["decision"]): DenialExplained | null {
  const code = decision?.["code"];
  const facts = decision?.["facts"];
  if (typeof code !== "string") return null;
  return explainDenial({ code, stage: text(decision?.["stage"] ?? ""), facts: factsOf(facts) });
}

function factsOf(value: unknown): Facts {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, text(member)]));
}

export function crossingWords(read: CrossingRead): readonly string[] {
  const decided = read.leaves.find((leaf) => "verdict" in leaf) ?? {};
  const from = read.archived === true ? ", from the archive: the node does not answer with it" : "";
  const lines = [`${read.id} at ${read.node}${from}`, row("verdict", verdictOf(decided))];
  const names = ["code", "stage", "operation", "integration", "grantType", "audience", "proof", "issuer"] as const;
  for (const name of names) {
    if (decided[name] !== null && decided[name] !== undefined) lines.push(row(name, text(decided[name])));
  }
  for (const name of ["operations", "policies"] as const) {
    const all = decided[name];
    if (Array.isArray(all) && all.length > 0) lines.push(row(name, all.join(", ")));
  }
  lines.push(
    ...denialWords(read.denial),
    ...shadowWords(read.decision),
    ...threatWords(read.decision),
    ...(read.decidedBy ?? []).map(decidedWords),
  );
  const fix = read.denial === null && decided["t"] === "issuance" ? issuanceFix(decided["code"]) : null;
  if (fix !== null) lines.push(row("fix", fix));
  lines.push(...endedFix(read));
  for (const leaf of read.leaves) {
    if ("outcome" in leaf)
      lines.push(
        row(
          "outcome",
          `${text(leaf["outcome"])}, status ${text(leaf["status"])}, ${Number(leaf["totalUs"]) / 1000} ms${endedWords(leaf)}`,
        ),
      );
  }
  lines.push(...attemptWords(read.decision));
  if (read.decision === null) return [...lines, "the node kept no decision inputs for this record"];
  return [...lines, "", ...flatten(read.decision, "")];
}

/** How to mend what ended a crossing that had been let pass: a provider that failed, a key that was ended. */
function endedFix({ denial, leaves }: CrossingRead): readonly string[] {
  const ended = leaves.find((leaf) => leaf["t"] === "outcome" && typeof leaf["code"] === "string");
  if (denial !== null || ended === undefined) return [];
  return [row("fix", explainDenial({ code: text(ended["code"]), stage: text(ended["stage"]), facts: {} }).fix)];
}

/** Why a crossing that was under way ended, where something ended it. */
function endedWords(leaf: Readonly<Record<string, unknown>>): string {
  if (leaf["t"] !== "outcome" || typeof leaf["code"] !== "string") return "";
  return `, ended by ${leaf["code"]} (${text(leaf["stage"])})`;
}

function denialWords(denial: DenialExplained | null): readonly string[] {
  if (denial === null) return [];
  const rows = [
    ["why", denial.facts["why"] ?? denial.facts["detail"] ?? null],
    ["expected", denial.expected],
    ["sent", denial.sent],
    ["nearest", denial.nearest],
    ["missing", denial.missing],
    ["declared", denial.declaredAt],
    ["fix", denial.fix],
  ] as const;
  return rows.flatMap(([name, value]) => (value === null || value === "" ? [] : [row(name, value)]));
}

const changes: Readonly<Record<string, string>> = {
  allow: "would have allowed it",
  deny: "would have denied it",
  error: "would have denied it, because it fails",
};

/** What policies in shadow would have changed. */
function shadowWords(decision: CrossingReport["decision"]): readonly string[] {
  const { shadow } = decision ?? {};
  if (!Array.isArray(shadow)) return [];
  // Written by a gateway as ShadowVerdict (kernel/policy/port.ts).
  return shadow.map(({ policy, would, why }: Readonly<Record<string, unknown>>) =>
    row("shadow", `${text(policy)} ${changes[text(would)] ?? text(would)}${why === undefined ? "" : `: ${text(why)}`}`),
  );
}

/** `attempt  http://… answered after 11 ms, sent beside a slow one`, where there was more than one. */
function attemptWords(decision: CrossingReport["decision"]): readonly string[] {
  const { attempts } = decision ?? {};
  if (!Array.isArray(attempts)) return [];
  // Written by a gateway as EndedAttempt (gateway forward/forwarded.ts).
  return attempts.map(({ endpoint, ended, ms, hedge }: Readonly<Record<string, unknown>>) =>
    row(
      "attempt",
      `${text(endpoint)} ${text(ended)} after ${text(ms)} ms${hedge === true ? ", sent beside a slow one" : ""}`,
    ),
  );
}

/** What rules about threats in shadow found. */
function threatWords(decision: CrossingReport["decision"]): readonly string[] {
  const { threats } = decision ?? {};
  if (!Array.isArray(threats)) return [];
  // Written by a gateway as FoundThreat (gateway/threats/judge.ts).
  return threats.map(({ rule, at }: Readonly<Record<string, unknown>>) =>
    row("threat", `${text(rule)} at ${text(at)}, in shadow`),
  );
}

/** `policy  own (policies/rules.cedar:3) read resource.region "us"; principal.region absent` */
function decidedWords({ id, place, read }: DecidingPolicy): string {
  const values = Object.entries(read).map(
    ([name, value]) => `${name} ${value === null ? "absent" : JSON.stringify(value)}`,
  );
  return row("policy", `${id} (${place}) read ${values.length === 0 ? "no attribute" : values.join("; ")}`);
}

const row = (name: string, value: string): string => `${name.padEnd(10)} ${oneLine(value)}`;

/** `facts.expected  https://…` lines, in the order they were written. */
function flatten(value: Readonly<Record<string, unknown>>, prefix: string): readonly string[] {
  return Object.entries(value).flatMap(([name, member]) => {
    if (typeof member === "object" && member !== null && !Array.isArray(member)) {
      return flatten(Object.fromEntries(Object.entries(member)), `${prefix}${name}.`);
    }
    return [oneLine(`${(prefix + name).padEnd(28)} ${text(member)}`)];
  });
}

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Of a crossing that was let pass, what enforcement would have done. */
function verdictOf(decided: Readonly<Record<string, unknown>>): string {
  const { mode, verdict, stage, code } = decided;
  if (mode === undefined || mode === "enforce") {
    const isEnded = verdict === "allow" && typeof code === "string";
    return isEnded ? `allow, and then ended at ${text(stage)} by ${code}: the caller got that` : text(verdict);
  }
  const word = mode === "observe" ? "observed, not enforced" : "passed undeclared";
  if (verdict !== "deny") return `${text(verdict)}: ${word}; enforcement would have allowed it`;
  return `deny: ${word}; enforcement would have ended it at ${text(stage)} with ${text(code)}`;
}
