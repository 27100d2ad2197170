// Promises where control's own log and the archived log of every node lie. Trusts the data directory. All of them are read through one port:
// follow/held-directories.ts and packages/kernel/src/log/held-records.ts; described in docs/audit.md "What follows the log".
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { errorCode } from "@sallyport/kernel/log/disk.ts";

/** Where control keeps its own log and the archive. */
export const ownLogOf = (dataDirectory: string): string => join(dataDirectory, "log");
export const archiveOf = (dataDirectory: string): string => join(dataDirectory, "archive");

/** The log directories of an archive: `<archive>/<tenant>/<environment>/<node>`, by name. */
export function archivedLogs(archive: string): string[] {
  const folders = (path: string) => listed(path).map((name) => join(path, name));
  return folders(archive).flatMap(folders).flatMap(folders);
}

function listed(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}
