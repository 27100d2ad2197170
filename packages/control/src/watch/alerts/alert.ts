// Promises what one message says of findings, in the words every notifier uses: rule, severity, pseudonyms, times, ids; nothing personal in clear, no text
// a caller chose, one line per fact and printable characters only. Pure. Trusts the findings to be control's. Specified in docs/alerts.md "A message".
import { hash } from "node:crypto";
import { type Severity, type Subject, severities } from "../detector.ts";
import type { Finding } from "../finding.ts";
import { ruleWords } from "../rule-words.ts";

export interface AlertFinding extends Pick<Finding, "id" | "environment" | "rule" | "severity" | "count"> {
  readonly describe: string;
  readonly subject: Subject;
  /** Milliseconds since the epoch. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** Closed words and numbers that say more. */
  readonly facts: Finding["facts"];
}

export interface Alert {
  /** The same findings to the same notifier have the same: a receiver that remembers it takes a message once. */
  readonly id: string;
  /** `test`: it is about nothing. */
  readonly kind: "findings" | "test";
  readonly notifier: string;
  /** The highest of them. */
  readonly severity: Severity;
  /** How many findings it stands for. */
  readonly total: number;
  /** The severest ones, at most `namedMax`; of equal severity the first. */
  readonly findings: readonly AlertFinding[];
}

/** Findings one message names; it says how many more there are. */
export const namedMax = 20;
const lineMax = 300;

/** One message for one or more findings; they are in the order of the log. */
export function alertOf(notifier: string, findings: readonly Finding[]): Alert {
  const ids = findings.map(({ id }) => id).join("\n");
  return {
    id: `alr_${hash("sha256", `${notifier}\n${ids}`, "hex").slice(0, 32)}`,
    ...{ kind: "findings", notifier, total: findings.length },
    severity: highest(findings),
    // Whoever can raise small ones at will must not push the one that matters out of the message.
    findings: findings
      .toSorted((a, b) => rankOf(b) - rankOf(a))
      .slice(0, namedMax)
      .map(told),
  };
}

/** About no finding; another one each time. */
export function testAlert(notifier: string, nowMs: number): Alert {
  const id = `alr_${hash("sha256", `${notifier}\ntest\n${nowMs}`, "hex").slice(0, 32)}`;
  return { id, kind: "test", notifier, severity: "informational", total: 0, findings: [] };
}

function told(finding: Finding): AlertFinding {
  const { id, environment, rule, severity, count, subject, firstAt, lastAt, facts } = finding;
  const describe = ruleWords(rule)?.describe ?? "";
  return { ...{ id, environment, rule, severity, count, subject, firstAt, lastAt, facts }, describe };
}

const rankOf = ({ severity }: Pick<Finding, "severity">): number => severities.indexOf(severity);

function highest(findings: readonly Finding[]): Severity {
  const most = Math.max(0, ...findings.map(rankOf));
  return severities[most] ?? "informational";
}

/** One line that says it all. */
export function alertTitle({ kind, notifier, severity, total, findings: [first] }: Alert): string {
  if (kind === "test" || first === undefined) return printable(`sallyport: a test of the notifier ${notifier}`);
  if (total > 1) return printable(`sallyport: ${total} findings, the highest ${severity}`);
  return printable(`sallyport: ${severity} finding ${first.rule} (${first.environment})`);
}

/** The message as lines for people. */
export function alertLines(alert: Alert): readonly string[] {
  const { kind, total, findings } = alert;
  if (kind === "test")
    return ["This message is about no finding: an operator asked for it.", "sallyport alert test"].map(printable);
  const more = total - findings.length;
  return [
    ...findings.flatMap((finding, at) => [...(at === 0 ? [] : [""]), ...findingLines(finding)]),
    ...(more > 0 ? ["", `and ${more} more: sallyport finding list`] : []),
  ].map(printable);
}

function findingLines(finding: AlertFinding): readonly string[] {
  const { id, rule, severity, describe, environment, subject, firstAt, lastAt, count, facts } = finding;
  const said = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  return [
    `${severity}: ${rule}`,
    ...(describe === "" ? [] : [describe]),
    `environment  ${environment}`,
    `subject      ${subject.kind} ${subject.name}`,
    `times        ${count}, from ${timeOf(firstAt)} to ${timeOf(lastAt)}`,
    ...(said.length === 0 ? [] : [`facts        ${said.join(", ")}`]),
    `more         sallyport finding show ${id}`,
  ];
}

const timeOf = (at: number): string => new Date(at).toISOString();

/** Printable ASCII on one line of bounded length: nothing that could begin a header, another line, or speak to a terminal. */
export function printable(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]+/g, " ");
  return plain.length > lineMax ? `${plain.slice(0, lineMax - 3)}...` : plain;
}
