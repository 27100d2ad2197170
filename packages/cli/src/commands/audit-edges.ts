// Promises the figures of every edge as a table: how much, how fast, how often refused or failed. Trusts control's admin API, which records the read.
// Specified in docs/cli/audit.md and docs/audit-edges.md.
import type { EdgesAnswer } from "@sallyport/control/audit/edges/edge-actions.ts";
import type { EdgeRow } from "@sallyport/control/audit/edges/report-edges.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { parseMoment } from "../records/where.ts";

interface Flags {
  readonly since: string;
  readonly until?: string;
  readonly step?: string;
  readonly environment?: string;
  readonly integration?: string;
}

const hourMs = 3_600_000;

export function edgesCommand(group: Command, connect: Connect): void {
  group
    .command("edges")
    .description("requests, errors, denials and latency of every integration and operation, from the records")
    .option("--since <moment>", "from when: how long ago (2h, 7d), or 2026-11-30T08:00:00Z", "1h")
    .option("--until <moment>", "until when, the same; default: now")
    .option("--step <step>", "minute, hour or day; default: as fine as a day, sixty days or more allow")
    .option("--environment <environment>", "only this one")
    .option("--integration <id>", "only this one")
    .addHelpText(
      "after",
      "\nFigures of minutes are kept two days, of hours sixty, of days over two years. --json has the series.\n",
    )
    .action(async (flags: Flags, command: Command) => {
      const { client, terminal } = await connect(command);
      const now = Date.now();
      const from = parseMoment(flags.since, now);
      const to = flags.until === undefined ? now : parseMoment(flags.until, now);
      const { environment, integration } = flags;
      const only = {
        ...(environment === undefined ? {} : { environment }),
        ...(integration === undefined ? {} : { integration }),
      };
      const body = { from, to, step: stepOf(flags.step, to - from), ...only };
      const answer: EdgesAnswer = await client.call("POST", "/v1/audit/edges", body);
      terminal.result(answer, () => [
        ...terminal.table([
          ["INTEGRATION", "OPERATION", "ENVIRONMENT", "REQUESTS", "RPS", "ERRORS", "DENIED", "P50", "P95", "P99"],
          ...answer.edges.map((edge) => rowOf(edge, (answer.to - answer.from) / 1_000)),
        ]),
        ...(answer.behind === 0 ? [] : [`note: ${answer.behind} records are not counted yet`]),
      ]);
    });
}

function stepOf(given: string | undefined, spanMs: number): string {
  if (given === undefined) return spanMs <= 24 * hourMs ? "minute" : spanMs <= 60 * 24 * hourMs ? "hour" : "day";
  if (given === "minute" || given === "hour" || given === "day") return given;
  throw new CommandEnd(exitCode.badUse, `--step ${given} is none`, "write minute, hour or day");
}

function rowOf(edge: EdgeRow, seconds: number): readonly string[] {
  const share = (count: number) => (edge.requests === 0 ? "0%" : `${((100 * count) / edge.requests).toFixed(1)}%`);
  const ms = (value: number | null) =>
    value === null ? "-" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  return [
    edge.integration ?? "(none)",
    edge.operation ?? "(none)",
    edge.environment,
    String(edge.requests),
    (edge.requests / Math.max(1, seconds)).toFixed(2),
    share(edge.errors),
    share(edge.denied),
    ...[edge.p50, edge.p95, edge.p99].map(ms),
  ];
}
