// Promises every log below control's data directory that can go into the archive store: its own, and what it holds of the nodes'.
// Trusts each log's own key. Folders: docs/formats/leaf.md "On disk", docs/audit.md.
import { join } from "node:path";
import { type LogSources, readLogSources } from "@sallyport/kernel/archive/log-source.ts";
import { type Disk, errorCode } from "@sallyport/kernel/log/disk.ts";

/** Reads the checkpoints of all of them anew. One that cannot be read holds up no other. */
export function sourcesBelow(disk: Disk, dataDirectory: string): LogSources {
  const archive = join(dataDirectory, "archive");
  const below = (folder: string) => foldersIn(disk, folder).map((name) => join(folder, name));
  // <archive>/<tenant>/<environment>/<node>
  const nodes = below(archive).flatMap((tenant) => below(tenant).flatMap(below));
  const read = [join(dataDirectory, "log"), ...nodes].map((folder) => readLogSources(disk, folder));
  return { sources: read.flatMap(({ sources }) => sources), faults: read.flatMap(({ faults }) => faults) };
}

/** Names in a folder; a file that lies where a folder is expected has none. */
function foldersIn(disk: Disk, folder: string): readonly string[] {
  try {
    return disk.list(folder);
  } catch (error) {
    if (errorCode(error) === "ENOTDIR") return [];
    throw error;
  }
}
