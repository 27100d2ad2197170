// Promises what the rules noticed, who looks at it and what became of it, and what a rule would have found in the past. Trusts control's admin API.
// Specified in docs/cli/finding.md, docs/findings.md.

import type { AlertReport } from "@sallyport/control/watch/alerts/alerts.ts";
import type { BacktestReport } from "@sallyport/control/watch/backtest.ts";
import type { Finding } from "@sallyport/control/watch/finding.ts";
import type { NamedFinding, RuleReport } from "@sallyport/control/watch/finding-actions.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { parseDuration } from "../duration.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { alertFaults } from "./alert.ts";

const timeOf = (at: number) => new Date(at).toISOString();
const subjectOf = ({
  subject,
  subjectName = null,
}: Pick<Finding, "subject"> & Partial<Pick<NamedFinding, "subjectName">>) =>
  `${subject.kind} ${subjectName === null ? subject.name : `${subjectName} (${subject.name})`}`;

/** `sallyport finding list|show|ack|resolve|backtest|rules|tell|hold`. */
export function findingCommands(program: Command, connect: Connect): void {
  const group = program.command("finding").description("what the rules over the audit log noticed");
  listCommand(group, connect);
  showCommand(group, connect);
  for (const [name, path, says] of [
    ["ack", "acknowledge", "say that somebody looks at it"],
    ["resolve", "resolve", "say that it is over; what comes again is a new finding"],
  ] as const)
    group
      .command(`${name} <id>`)
      .description(says)
      .requiredOption("--reason <text>", "why; it is recorded")
      .action(async (id: string, options: { reason: string }, command: Command) => {
        const { client, terminal } = await connect(command);
        const changed = await client.call<Finding>("POST", `/v1/findings/${encodeURIComponent(id)}/${path}`, {
          reason: options.reason,
        });
        terminal.result(changed, () => [`${changed.id} is ${changed.state}`]);
      });
  ruleCommands(group, connect);
  backtestCommand(group, connect);
}

function ruleCommands(group: Command, connect: Connect): void {
  group
    .command("rules")
    .description("the rules, and whether people are told of what each finds; exit 1 when one waits for a word")
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const rules = await client.call<readonly RuleReport[]>("GET", "/v1/rules");
      terminal.result(rules, () =>
        terminal.table([["RULE", "VERSION", "SEVERITY", "TELLS", "WHY"], ...rules.map(ruleRow)]),
      );
      if (rules.some(({ gate }) => gate?.tells !== true && gate?.change == null)) throw new CommandEnd(exitCode.no, "");
    });
  for (const [name, says] of [
    ["tell", "let notifiers hear of what a rule finds from now on, whatever its backtest says"],
    ["hold", "let nobody hear of what a rule finds from now on; it goes on finding"],
  ] as const)
    group
      .command(`${name} <rule>`)
      .description(says)
      .requiredOption("--reason <text>", "why; it is recorded")
      .action(async (rule: string, { reason }: { readonly reason: string }, command: Command) => {
        const { client, terminal } = await connect(command);
        const changed = await client.call<RuleReport>("POST", `/v1/rules/${encodeURIComponent(rule)}/${name}`, {
          reason,
        });
        terminal.result(changed, () => [`${changed.id} ${name === "tell" ? "tells" : "tells nobody"}`]);
      });
}

function ruleRow({ id, version, severity, gate }: RuleReport): readonly string[] {
  const tried =
    gate === null
      ? "not tried yet"
      : `tried ${timeOf(gate.testedAt)}: ${gate.findings} findings of ${gate.records} records${gate.whole ? "" : ", not the whole time"}`;
  const why = gate?.change == null ? tried : `${gate.change.actor} at ${timeOf(gate.change.at)}: ${gate.change.reason}`;
  return [id, String(version), severity, gate?.tells === true ? "yes" : "no", why];
}

function listCommand(group: Command, connect: Connect): void {
  group
    .command("list")
    .description("findings that are not resolved, of rules and about logs, the newest first; exit 1 when there are any")
    .option("--all", "the resolved ones too")
    .action(async (options: { all?: boolean }, command: Command) => {
      const { client, terminal } = await connect(command);
      const all = await client.call<readonly NamedFinding[]>("GET", "/v1/findings");
      const rows = options.all === true ? all : all.filter(({ state }) => state !== "resolved");
      terminal.result(rows, () =>
        rows.length === 0
          ? ["nothing is open: neither of a rule over the records nor about a log"]
          : terminal
              .table([
                ["ID", "SEVERITY", "RULE", "STATE", "TIMES", "LAST", "ENVIRONMENT", "SUBJECT"],
                ...rows.map((row) => [
                  ...[row.id, row.severity, row.rule, row.state, String(row.count)],
                  ...[timeOf(row.lastAt), row.environment, subjectOf(row)],
                ]),
              ])
              .concat(evidenceWords(rows)),
      );
      const alerts = await client.call<readonly AlertReport[]>("GET", "/v1/alerts");
      for (const fault of await alertFaults(alerts)) terminal.line(fault);
      if (rows.some(({ state }) => state !== "resolved")) throw new CommandEnd(exitCode.no, "");
    });
}

/** Findings about logs have evidence that is no record. */
const isOfLogs = ({ rule }: Pick<Finding, "rule">): boolean => /^(?:log|witness)-/.test(rule);

const evidenceWords = (rows: readonly Finding[]): string[] =>
  rows.some(isOfLogs) ? ["both checkpoints of each log- and witness- finding: sallyport audit findings"] : [];

function showCommand(group: Command, connect: Connect): void {
  group
    .command("show <id>")
    .description("one finding: what, of whom, how often, and the records that show it")
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal } = await connect(command);
      const path = `/v1/findings/${encodeURIComponent(id)}`;
      const finding = await client.call<NamedFinding & { readonly describe: string }>("GET", path);
      terminal.result(finding, () => linesOf(finding));
    });
}

function linesOf(finding: NamedFinding & { readonly describe: string }): readonly string[] {
  const { change } = finding;
  return [
    `${finding.id}  ${finding.severity}  ${finding.rule} (version ${finding.version})  ${finding.state}`,
    ...(finding.describe === "" ? [] : [finding.describe]),
    `of      ${subjectOf(finding)} in ${finding.environment}`,
    `times   ${finding.count}, from ${timeOf(finding.firstAt)} to ${timeOf(finding.lastAt)}`,
    ...Object.entries(finding.facts).map(([name, value]) => `${name.padEnd(7)} ${value}`),
    ...(change === null ? [] : [`by      ${change.actor} at ${timeOf(change.at)}: ${change.reason}`]),
    ...searchLine(finding),
    "records",
    ...finding.evidence.map(({ origin, index }) => `  ${origin} ${index}`),
  ];
}

/** The records by their names, which is more than their places. */
function searchLine({ subject, firstAt, rule }: Finding): readonly string[] {
  if (isOfLogs({ rule })) return ["see     sallyport audit findings, for both checkpoints"];
  if (rule === "unreadable-records")
    return [`see     sallyport audit search --odd unreadable --since ${timeOf(firstAt)}`];
  const option = searchOptions[subject.kind];
  return option === undefined
    ? []
    : [`see     sallyport audit search ${option} ${subject.name} --since ${timeOf(firstAt)}`];
}

const searchOptions: Readonly<Partial<Record<Finding["subject"]["kind"], string>>> = {
  caller: "--caller",
  client: "--client",
  token: "--jti",
  address: "--address",
};

function backtestCommand(group: Command, connect: Connect): void {
  group
    .command("backtest <rule>")
    .description("what a rule would have found in the records that are held; nothing is changed")
    .option("--since <duration>", "how far back", "30d")
    .action(async (rule: string, options: { since: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const sinceMs = Math.max(0, Date.now() - parseDuration(options.since));
      const report = await client.call<BacktestReport>("POST", "/v1/backtests", { rule, sinceMs });
      terminal.result(report, () => [
        `${report.rule} (version ${report.version}, ${report.severity}) would have made ${report.findings} findings of ${report.records} records since ${timeOf(report.sinceMs)}`,
        ...(report.unreadable > 0
          ? [`${report.unreadable} of them this version cannot read: the rule did not see them`]
          : []),
        ...(report.whole ? [] : [`time ran out at ${timeOf(report.untilMs)}: ask for a shorter time`]),
        ...report.examples.map((one) => `  ${timeOf(one.firstAt)}  ${one.count} times  ${subjectOf(one)}`),
      ]);
    });
}
