// Promises to say, offline, everything that is wrong with an estate directory, at its file, line and column, with the fix.
// Trusts the loader that `serve` and `apply` use: what passes here is what is served. Specified in docs/configuration.md.
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";

/** `sallyport check <directory>`: exit 0 when there are no errors, 1 when there are, 2 when the directory cannot be read. */
export function checkCommand(program: Command): void {
  program
    .command("check <directory>")
    .description("find what is wrong with an estate, without running anything")
    .action(async (directory: string, _options: unknown, command: Command) => {
      const { loadEstate } = await import("@sallyport/control/registry/config/load.ts");
      const { formatFinding } = await import("@sallyport/control/registry/config/finding.ts");
      const { estate, findings } = loadDirectory(() => loadEstate(directory, { now: () => Date.now() }), directory);
      const errors = findings.filter((finding) => finding.severity === "error").length;
      const counts = estate.environments.map(
        ({ name, systems, integrations }) => `${name}: ${systems.length} systems, ${integrations.length} integrations`,
      );
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      terminal.result({ errors, findings }, () => [
        ...findings.map(formatFinding),
        ...counts,
        errors === 0
          ? "no errors"
          : `${errors} ${errors === 1 ? "error" : "errors"}: the objects named above are not served`,
      ]);
      if (errors > 0) throw new CommandEnd(exitCode.no, "");
    });
}

function loadDirectory<T>(load: () => T, directory: string): T {
  try {
    return load();
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) {
      throw new CommandEnd(
        exitCode.badUse,
        `${directory} is not a directory`,
        "name the directory that holds systems/ and integrations/",
      );
    }
    throw error;
  }
}
