// Promises what lies in an archive store, and a log out of it as the directory that `audit verify` reads; both without control.
// Trusts nothing in the store: what comes is judged by `audit verify`. Specified in docs/archive.md and docs/cli/audit.md.
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal, type Terminal } from "../terminal.ts";

const examples = {
  archived: "\nExample:\n  sallyport audit archived --archive-store archive.yaml\n",
  fetch: `
What is fetched is judged by verify, with a key and checkpoints that were kept elsewhere than the store:
  sallyport audit fetch sallyport.local/main/production/gw-1/gateway/2026 --archive-store archive.yaml --out gw-1
  sallyport audit verify gw-1 --key gateway.vkey --older kept.checkpoints --live
`,
};

/** `sallyport audit archived|fetch`. */
export function auditArchiveCommands(group: Command): void {
  group
    .command("archived")
    .description("the logs an archive store holds, and how many leaves of each its checkpoint covers")
    .requiredOption("--archive-store <file>", "the file that names the store, as for serve")
    .addHelpText("after", examples.archived)
    .action(async (flags: { readonly archiveStore: string }, command: Command) => {
      const { withArchiveStore } = await import("../archive-store.ts");
      const { listArchivedTrees } = await import("@sallyport/kernel/archive/fetch-log.ts");
      const trees = await withArchiveStore(flags.archiveStore, listArchivedTrees);
      const terminal = terminalOf(command);
      const rows = trees.map(({ origin, size }) => ({ origin, leaves: size }));
      terminal.result(rows, () =>
        rows.length === 0
          ? ["the store holds no log yet"]
          : terminal.table([["ORIGIN", "LEAVES"], ...rows.map(({ origin, leaves }) => [origin, String(leaves)])]),
      );
    });
  group
    .command("fetch <origin>")
    .description("fetch a log out of an archive store, up to this year of it, as a directory for audit verify")
    .requiredOption("--archive-store <file>", "the file that names the store, as for serve")
    .requiredOption("--out <directory>", "where to; must be empty or not there")
    .addHelpText("after", examples.fetch)
    .action(fetchAction);
}

interface FetchFlags {
  readonly archiveStore: string;
  readonly out: string;
}

async function fetchAction(origin: string, { archiveStore, out }: FetchFlags, command: Command): Promise<void> {
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new CommandEnd(exitCode.badUse, `${out} is not empty`, "name a new directory: nothing is written over");
  const { withArchiveStore } = await import("../archive-store.ts");
  const { fetchLog } = await import("@sallyport/kernel/archive/fetch-log.ts");
  const { completeCopy } = await import("@sallyport/kernel/log/closed-copy.ts");
  const { realDisk } = await import("@sallyport/kernel/log/real-disk.ts");
  const disk = realDisk();
  mkdirSync(out, { recursive: true, mode: 0o700 });
  const fetched = await withArchiveStore(archiveStore, (store) => fetchLog({ store, disk }, origin, out));
  const wrong = faultOf(() => completeCopy(disk, out));
  const terminal = terminalOf(command);
  const trees = fetched.trees.map(({ origin: name, size, directory, segments }) => ({
    origin: name,
    leaves: size,
    directory,
    segments,
  }));
  terminal.result({ directory: out, verifierKey: fetched.verifierKey, trees, wrong }, () => [
    ...trees.map((tree) => `${tree.directory}: ${tree.leaves} leaves of ${tree.origin}`),
    `signer ${fetched.verifierKey}  (the key that lies in the store: it vouches for no more than the store)`,
  ]);
  if (wrong !== null)
    throw new CommandEnd(
      exitCode.no,
      `what was fetched is not whole: ${wrong}`,
      `sallyport audit verify ${out} names every place`,
    );
}

/** Tiles and indexes are made of what was fetched, where its roots hold. */
function faultOf(act: () => void): string | null {
  try {
    act();
    return null;
  } catch (error) {
    if (error instanceof Error && error.name === "LogFault") return error.message;
    throw error;
  }
}

function terminalOf(command: Command): Terminal {
  return createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
}
