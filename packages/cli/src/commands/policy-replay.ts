// Promises who would gain or lose access under the estate in a directory, by deciding what is on record again, and says what could not be decided and why.
// Trusts control's admin API for what is sealed; over log directories alone, only what leaves say in clear. Specified in docs/policy.md and docs/cli/policy.md.
import type { ReplayLine } from "@sallyport/control/replay/replay-actions.ts";
import type { ReplayGroup, ReplayReport } from "@sallyport/control/replay/replay-report.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { parseMoment } from "../records/where.ts";
import { oneLine, printable, type Terminal } from "../terminal.ts";
import { terminalOf } from "./audit-files.ts";
import { loadDirectory } from "./check.ts";
import { readEstateFiles } from "./estate.ts";

interface ReplayFlags {
  readonly since?: string;
  readonly until?: string;
  readonly integration?: readonly string[];
  readonly environment?: readonly string[];
  readonly log?: readonly string[];
  readonly failUndecided?: boolean;
}

const examples = `
Exit 1 when anybody would gain or lose access.
Examples:
  sallyport policy replay estate --since 30d
  sallyport policy replay estate --integration orders-to-billing --json
  sallyport policy replay estate --log gateway/log --fail-undecided
`;

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export function policyReplayCommand(group: Command, connect: Connect): void {
  group
    .command("replay <directory>")
    .description("decide recorded crossings again by the policies in this directory: who would gain or lose access")
    .option("--since <moment>", "records from then on: 30d, 2026-11-01, or a whole time; default: all that are kept")
    .option("--until <moment>", "records before then")
    .option("--integration <id>", "only crossings of this integration; may be repeated", collect)
    .option("--environment <environment>", "only this environment; may be repeated", collect)
    .option(
      "--log <directory>",
      "of this log instead of control's archive, without sealed inputs; may be repeated",
      collect,
    )
    .option("--fail-undecided", "exit 1 also when a record could not be decided for want of its inputs")
    .addHelpText("after", examples)
    .action(async (directory: string, flags: ReplayFlags, command: Command) => {
      const now = Date.now();
      const question = {
        ...(flags.since === undefined ? {} : { from: parseMoment(flags.since, now) }),
        ...(flags.until === undefined ? {} : { to: parseMoment(flags.until, now) }),
        integrations: [...(flags.integration ?? [])],
        environments: [...(flags.environment ?? [])],
      };
      const { report, terminal } =
        flags.log === undefined
          ? await replayAtControl(directory, question, { command, connect })
          : await replayLogs(directory, question, { logs: flags.log, terminal: terminalOf(command) });
      terminal.result(report, () => replayWords(report, terminal.table));
      const undecided =
        flags.failUndecided === true && report.undecided.some(({ why }) => !why.startsWith("it was denied before"));
      if (report.loses + report.gains > 0 || report.faults.length > 0 || undecided)
        throw new CommandEnd(exitCode.no, "");
    });
}

interface Question {
  readonly from?: number;
  readonly to?: number;
  readonly integrations: readonly string[];
  readonly environments: readonly string[];
}

interface Replayed {
  readonly report: ReplayReport;
  readonly terminal: Terminal;
}

async function replayAtControl(
  directory: string,
  question: Question,
  { command, connect }: { readonly command: Command; readonly connect: Connect },
): Promise<Replayed> {
  const files = await readEstateFiles(directory);
  const { client, terminal } = await connect(command);
  let report: ReplayReport | null = null;
  let isEnded = false;
  const end = await client.follow("/v1/policy/replay", { files, ...question }, (text) => {
    // The listener is proven by its pinned key.
    const line = JSON.parse(text) as ReplayLine;
    if (line.t === "begin") for (const error of line.errors) note(error);
    if (line.t === "progress") note(progressWords(line));
    if (line.t === "result") report = line.report;
    if (line.t === "end") isEnded = true;
  });
  if (isEnded) throw new CommandEnd(exitCode.notPermitted, "the permission to read the log was taken away");
  if (report === null)
    throw new CommandEnd(
      exitCode.unreachable,
      end.kind === "broken" ? end.why : "control ended the replay early",
      "ask again, for a shorter period",
    );
  return { report, terminal };
}

async function replayLogs(
  directory: string,
  { from = 0, to = Number.MAX_SAFE_INTEGER, ...filters }: Question,
  { logs, terminal }: { readonly logs: readonly string[]; readonly terminal: Terminal },
): Promise<Replayed> {
  const loaded = await loadDirectory(directory);
  const { candidatesOf } = await import("@sallyport/control/replay/replay-actions.ts");
  const { replayRecords } = await import("@sallyport/control/replay/replay-records.ts");
  const { createSliceCompiler } = await import("@sallyport/kernel/policy/compile-slice.ts");
  const { openHeldLogs } = await import("@sallyport/kernel/log/held-log.ts");
  const faults: string[] = [];
  const held = openHeldLogs({ directories: () => logs, fault: (fault) => faults.push(fault.message) });
  try {
    if ((await held.origins()).length === 0)
      throw new CommandEnd(
        exitCode.badUse,
        faults[0] ?? `no log is in ${logs.join(", ")}`,
        "name <data>/log of a gateway",
      );
    const candidates = candidatesOf(loaded, { compiler: createSliceCompiler() });
    const steps = replayRecords({ from, to, ...filters }, { held, candidates, open: () => null });
    for await (const step of steps)
      if (step.t === "result")
        return { report: { ...step.report, faults: [...faults, ...step.report.faults] }, terminal };
  } finally {
    await held.close();
  }
  throw new Error("a replay ended without a report");
}

const note = (text: string): void => void process.stderr.write(`${printable(text)}\n`);

function progressWords({ read, of, decisions }: Extract<ReplayLine, { t: "progress" }>): string {
  return `${read} of ${of} records read, ${decisions} decisions`;
}

type Table = Terminal["table"];

/** The report as people read it. */
export function replayWords(report: ReplayReport, table: Table): readonly string[] {
  const { records, same, loses, gains, groups, ungrouped, undecided, faults } = report;
  const notDecided = undecided.reduce((sum, { count }) => sum + count, 0);
  const rows = groups.map(row);
  const heading = ["", "caller", "operation", "environment", "count", "first", "last", "example"];
  return [
    `${records} decisions: ${same} as they were, ${loses} would lose access, ${gains} would gain it, ${notDecided} not decided again`,
    ...(rows.length === 0 ? [] : ["", ...table([heading, ...rows])]),
    ...groups.map(({ example, why }) => oneLine(`  ${example}: ${why}`)),
    ...(ungrouped === 0 ? [] : [`${ungrouped} changes found no room in the table above`]),
    ...(undecided.length === 0 ? [] : ["", "not decided again:"]),
    ...undecided.map(({ why, count, example }) => oneLine(`${count} × ${why}; for example ${example}`)),
    ...faults.map((fault) => oneLine(`not read to its end: ${fault}`)),
  ];
}

function row({
  change,
  caller,
  operation,
  environment,
  count,
  firstMs,
  lastMs,
  example,
}: ReplayGroup): readonly string[] {
  return [change, caller, operation, environment, String(count), at(firstMs), at(lastMs), example];
}

function at(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}
