// Promises the log directories whose records control may read: its own, and the archived ones. Trusts the data directory.
// Layout: docs/formats/leaf.md "On disk", docs/audit.md "The archive".
import { archivedLogs, archiveOf, ownLogOf } from "../archive/archived-logs.ts";

/** Log directories of control's data directory, as they are now; one that is not there yet is among them. */
export function heldDirectories(dataDirectory: string): readonly string[] {
  return [ownLogOf(dataDirectory), ...archivedLogs(archiveOf(dataDirectory))];
}
