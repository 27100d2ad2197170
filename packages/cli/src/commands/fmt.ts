// Promises that an estate's YAML gets the one layout, every value and comment kept, and that a file which cannot is left alone and named.
// Trusts format-yaml.ts to prove that nothing changed. Specified in docs/cli/fmt.md.
import { randomBytes } from "node:crypto";
import { chmodSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Finding } from "@sallyport/control/registry/config/finding.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";
import { assertEstateDirectory } from "./estate-directory.ts";

interface Layout {
  /** Files whose text would be another. */
  readonly changes: readonly { readonly file: string; readonly text: string }[];
  readonly files: number;
  readonly refused: readonly Finding[];
}

/** `sallyport fmt [directory]`: exit 0, 1 with --check when something would change, 2 when a file cannot be laid out. */
export function fmtCommand(program: Command): void {
  program
    .command("fmt")
    .argument("[directory]", "the estate", ".")
    .description("give the YAML of an estate its one layout; values and comments stay")
    .option("--check", "write nothing; exit 1 with the list when a file would change")
    .addHelpText("after", "\nExamples:\n  sallyport fmt estate\n  sallyport fmt estate --check     in CI\n")
    .action(async (directory: string, options: { check?: boolean }, command: Command) => {
      const { formatFinding } = await import("@sallyport/control/registry/config/finding.ts");
      assertEstateDirectory(directory);
      const { changes, files, refused } = await layOutDirectory(directory);
      const isCheck = options.check === true;
      if (!isCheck) for (const { file, text } of changes) replaceFile(join(directory, file), text);
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      const changed = changes.map(({ file }) => file);
      terminal.result({ files, changed, written: !isCheck, findings: refused }, () => [
        ...refused.map(formatFinding),
        ...changed.map((file) => `${file}: ${isCheck ? "not in the layout" : "laid out"}`),
        `${files} files, ${changed.length} ${isCheck ? "to lay out" : "laid out"}`,
      ]);
      if (refused.length > 0) throw new CommandEnd(exitCode.badUse, "");
      if (isCheck && changed.length > 0) throw new CommandEnd(exitCode.no, "");
    });
}

async function layOutDirectory(directory: string): Promise<Layout> {
  const { diskEstateIo } = await import("@sallyport/control/registry/config/estate-io.ts");
  const { estateFiles } = await import("@sallyport/control/registry/format/estate-files.ts");
  const { formatFile } = await import("@sallyport/control/registry/format/format-yaml.ts");
  const io = diskEstateIo(directory, () => Date.now());
  const files = estateFiles(io);
  const changes: { file: string; text: string }[] = [];
  const refused: Finding[] = [];
  for (const one of files) {
    const formatted = formatFile(io, one);
    if ("findings" in formatted) refused.push(...formatted.findings);
    else if (formatted.changed) changes.push({ file: one.file, text: formatted.text });
  }
  return { changes, files: files.length, refused };
}

/** Beside it, then in its place: whoever reads meanwhile sees the old file or the new one. A link keeps pointing at what it did. */
function replaceFile(path: string, text: string): void {
  const real = realpathSync(path);
  const beside = `${real}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const { mode } = statSync(real);
    writeFileSync(beside, text, { flag: "wx", mode });
    chmodSync(beside, mode & 0o7777);
    renameSync(beside, real);
  } catch (error) {
    rmSync(beside, { force: true });
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw new CommandEnd(exitCode.badUse, `${path} cannot be written${code}`, "make it and its folder writable");
  }
}
