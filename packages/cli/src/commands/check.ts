// Promises to say, offline, everything that is wrong with an estate directory, at its file, line and column, with the fix.
// Trusts the loader and the policy compiler that `serve` and `apply` use: what passes here is what is served. Specified in docs/configuration.md.
import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";
import { assertEstateDirectory } from "./estate-directory.ts";

/** `sallyport check <directory>`: exit 0 when there are no errors, 1 when there are, 2 when the directory is no estate. */
export function checkCommand(program: Command): void {
  program
    .command("check <directory>")
    .description("find what is wrong with an estate and its policies, without running anything")
    .addHelpText(
      "after",
      "\nWarnings are printed and do not change the exit code.\nExample:\n  sallyport check estate\n",
    )
    .action(async (directory: string, _options: unknown, command: Command) => {
      const { formatFinding, sortFindings } = await import("@sallyport/control/registry/config/finding.ts");
      const { checkPolicies } = await import("@sallyport/control/snapshot/compile-policies.ts");
      const { createSliceCompiler } = await import("@sallyport/kernel/policy/compile-slice.ts");
      const { estate, findings: declared } = await loadDirectory(directory);
      const findings = sortFindings([...declared, ...checkPolicies(estate, createSliceCompiler())]);
      const errors = findings.filter(({ severity }) => severity === "error").length;
      const counts = estate.environments.map(
        ({ name, systems, integrations }) => `${name}: ${systems.length} systems, ${integrations.length} integrations`,
      );
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      terminal.result({ errors, warnings: findings.length - errors, findings }, () => [
        ...findings.map(formatFinding),
        ...counts,
        summary(errors, findings.length - errors),
      ]);
      if (errors > 0) throw new CommandEnd(exitCode.no, "");
    });
}

function summary(errors: number, warnings: number): string {
  const warned = warnings === 0 ? "" : `, ${warnings} ${warnings === 1 ? "warning" : "warnings"}`;
  if (errors === 0) return `no errors${warned}`;
  return `${errors} ${errors === 1 ? "error" : "errors"}${warned}: the objects named above are not served`;
}

/** The estate in a directory, as `serve` and `apply` see it. Throws CommandEnd (bad use) when the directory is none. */
export async function loadDirectory(directory: string): Promise<LoadedEstate> {
  const { loadEstate } = await import("@sallyport/control/registry/config/load.ts");
  assertEstateDirectory(directory);
  return loadEstate(directory, { now: () => Date.now() });
}
