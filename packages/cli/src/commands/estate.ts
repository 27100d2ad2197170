// Promises that what is applied is what was planned, that findings name file, line and fix, and that a second plan is empty.
// Trusts control's admin API. Specified in docs/configuration.md and docs/cli.md.
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

interface PlanReport extends ApplyReport {
  /** Absent: from a control of before. */
  readonly trust?: readonly {
    readonly environment: string;
    readonly about: string;
    readonly change: "added" | "removed" | "changed";
    readonly before: string | null;
    readonly after: string | null;
  }[];
  /** Absent: from a control of before. */
  readonly schemas?: readonly {
    readonly environment: string;
    readonly operation: string;
    readonly part: string;
    readonly says: readonly string[];
  }[];
}

/** `sallyport plan` and `sallyport apply`. */
export function estateCommands(program: Command, connect: Connect): void {
  program
    .command("plan <directory>")
    .description("what applying this directory would change; exit 1 when something would")
    .addHelpText(
      "after",
      `
Who would be believed, and who may exchange whose tokens, is said in sentences: + would be added, - removed, ~ changed.
Example:
  sallyport plan estate
`,
    )
    .action(async (directory: string, _options: unknown, command: Command) => {
      const files = await readEstateFiles(directory);
      const { client, terminal } = await connect(command);
      const report = await client.call<PlanReport>("POST", "/v1/estate/plan", { files });
      terminal.result(report, () => [...words(report, "would be"), ...trustLines(report), ...schemaLines(report)]);
      if (changes(report) > 0 || hasErrors(report)) throw new CommandEnd(exitCode.no, "");
    });
  program
    .command("apply <directory>")
    .description("make the estate what this directory says; touches only what this estate manages")
    .action(async (directory: string, _options: unknown, command: Command) => {
      const files = await readEstateFiles(directory);
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

/** The files the estate loads from, by path relative to the directory with forward slashes: links inside are followed, links out refused. */
export async function readEstateFiles(directory: string): Promise<Readonly<Record<string, string>>> {
  assertEstateDirectory(directory);
  const { readSentFiles, SentFilesFault } = await import("@sallyport/control/registry/config/sent-files.ts");
  try {
    return readSentFiles(directory, () => Date.now());
  } catch (error) {
    if (error instanceof SentFilesFault) throw new CommandEnd(exitCode.badUse, error.message, error.fix);
    throw error;
  }
}

function changes(report: ApplyReport): number {
  return report.created.length + report.changed.length + report.removed.length;
}

function hasErrors(report: ApplyReport): boolean {
  return report.findings.some((finding) => finding.severity === "error");
}

/** A change is its two sentences, one below the other. */
function trustLines({ trust = [] }: PlanReport): readonly string[] {
  const signs = { added: ["-", "+"], removed: ["-", "+"], changed: ["~ was", "~ now"] } as const;
  return trust.flatMap(({ environment, change, before, after }) => {
    const [old, now] = signs[change];
    return [
      ...(before === null ? [] : [`${old} ${environment}: ${before}`]),
      ...(after === null ? [] : [`${now} ${environment}: ${after}`]),
    ];
  });
}

function schemaLines({ schemas = [] }: PlanReport): readonly string[] {
  return schemas.flatMap(({ environment, operation, part, says }) =>
    says.map((one) => `~ ${environment}: ${operation}, ${part}: ${one}`),
  );
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
