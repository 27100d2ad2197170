// Promises what is wrong with this machine, this directory and what it must reach, each with what was measured and the fix.
// Trusts the checks. Specified in docs/cli/doctor.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";

interface RawOptions {
  readonly data: string;
  readonly config?: string;
  readonly store?: string;
  readonly fleet: boolean;
}

const examples = `
Examples:
  sallyport doctor
  sallyport doctor --data /var/lib/sallyport --config /etc/sallyport/estate
  sallyport doctor --fleet
`;

/** `sallyport doctor`: exit 0 when nothing failed (warnings are no failure), 1 when something did. */
export function doctorCommand(program: Command, connect: Connect): void {
  program
    .command("doctor")
    .description("measure this machine, its data directory and what it must reach; every finding with its fix")
    .option("--data <directory>", "data directory of the installation", ".sallyport")
    .option("--config <directory>", "estate whose providers are tried; default: what the running process serves")
    .option("--store <variable>", "environment variable that holds the PostgreSQL URL of the control store")
    .option("--fleet", "what nodes share and where they differ, as control sees it", false)
    .addHelpText("after", examples)
    .action(async (raw: RawOptions, command: Command) => {
      const { resultLines } = await import("../doctor/check-result.ts");
      if (raw.fleet) {
        const { client, terminal } = await connect(command);
        const { decideFleet, fleetParts } = await import("../doctor/decide-fleet.ts");
        const results = decideFleet(await client.call("GET", "/v1/status"));
        terminal.result({ ok: isWell(results), results, shared: fleetParts }, () => [
          ...resultLines(results),
          "",
          ...terminal.table([
            ["WHAT", "SHARED BY", "BECAUSE"],
            ...fleetParts.map(({ what, sharedBy, because }) => [what, sharedBy, because]),
          ]),
        ]);
        endWith(results);
        return;
      }
      const { examine } = await import("../doctor/examine.ts");
      const results = await examine({
        dataDirectory: raw.data,
        configDirectory: raw.config ?? null,
        storeVariable: raw.store ?? null,
      });
      const terminal = createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
      const failed = results.filter(({ verdict }) => verdict === "fail").length;
      const warned = results.filter(({ verdict }) => verdict === "warn").length;
      terminal.result({ ok: isWell(results), results }, () => [
        ...resultLines(results),
        `${results.length} checks: ${failed} failed, ${warned} to look at`,
      ]);
      endWith(results);
    });
}

type Results = readonly { readonly verdict: string }[];

function isWell(results: Results): boolean {
  return results.every(({ verdict }) => verdict !== "fail");
}

function endWith(results: Results): void {
  if (!isWell(results)) throw new CommandEnd(exitCode.no, "");
}
