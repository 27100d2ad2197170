// Promises the commands about logs in one group, what a log says of one crossing, and the checkpoints that control keeps.
// Trusts each command for its own promise. Specified in docs/audit.md and docs/formats/leaf.md.
import type { Command } from "commander";
import type { Connect } from "../admin-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { auditArchiveCommands } from "./audit-archive.ts";
import { edgesCommand } from "./audit-edges.ts";
import { terminalOf, writeNew } from "./audit-files.ts";
import { archiveCommands } from "./audit-held.ts";
import { auditHoldCommands } from "./audit-hold.ts";
import { originsOf } from "./audit-logs.ts";
import { auditPayloadCommands } from "./audit-payload.ts";
import { receiptCommands } from "./audit-receipts.ts";
import { searchCommands } from "./audit-search.ts";
import { tailCommand } from "./audit-tail.ts";
import { verifyCommand } from "./audit-verify.ts";
import { witnessCommands } from "./audit-witnesses.ts";

/** `sallyport audit …`; all but what asks control works without it. */
export function auditCommands(program: Command, connect: Connect): void {
  const group = program
    .command("audit")
    .description(
      "verify a log, show what it says, make and check receipts, offline over files; find records over all nodes",
    );
  verifyCommand(group);
  showCommand(group);
  receiptCommands(group);
  checkpointsCommand(group, connect);
  searchCommands(group, connect);
  tailCommand(group, connect);
  edgesCommand(group, connect);
  auditArchiveCommands(group);
  auditHoldCommands(group, connect);
  auditPayloadCommands(group, connect);
  archiveCommands(group, connect);
  witnessCommands(group, connect);
}

function checkpointsCommand(group: Command, connect: Connect): void {
  group
    .command("checkpoints")
    .description("write the checkpoints that control keeps of every gateway to a file for audit verify --older")
    .requiredOption("--out <file>", "where to write them; never overwritten")
    .action(async (flags: { readonly out: string }, command: Command) => {
      const { client, terminal } = await connect(command);
      const kept = await client.call<readonly { readonly origin: string; readonly note: string }[]>(
        "GET",
        "/v1/checkpoints",
      );
      writeNew(flags.out, kept.map(({ note }) => `${note}\n`).join(""));
      const origins = kept.map(({ origin }) => origin);
      terminal.result({ file: flags.out, origins }, () => [`${flags.out}: ${origins.length} checkpoints`, ...origins]);
    });
}

function showCommand(group: Command): void {
  group
    .command("show <id>")
    .description("the leaves a log holds of one crossing or event; exit 1 when there are none")
    .requiredOption("--log <directory>", "log directory, for example .sallyport/gateway/log")
    .addHelpText("after", "\nThe full reason of a denial is sealed to control: sallyport why <id>\n")
    .action(async (id: string, flags: { readonly log: string }, command: Command) => {
      const found = await leavesOf(flags.log, id);
      terminalOf(command).result(
        found.map(({ origin, index, leaf }) => ({ origin, index, leaf: JSON.parse(leaf) })),
        () => found.map(({ origin, index, leaf }) => `${origin} leaf ${index}\n  ${leaf}`),
      );
      if (found.length === 0)
        throw new CommandEnd(
          exitCode.no,
          `${flags.log} holds no leaf of ${id}`,
          "ask the node named in the id, or control, which has the archive: sallyport why <id>",
        );
    });
}

interface FoundLeaf {
  readonly origin: string;
  readonly index: number;
  readonly leaf: string;
}

async function leavesOf(directory: string, id: string): Promise<readonly FoundLeaf[]> {
  const { findInSegments } = await import("@sallyport/kernel/log/segment-lookup.ts");
  const { realDisk } = await import("@sallyport/kernel/log/real-disk.ts");
  const disk = realDisk();
  return (await originsOf(directory)).flatMap(({ origin, folder }) =>
    findInSegments({ disk, directory: folder, origin }, id).map(({ index, leaf }) => ({
      origin,
      index,
      leaf: Buffer.from(leaf).toString("latin1"),
    })),
  );
}
