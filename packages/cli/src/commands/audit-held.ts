// Promises what control holds of every log, and where a node's archived log lies. Trusts control's admin API, and for files the data directory.
// Specified in docs/audit.md "The archive" and docs/cli/audit.md.
import { basename } from "node:path";
import type { ArchiveReport } from "@sallyport/control/audit/archive/list-archive.ts";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { formatTable } from "../terminal.ts";

/** `sallyport audit archive list`: exit 1 when a log that control holds cannot be read. */
export function archiveCommands(group: Command, connect: Connect): void {
  group
    .command("archive")
    .description("what control holds of every log")
    .command("list")
    .description("every log that control holds, its own and the archived ones, as far as they are signed")
    .addHelpText("after", "\nExample:\n  sallyport audit archive list --json | jq '.logs[] | {node, leaves}'\n")
    .action(async (_flags: object, command: Command) => {
      const { client, terminal } = await connect(command);
      const report = await client.call<ArchiveReport>("GET", "/v1/archive");
      terminal.result(report, () => archiveLines(report));
      if (report.faults.length > 0) throw new CommandEnd(exitCode.no, "");
    });
}

function archiveLines({ logs, faults }: ArchiveReport): readonly string[] {
  const rows = logs.map(({ origin, where, leaves, segments, bytes, checkpointAt }) => [
    origin,
    where,
    String(leaves),
    new Date(checkpointAt).toISOString(),
    String(segments),
    String(bytes),
  ]);
  const table = formatTable([["ORIGIN", "HELD AS", "LEAVES", "CHECKPOINT", "SEGMENTS", "BYTES"], ...rows]);
  return [...table, ...faults.map((fault) => `fault: ${fault}`)];
}

/** The archived log of a node in control's data directory. Throws CommandEnd when there is none, or more than one. */
export async function archivedLogOf(dataDirectory: string, node: string): Promise<string> {
  const { archivedLogs, archiveOf } = await import("@sallyport/control/audit/archive/archived-logs.ts");
  const all = archivedLogs(archiveOf(dataDirectory));
  const [found, second] = all.filter((directory) => basename(directory) === node);
  if (found !== undefined && second === undefined) return found;
  const held = all.map((directory) => basename(directory)).join(", ");
  throw new CommandEnd(
    exitCode.badUse,
    found === undefined
      ? `${archiveOf(dataDirectory)} holds no log of ${node}`
      : `${archiveOf(dataDirectory)} holds ${node} twice: name the log directory itself, without --archive`,
    `the directory is control's (--data; with role all <data>/control); archived here: ${held === "" ? "nothing" : held}`,
  );
}
