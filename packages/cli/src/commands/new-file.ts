// Promises a new file that only its owner may read, and never an overwritten one. Trusts the file system.
import { openSync } from "node:fs";
import { CommandEnd, exitCode } from "../exit.ts";

/** A descriptor for writing; ends the command when the file is there or cannot be made. */
export function openNew(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch {
    throw new CommandEnd(
      exitCode.badUse,
      `${path} cannot be made`,
      "name a file that does not exist, in a folder you may write to",
    );
  }
}
