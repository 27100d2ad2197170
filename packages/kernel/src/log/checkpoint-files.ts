// Promises checkpoints in files: replaced only by whoever wrote the last one, published after that, copied outside the directory.
// Trusts the disk port and the log's own key. Specified in docs/formats/leaf.md "Checkpoints".
import { join } from "node:path";
import { type Checkpoint, splitCheckpoints, verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { type Disk, readWhole } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { noteCrypto, verifierFor } from "./log-crypto.ts";
import { originOfYear } from "./origin.ts";
import { type LogSteps, replaceSteps } from "./steps.ts";

export const checkpointCopiesMax = 1_024;
/** In a year's folder: cosigned checkpoints, notes one after the other, the oldest first. */
export const cosignedFile = "cosigned";

/** A checkpoint of ours that lies in a file. */
export interface KeptCheckpoint extends Checkpoint {
  readonly note: string;
  readonly path: string;
}

/** Reads a note this key must have signed for this origin. Throws LogFault naming the file otherwise. */
export function readOwnNote(
  note: string,
  path: string,
  own: { readonly origin: string; readonly publicKey: Uint8Array },
): KeptCheckpoint {
  const keys = [verifierFor(own.origin, own.publicKey)];
  const verdict = verifyCheckpoint(noteCrypto, note, { origin: own.origin, keys });
  if (verdict.kind === "ok") return { ...verdict.checkpoint, note, path };
  if (verdict.why === "unsigned" && parseNote(note) !== null) {
    throw new LogFault(
      "log-key",
      `${path} was signed by another key than this log's; restore the log.key that belongs to this directory, or start with an empty directory`,
    );
  }
  throw new LogFault(
    "log-corrupt",
    `${path} is not a checkpoint of ${own.origin} (${verdict.why}); restore it, or the directory, from the backup`,
  );
}

/** The checkpoint in a file, or null when there is no such file. */
export function readOwnCheckpoint(
  disk: Disk,
  path: string,
  own: { readonly origin: string; readonly publicKey: Uint8Array },
): KeptCheckpoint | null {
  const bytes = readWhole(disk, path);
  return bytes === null ? null : readOwnNote(bytes.toString("utf8"), path, own);
}

/** Replaces `path` with `next` only if it holds `expected` (null: is not there). Throws LogFault `log-rolled-back` when another hand was there. */
export function swapSteps(
  disk: Disk,
  path: string,
  change: { readonly expected: string | null; readonly next: string },
): LogSteps<void> {
  return replaceSteps(disk, path, Buffer.from(change.next), () => {
    const found = readWhole(disk, path)?.toString("utf8") ?? null;
    if (found === change.expected) return;
    throw new LogFault(
      "log-rolled-back",
      `${path} is not the checkpoint this process signed last: another process writes to this log, or a file was put back; stop the other one and start again`,
    );
  });
}

/** The notes in a copies file. */
export function readCopies(disk: Disk, path: string): string[] {
  const bytes = readWhole(disk, path);
  return bytes === null ? [] : splitCheckpoints(bytes.toString("utf8"));
}

/** The copies of one origin's checkpoints; none where no file is named. Throws as `readOwnNote` does. */
export function keptCopies(
  disk: Disk,
  path: string | undefined,
  own: { readonly origin: string; readonly publicKey: Uint8Array },
): KeptCheckpoint[] {
  if (path === undefined) return [];
  const notes = readCopies(disk, path).filter((note) => note.startsWith(`${own.origin}\n`));
  return notes.map((note) => readOwnNote(note, path, own));
}

/** A whole year's folder that was taken away shows only in the copies. Throws LogFault `log-rolled-back`. `origin` is that of any year. */
export function refuseMissingYears(
  disk: Disk,
  path: string | undefined,
  log: { readonly origin: string; readonly directory: string; readonly years: readonly number[] },
): void {
  if (path === undefined) return;
  for (const note of readCopies(disk, path)) {
    const origin = note.slice(0, note.indexOf("\n"));
    const year = Number(origin.slice(origin.lastIndexOf("/") + 1));
    if (origin !== originOfYear(log.origin, year) || log.years.includes(year)) continue;
    throw new LogFault(
      "log-rolled-back",
      `${path} holds a checkpoint of ${origin}, but ${join(log.directory, String(year))} is missing; restore it from the backup, or name another copies file for a new log`,
    );
  }
}

/**
 * Adds a note to the copies; beyond 1,024 every second one of the older half goes, so that old ones stay but fewer. Old or new content, never a torn one.
 * Throws LogFault `copy-failed`.
 */
export function* copySteps(disk: Disk, path: string, note: string): LogSteps<void> {
  try {
    const notes = readCopies(disk, path);
    if (notes.at(-1) === note) return;
    const older = notes.length >> 1;
    const kept = notes.length < checkpointCopiesMax ? notes : notes.filter((_, i) => i >= older || i % 2 === 0);
    yield* replaceSteps(disk, path, Buffer.from([...kept, note].map((text) => `${text}\n`).join("")));
  } catch (error) {
    const why = error instanceof Error ? error.message : "unknown";
    throw new LogFault(
      "copy-failed",
      `the checkpoint could not be copied to ${path} (${why}): its folder must exist and be writable`,
      error,
    );
  }
}
