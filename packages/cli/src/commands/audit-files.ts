// Promises the files that the audit commands read and write, each fault with its path and what to do. Trusts nothing that is in them.
import { readFileSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal, type Terminal } from "../terminal.ts";

/** A verifier key is public, so it may stand on the command line; a file of it is easier to keep. */
export function readKey(given: string): string {
  return given.includes("+") ? given : readFile(given).toString("utf8").trim();
}

export function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    throw new CommandEnd(exitCode.badUse, `${path} cannot be read`, "check the path and its permissions");
  }
}

export function writeNew(path: string, content: string | Uint8Array): void {
  try {
    writeFileSync(path, content, { flag: "wx" });
  } catch {
    throw new CommandEnd(
      exitCode.badUse,
      `${path} cannot be written`,
      "name a file that does not exist, in a folder that does",
    );
  }
}

export function terminalOf(command: Command): Terminal {
  return createTerminal(command.optsWithGlobals<{ json?: boolean }>().json === true);
}
