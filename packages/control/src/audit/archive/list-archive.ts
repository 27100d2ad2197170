// Promises what control holds of every log: its own and the archived ones, to the newest checkpoint. Trusts held-log.ts, which verifies those.
// Described in docs/cli/audit.md.
import { statSync } from "node:fs";
import { join } from "node:path";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { listSegments } from "@sallyport/kernel/log/segments.ts";
import { archivedLogs, archiveOf, ownLogOf } from "./archived-logs.ts";

export interface HeldLogReport {
  readonly origin: string;
  readonly node: string;
  readonly environment: string;
  readonly where: "own" | "archive";
  /** The log directory. */
  readonly directory: string;
  /** Leaves under the newest checkpoint, and when that was written (milliseconds since the epoch). */
  readonly leaves: number;
  readonly checkpointAt: number;
  readonly segments: number;
  readonly bytes: number;
}

export interface ArchiveReport {
  readonly logs: readonly HeldLogReport[];
  /** Logs that cannot be read, with the file. */
  readonly faults: readonly string[];
}

/** Control's own log first, then the archive by name. */
export async function listArchive(dataDirectory: string): Promise<ArchiveReport> {
  const faults: string[] = [];
  const logs: HeldLogReport[] = [];
  for (const directory of [ownLogOf(dataDirectory), ...archivedLogs(archiveOf(dataDirectory))]) {
    const held = openHeldLogs({ directories: () => [directory], fault: (fault) => faults.push(fault.message) });
    const where = directory === ownLogOf(dataDirectory) ? "own" : "archive";
    for (const origin of await held.origins()) logs.push(reportOf(origin, directory, where));
    await held.close();
  }
  return { logs, faults };
}

function reportOf(held: HeldOrigin, directory: string, where: HeldLogReport["where"]): HeldLogReport {
  const { origin, node, environment, year, size } = held;
  const folder = join(directory, String(year));
  // What lies before a restore is in folders below; it is listed with what its checkpoint says.
  const segments = listSegments(realDisk(), folder).map(({ path }) => statSync(path).size);
  const checkpointAt = statSync(join(folder, "checkpoint"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const bytes = segments.reduce((sum, length) => sum + length, 0);
  return {
    ...{ origin, node, environment, where, directory, leaves: size },
    ...{ checkpointAt: Math.round(checkpointAt), segments: segments.length, bytes },
  };
}
