// Promises that what is applied is what was planned, that findings name file, line and fix, and that a second plan is empty.
// Trusts control's admin API. Specified in docs/configuration.md and docs/cli.md.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { assertEstateDirectory } from "./estate-directory.ts";

interface ApplyReport {
  readonly created: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  readonly findings: readonly {
    readonly severity: string;
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly message: string;
    readonly fix: string;
  }[];
}

const filesMax = 5_000;
const configFile = /\.(ya?ml|json|cedar|pem)$/;

/** `sallyport plan` and `sallyport apply`. */
export function estateCommands(program: Command, connect: Connect): void {
  program
    .command("plan <directory>")
    .description("what applying this directory would change; exit 1 when something would")
    .action(async (directory: string, _options: unknown, command: Command) => {
      const files = readEstateFiles(directory);
      const { client, terminal } = await connect(command);
      const report = await client.call<ApplyReport>("POST", "/v1/estate/plan", { files });
      terminal.result(report, () => words(report, "would be"));
      if (changes(report) > 0 || hasErrors(report)) throw new CommandEnd(exitCode.no, "");
    });
  program
    .command("apply <directory>")
    .description("make the estate what this directory says; touches only what this estate manages")
    .action(async (directory: string, _options: unknown, command: Command) => {
      const files = readEstateFiles(directory);
      const { client, terminal } = await connect(command);
      const report = await client.call<ApplyReport>("POST", "/v1/estate/apply", { files });
      terminal.result(report, () => words(report, "was"));
      if (hasErrors(report))
        throw new CommandEnd(
          exitCode.no,
          "some objects are not served",
          "each line above names the file, the line and the fix",
        );
    });
}

/** The configuration files below a directory, by path relative to it with forward slashes. Links are not followed. */
export function readEstateFiles(directory: string): Readonly<Record<string, string>> {
  const files: Record<string, string> = Object.create(null);
  assertEstateDirectory(directory);
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isFile() || !configFile.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    files[relative(directory, path).split(sep).join("/")] = readFileSync(path, "utf8");
    if (Object.keys(files).length > filesMax)
      throw new CommandEnd(exitCode.badUse, `${directory} holds more than ${filesMax} configuration files`);
  }
  return files;
}

function changes(report: ApplyReport): number {
  return report.created.length + report.changed.length + report.removed.length;
}

function hasErrors(report: ApplyReport): boolean {
  return report.findings.some((finding) => finding.severity === "error");
}

function words(report: ApplyReport, verb: string): readonly string[] {
  const lines = report.findings.map(
    ({ severity, file, line, column, message, fix }) =>
      `${file}:${line}:${column}: ${severity}: ${message}${fix === "" ? "" : `\n    fix: ${fix}`}`,
  );
  for (const kind of ["created", "changed", "removed"] as const) {
    for (const object of report[kind]) lines.push(`${object} ${verb} ${kind}`);
  }
  return changes(report) === 0 ? [...lines, "no changes"] : lines;
}
