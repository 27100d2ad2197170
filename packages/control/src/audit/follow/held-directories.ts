// Promises the log directories whose records control may read: its own. Trusts the data directory. Layout: docs/formats/leaf.md "On disk".
import { join } from "node:path";

/** Log directories below control's data directory; one that is not there yet is among them. */
export function heldDirectories(dataDirectory: string): readonly string[] {
  return [join(dataDirectory, "log")];
}
