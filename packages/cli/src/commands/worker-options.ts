// Promises how many worker threads a gateway has, and a refused start for what does not go with several of them: nothing is accepted and left out.
// Trusts nothing. Specified in docs/workers.md.
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";

/** More than any machine this was tried on has processors. */
export const workersMax = 64;

export interface RawWorkerOptions {
  readonly role: string;
  readonly workers: string;
}

export function addWorkerOption(serve: Command): Command {
  return serve.addOption(
    new Option(
      "--workers <count>",
      "threads of one gateway that share its address, its limits and its log, or `auto`: as many as there are processors (docs/workers.md)",
    ).default("1"),
  );
}

/** Throws CommandEnd (bad use). `processors`, `platform`: of this machine. */
export function readWorkers(
  raw: RawWorkerOptions,
  processors = availableParallelism(),
  platform: string = process.platform,
): number {
  const count = raw.workers === "auto" ? Math.min(processors, workersMax) : Number(raw.workers);
  if (raw.workers !== "auto" && !(/^\d{1,3}$/.test(raw.workers) && count >= 1 && count <= workersMax))
    throw new CommandEnd(
      exitCode.badUse,
      `--workers ${raw.workers} is no number of threads`,
      `give 1 to ${workersMax}, or auto`,
    );
  if (count === 1) return count;
  const refused = refusalOf(raw, platform);
  if (refused !== null) throw new CommandEnd(exitCode.badUse, refused.what, refused.fix);
  return count;
}

function refusalOf(raw: RawWorkerOptions, platform: string): { readonly what: string; readonly fix: string } | null {
  if (raw.role === "control")
    return { what: "--workers is for gateways", fix: "give it to the gateways, or use --role all" };
  if (platform !== "linux")
    return {
      what: `--workers needs a kernel that spreads connections over listeners of one port, and ${platform} is not known to`,
      fix: "leave it out, or run on Linux",
    };
  return null;
}
