// Promises modes and owners of everything in a data directory, bounded. Reads them, judges nothing.
// Trusts lstat. Specified in docs/cli/doctor.md "Checks".
import { constants, copyFileSync, lstatSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { FileFacts } from "./decide-files.ts";

const entriesMax = 5_000;
/** Snapshots and segments lie deep and are many; what holds keys does not. */
const depthMax = 4;

export function gatherFiles(directory: string): readonly FileFacts[] {
  const found: FileFacts[] = [];
  const look = (path: string, depth: number): void => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined || found.length >= entriesMax) return;
    const kind = stat.isDirectory() ? "directory" : stat.isFile() ? "file" : "other";
    found.push({ path: relative(directory, path) || ".", kind, mode: stat.mode & 0o7777, owner: stat.uid });
    if (kind !== "directory" || depth === depthMax) return;
    try {
      for (const name of readdirSync(path).sort()) look(join(path, name), depth + 1);
    } catch {
      // A directory of somebody else: its mode and owner are the finding.
    }
  };
  look(directory, 0);
  return found;
}

/** Can the file system copy without copying (reflink)? */
export function canReflink(directory: string): boolean {
  const [from, to] = [join(directory, `.reflink-${process.pid}`), join(directory, `.reflink-${process.pid}-copy`)];
  try {
    writeFileSync(from, "x", { mode: 0o600, flag: "wx" });
    copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    return false;
  } finally {
    for (const path of [from, to]) rmSync(path, { force: true });
  }
}
