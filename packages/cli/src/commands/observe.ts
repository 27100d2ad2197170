// Promises what enforcement would deny of what was let pass, grouped, with the fix for each group, and a yes or no for each system.
// Trusts control's admin API, which opens the records and records the look-up. Specified in docs/observe.md and docs/cli/observe.md.
import type { ObservedReport, ObservedRow } from "@sallyport/control/observe/observed-report.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { parseDuration } from "../duration.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { oneLine } from "../terminal.ts";

interface Options {
  readonly since: string;
  readonly system?: string;
  readonly environment?: string;
}

/** `sallyport observe`: exit 1 when a system that observes or passes is not ready to be enforced. */
export function observeCommand(program: Command, connect: Connect): void {
  program
    .command("observe")
    .description("what enforcement would have denied under observe or passthrough, and what mends it")
    .option("--since <duration>", "how far back; whole days are counted (UTC)", "7d")
    .option("--system <system>", "this system alone")
    .option("--environment <environment>", "this environment alone")
    .addHelpText("after", "\nExamples:\n  sallyport observe\n  sallyport observe --system billing --since 24h\n")
    .action(async (options: Options, command: Command) => {
      const sinceMs = Math.max(0, Date.now() - parseDuration(options.since));
      const { client, terminal } = await connect(command);
      const whole = await client.call<ObservedReport>("POST", "/v1/observed", { sinceMs });
      const isAsked = (one: { readonly system: string; readonly environment: string }) =>
        (options.system === undefined || options.system === one.system) &&
        (options.environment === undefined || options.environment === one.environment);
      const report = {
        ...whole,
        systems: whole.systems.filter(isAsked),
        groups: whole.groups.filter(isAsked),
        shadows: whole.shadows.filter(({ environment, operation }) =>
          isAsked({ environment, system: operation.slice(0, operation.indexOf(":")) }),
        ),
      };
      terminal.result(report, () => observedWords(report, terminal.table));
      // Groups of what is no system any more are nothing to enforce.
      if (report.systems.some(({ ready }) => !ready)) throw new CommandEnd(exitCode.no, "");
    });
}

type Table = (rows: readonly (readonly string[])[]) => readonly string[];

/** The report as people read it. */
export function observedWords(report: ObservedReport, table: Table): readonly string[] {
  const many = new Set(report.systems.map(({ environment }) => environment)).size > 1;
  const lines = [`since ${at(report.sinceMs)}`];
  for (const { node, sinceMs, uncounted } of report.nodes) {
    if (sinceMs === null) lines.push(`gateway ${node}: away, what it saw is missing here`);
    else if (sinceMs > report.sinceMs) lines.push(`gateway ${node}: counts since ${at(sinceMs)}`);
    if (uncounted > 0)
      lines.push(`gateway ${node}: no room to count ${uncounted} crossings; their records are in its log`);
  }
  if (report.systems.length === 0)
    return [...lines, "nothing is observed, and nothing passes undeclared", ...shadowWords(report)];
  const rows = report.systems.map((one) => [
    many ? `${one.system} (${one.environment})` : one.system,
    until(one.observeUntilMs),
    until(one.passthroughUntilMs),
    String(one.allowed),
    String(one.wouldDeny),
    one.ready ? "yes" : "no",
    one.why,
  ]);
  const heading = ["system", "observe until", "passthrough until", "allowed", "would deny", "ready to enforce", ""];
  return [
    ...lines,
    "",
    ...table([heading, ...rows]),
    ...byFix(report.groups),
    ...afterwards(report),
    ...shadowWords(report),
  ];
}

const changes = { allow: "would gain access", deny: "would lose access", error: "would be denied: the policy fails" };

/** Whose access policies in shadow would change. */
function shadowWords({ shadows }: ObservedReport): readonly string[] {
  if (shadows.length === 0) return [];
  const rows = shadows.map(({ policy, would, operation, caller, count, firstMs, lastMs, examples }) =>
    oneLine(
      `${count} × ${operation} by ${caller}: ${changes[would]} by ${policy}; ${at(firstMs)} to ${at(lastMs)}; why ${examples[0] ?? "?"}`,
    ),
  );
  return ["", "policies in shadow:", ...rows];
}

/** Counts go on: without this a reader who mended everything would wait for a yes until the old ones are out of sight. */
function afterwards({ systems, groups }: ObservedReport): readonly string[] {
  if (groups.length === 0 || systems.every(({ ready }) => ready)) return [];
  return ["", "mended? ask for what came after it, for example: sallyport observe --since 15m"];
}

/** What one change mends stands together, the change below it. */
function byFix(groups: readonly ObservedRow[]): readonly string[] {
  const fixes = Map.groupBy(groups, ({ fix }) => `${fix.says}\n${fix.yaml ?? ""}`);
  return [...fixes.values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined) return [];
    return [
      "",
      ...same.map(line),
      `  fix: ${oneLine(first.fix.says)}`,
      ...(first.fix.yaml?.split("\n") ?? []).map((text) => `    ${text}`),
    ];
  });
}

function line(row: ObservedRow): string {
  const { operation, caller, addressClass, code, stage, count, firstMs, lastMs, examples, next, shapes } = row;
  const who = caller ?? `unidentified (${addressClass})`;
  const what = shapes.length === 0 ? operation : `${operation} ${shapes.join(", ")}`;
  const later = next.length === 0 ? "" : `, then ${next.join(", ")}`;
  return oneLine(
    `${count} × ${what} by ${who}: ${code} (${stage})${later}; ${at(firstMs)} to ${at(lastMs)}; why ${examples[0] ?? "?"}`,
  );
}

function at(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}

/** The last whole day. */
function until(ms: number | null): string {
  return ms === null ? "-" : new Date(ms - 1).toISOString().slice(0, 10);
}
