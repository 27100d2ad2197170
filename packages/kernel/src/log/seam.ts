// Promises that a log which goes on after a restore names the end of the one it goes on from, and that both are found from the newer one.
// Trusts the disk port; whether the older log is whole, verification says. Specified in docs/formats/leaf.md "Origins".
import { createHash } from "node:crypto";
import { join } from "node:path";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { type NoteVerifier, parseNote, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type Disk, readWhole } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { sha256 } from "./log-crypto.ts";
import { originOfYear, yearFolders } from "./origin.ts";
import type { FoundRecord } from "./port.ts";
import { findInSegments } from "./segment-lookup.ts";
import { parseState } from "./state-file.ts";

/** Folder of the log that ended before this one began. */
export const beforeFolder = "before";
/** In a log that has ended: its public key, in place of the private one. */
export const verifierKeyFile = "log.vkey";
/** Logs behind one another: one per restore. */
export const beforeDepthMax = 64;

/** The end of the log before, as the first leaf of the next one names it. */
export interface Seam {
  readonly origin: string;
  readonly size: number;
  /** SHA-256 of the checkpoint's body. */
  readonly previous: Uint8Array;
  /** Intents that had no outcome at that end. */
  readonly open: readonly string[];
}

/** Null when no log came before. Throws LogFault `log-corrupt` when one did and its end cannot be read. */
export function readSeam(disk: Disk, directory: string): Seam | null {
  const before = join(directory, beforeFolder);
  const year = yearFolders(disk.list(before)).at(-1);
  if (year === undefined) return null;
  const path = join(before, String(year), "checkpoint");
  const body = parseNote(readWhole(disk, path)?.toString("utf8") ?? "")?.text ?? "";
  const checkpoint = parseCheckpointBody(body);
  if (checkpoint === null)
    throw new LogFault(
      "log-corrupt",
      `${path} is not a checkpoint: the log before this one has no end; restore it from the backup`,
    );
  const state = parseState(readWhole(disk, join(before, String(year), "state"))?.toString("utf8") ?? "");
  const { origin, size } = checkpoint;
  return { origin, size, previous: createHash("sha256").update(body).digest(), open: state?.open ?? [] };
}

/** The public key of a log that has ended, or null where there is none. Throws LogFault `log-key` for a file that is none. */
export function readVerifierKey(disk: Disk, directory: string): NoteVerifier | null {
  const path = join(directory, verifierKeyFile);
  const text = readWhole(disk, path)?.toString("utf8").trim();
  if (text === undefined) return null;
  const key = parseVerifierKey(sha256, text);
  if (key === null) throw new LogFault("log-key", `${path} is not a verifier key; restore it from the backup`);
  return key;
}

/** The folders of a log and of those before it, the newest first. */
export function logFolders(disk: Disk, directory: string): readonly string[] {
  const folders: string[] = [];
  let folder = directory;
  while (folders.length < beforeDepthMax && yearFolders(disk.list(folder)).length > 0) {
    folders.push(folder);
    folder = join(folder, beforeFolder);
  }
  return folders;
}

/** Records with this event id in the logs that ended before this one began, oldest first. */
export function findBefore(disk: Disk, directory: string, id: string): FoundRecord[] {
  const [, ...folders] = logFolders(disk, directory);
  return folders.reverse().flatMap((folder) => {
    const name = readVerifierKey(disk, folder)?.name ?? "";
    return yearFolders(disk.list(folder)).flatMap((year) =>
      findInSegments({ disk, directory: join(folder, String(year)), origin: originOfYear(name, year) }, id),
    );
  });
}
