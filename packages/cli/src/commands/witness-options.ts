// Promises the options of `serve` about witnesses: who cosigns the logs of this process, and where it cosigns those of others.
// Trusts the operator who names them. Specified in docs/witnesses.md.
import type { OutsideWitness } from "@sallyport/kernel/witness/http-witness.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";

export interface RawWitnessOptions {
  readonly role: "all" | "control" | "gateway";
  readonly witness?: readonly string[];
  readonly witnessKey?: readonly string[];
  readonly witnessListen?: string;
}

/** Throws CommandEnd (bad use). */
export async function readWitnesses({
  witness = [],
  witnessKey = [],
}: RawWitnessOptions): Promise<readonly OutsideWitness[]> {
  const { parseWitnesses } = await import("../roles/outside-witnesses.ts");
  return parseWitnesses(witness, witnessKey);
}

export function addWitnessOptions(serve: Command): Command {
  return serve
    .option(
      "--witness <url...>",
      "witnesses outside that cosign the log's checkpoints (C2SP tlog-witness: submission prefix); default: control and gateways each other's",
    )
    .option("--witness-key <vkey...>", "their verifier keys, in the same order")
    .option(
      "--witness-listen <host:port>",
      "where logs of others that the estate names are cosigned, over http (roles all and control); default: nowhere",
    );
}

/** As it was given; null: nowhere. Throws CommandEnd (bad use) where there is no control. */
export function witnessListenOf({ role, witnessListen }: RawWitnessOptions): string | null {
  if (witnessListen !== undefined && role === "gateway")
    throw new CommandEnd(
      exitCode.badUse,
      "--witness-listen is for control, whose witness it opens",
      "give it to control, or use --role all",
    );
  return witnessListen ?? null;
}
