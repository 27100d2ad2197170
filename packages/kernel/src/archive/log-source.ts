// Promises the trees of a log directory as far as they are signed: what there is to archive. Trusts the key beside the log to be its own.
// Folders: docs/formats/leaf.md "On disk".
import { join } from "node:path";
import { parseCheckpointBody, verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote, printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type Disk, readWhole } from "../log/disk.ts";
import { LogFault } from "../log/fault.ts";
import { loadLogKey, noteCrypto, sha256, verifierFor } from "../log/log-crypto.ts";
import { yearFolders } from "../log/origin.ts";
import { logFolders, readVerifierKey } from "../log/seam.ts";

/** One tree that can be archived up to its newest checkpoint. */
export interface LogSource {
  readonly origin: string;
  /** The folder of its year. */
  readonly directory: string;
  readonly verifierKey: string;
  /** Signed by that key. */
  readonly note: string;
  readonly size: number;
  /** Nothing is appended to it any more. */
  readonly isEnded: boolean;
}

export interface LogSources {
  readonly sources: readonly LogSource[];
  /** Trees that cannot be read; they hold up none of the others. */
  readonly faults: readonly Error[];
}

/** The trees of one log, its years and those before a restore. A tree without a checkpoint has nothing to archive yet. */
export function readLogSources(disk: Disk, directory: string): LogSources {
  const sources: LogSource[] = [];
  const faults: Error[] = [];
  for (const folder of logFolders(disk, directory)) {
    const years = yearFolders(disk.list(folder));
    for (const year of years) {
      try {
        const source = sourceOf(disk, folder, { year, isEnded: year !== years.at(-1) || folder !== directory });
        if (source !== null) sources.push(source);
      } catch (error) {
        faults.push(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }
  return { sources, faults };
}

function sourceOf(
  disk: Disk,
  folder: string,
  { year, isEnded }: { readonly year: number; readonly isEnded: boolean },
): LogSource | null {
  const directory = join(folder, String(year));
  const path = join(directory, "checkpoint");
  const note = readWhole(disk, path)?.toString("utf8");
  if (note === undefined) return null;
  const publicKey = readVerifierKey(disk, folder)?.publicKey ?? loadLogKey(disk, folder).publicKey;
  const origin = parseCheckpointBody(parseNote(note)?.text ?? "")?.origin ?? "";
  const keys = origin === "" ? [] : [verifierFor(origin, publicKey)];
  const verdict = verifyCheckpoint(noteCrypto, note, { origin, keys });
  if (verdict.kind === "refused")
    throw new LogFault("log-corrupt", `${path} is not a checkpoint that this log's key signed (${verdict.why})`);
  const { size } = verdict.checkpoint;
  return { origin, directory, verifierKey: printVerifierKey(sha256, origin, publicKey), note, size, isEnded };
}
