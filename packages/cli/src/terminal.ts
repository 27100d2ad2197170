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
      if (!json) out(`${printable(text)}\n`);
    },
    result: (value, words) => {
      if (json) out(`${JSON.stringify(value, null, 2)}\n`);
      else for (const line of words()) out(`${printable(line)}\n`);
    },
    table: formatTable,
  };
}

/**
 * Text as it is safe on a terminal: what callers sent stands in reports (`why`), and an escape sequence in it must not move the
 * cursor, hide a line or reorder it. Line feeds stay: they are ours.
 */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Somebody else's text that is part of a line: a line feed in it must not begin a line that looks like ours. */
export function oneLine(text: string): string {
  return text.replaceAll("\n", "\\u000a");
}

/**
 * For commands that serve: when the reader of standard output goes away (`serve | head`, a log shipper that restarts) they go on without
 * printing, as a daemon would, and say so once on standard error. Ending there would cut off whoever is being served.
 */
export function outliveReader(): void {
  let isSaid = false;
  process.stdout.removeAllListeners("error");
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    if (!isSaid) process.stderr.write("note: nobody reads standard output any more; going on without\n");
    isSaid = true;
  });
  process.stderr.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
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
  // The result has said it already.
  if (end.message === "") return;
  if (json) {
    err(`${JSON.stringify({ error: end.message, fix: end.fix, exit: end.exit })}\n`);
    return;
  }
  const fix = end.fix === "" ? "" : `  fix: ${printable(end.fix)}\n`;
  err(`${end.exit === exitCode.no ? "" : "error: "}${printable(end.message)}\n${fix}`);
}
