// Promises one way to print: words for people, one JSON value per command with --json, problems always on standard error.
// Trusts nothing. Specified in docs/cli.md.
import { type CommandEnd, exitCode } from "./exit.ts";

export interface Terminal {
  readonly json: boolean;
  /** One line for people; silent with --json. */
  line(text: string): void;
  /** The command's result; printed as one JSON value with --json, else by `words`. */
  result(value: unknown, words: () => readonly string[]): void;
  table(rows: readonly (readonly string[])[]): readonly string[];
}

export function createTerminal(
  json: boolean,
  out: (text: string) => void = (text) => process.stdout.write(text),
): Terminal {
  return {
    json,
    line: (text) => {
      if (!json) out(`${text}\n`);
    },
    result: (value, words) => {
      out(
        json
          ? `${JSON.stringify(value, null, 2)}\n`
          : words()
              .map((line) => `${line}\n`)
              .join(""),
      );
    },
    table: formatTable,
  };
}

/** Left-aligned columns, two spaces apart; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** Words on standard error, the fix on a line of its own; with --json one JSON object there. */
export function printEnd(
  end: CommandEnd,
  json: boolean,
  err: (text: string) => void = (text) => process.stderr.write(text),
): void {
  if (json) err(`${JSON.stringify({ error: end.message, fix: end.fix, exit: end.exit })}\n`);
  else if (end.message !== "")
    err(`${end.exit === exitCode.no ? "" : "error: "}${end.message}\n${end.fix === "" ? "" : `  fix: ${end.fix}\n`}`);
}
