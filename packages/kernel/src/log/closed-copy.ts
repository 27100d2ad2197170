// Promises a copy of a log that ends exactly at a checkpoint its key signed, taken while it is being written, and the same log whole again from that copy.
// Trusts the order of acts of origin-log.ts: what a checkpoint covers is durable in the segments. Specified in docs/formats/backup.md "Logs".
import { join } from "node:path";
import { parseCheckpointBody, verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote, parseVerifierKey, printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type Disk, makeDirectoriesDurably, readWhole, replaceDurably } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { loadLogKey, noteCrypto, sha256, verifierFor } from "./log-crypto.ts";
import { OpenIntents } from "./open-intents.ts";
import { yearFolders } from "./origin.ts";
import { OriginLog } from "./origin-log.ts";
import { beforeFolder, readVerifierKey, verifierKeyFile } from "./seam.ts";
import { readFrame, segmentHeaderBytes } from "./segment.ts";
import { listSegments, type SegmentFile } from "./segments.ts";
import { isRemoved } from "./verify-removed.ts";

/** Only what is written last is looked at again. */
const segmentBytesMax = 67_108_864;

/** Where one origin of the copy ends. */
export interface ClosedOrigin {
  readonly year: number;
  /** Path of the year's folder below the log directory, for example `2026` or `before/2026`. */
  readonly folder: string;
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
  /** The signed note. */
  readonly note: string;
}

export interface ClosedLog {
  /** Verifier key of the newest origin. */
  readonly verifierKey: string;
  readonly origins: readonly ClosedOrigin[];
  /** Files by path below the log directory; the bytes are read when asked for, one segment (64 MiB) at a time. */
  files(): Generator<{ readonly path: string; readonly bytes: Uint8Array }, void, void>;
}

/** Leaves that whole frames of the newest origin hold now; 0 when there is no log. */
export function durableLeaves(disk: Disk, directory: string): number {
  const year = yearFolders(disk.list(directory)).at(-1);
  const segment = year === undefined ? undefined : listSegments(disk, join(directory, String(year))).at(-1);
  return segment === undefined ? 0 : framesOf(disk, segment, Number.POSITIVE_INFINITY).next;
}

/** Size of the newest published checkpoint; 0 when there is none yet. Not verified. */
export function publishedLeaves(disk: Disk, directory: string): number {
  const year = yearFolders(disk.list(directory)).at(-1);
  const note = year === undefined ? null : readWhole(disk, join(directory, String(year), "checkpoint"));
  return parseCheckpointBody(parseNote(note?.toString("utf8") ?? "")?.text ?? "")?.size ?? 0;
}

/** The log of a directory as its published checkpoints have it, with the logs before it. Throws LogFault `not-found`, `log-key`, `log-corrupt`. */
export function closedCopy(disk: Disk, directory: string, below = ""): ClosedLog {
  const here = join(directory, below);
  const years = yearFolders(disk.list(here));
  if (years.length === 0) throw new LogFault("not-found", `${here} holds no log: no folder is named by a year`);
  const publicKey = readVerifierKey(disk, here)?.publicKey ?? loadLogKey(disk, here).publicKey;
  const own = years.map((year) => closedOrigin(disk, here, { year, below, publicKey }));
  const hasBefore = yearFolders(disk.list(join(here, beforeFolder))).length > 0;
  const before = hasBefore ? closedCopy(disk, directory, `${below}${beforeFolder}/`) : null;
  const newest = own.at(-1)?.origin ?? "";
  const verifierKey = printVerifierKey(sha256, newest, publicKey);
  return {
    verifierKey,
    origins: [...(before?.origins ?? []), ...own],
    *files() {
      if (before !== null) yield* before.files();
      yield { path: `${below}${verifierKeyFile}`, bytes: Buffer.from(`${verifierKey}\n`) };
      for (const origin of own) {
        yield { path: `${origin.folder}/checkpoint`, bytes: Buffer.from(origin.note) };
        yield* segmentsOf(disk, directory, origin);
      }
    },
  };
}

function closedOrigin(
  disk: Disk,
  here: string,
  { year, below, publicKey }: { readonly year: number; readonly below: string; readonly publicKey: Uint8Array },
): ClosedOrigin {
  const path = join(here, String(year), "checkpoint");
  const note = readWhole(disk, path)?.toString("utf8") ?? "";
  const origin = parseCheckpointBody(parseNote(note)?.text ?? "")?.origin ?? "";
  const verdict = verifyCheckpoint(noteCrypto, note, {
    origin,
    keys: origin === "" ? [] : [verifierFor(origin, publicKey)],
  });
  if (verdict.kind === "refused")
    throw new LogFault(
      "log-corrupt",
      `${path} is not a checkpoint that this log's key signed (${verdict.why}): sallyport audit verify ${here} says more`,
    );
  const { size, root } = verdict.checkpoint;
  return { year, folder: `${below}${year}`, origin, size, root, note };
}

function* segmentsOf(
  disk: Disk,
  directory: string,
  { folder, size }: ClosedOrigin,
): Generator<{ readonly path: string; readonly bytes: Uint8Array }, void, void> {
  const segments = listSegments(disk, join(directory, folder)).filter(({ first }) => first < size);
  for (const [i, segment] of segments.entries()) {
    const { bytes, end, next } = framesOf(disk, segment, segments[i + 1]?.first ?? size);
    if (next !== (segments[i + 1]?.first ?? size))
      throw new LogFault(
        "log-corrupt",
        `${segment.path} has no whole frame that ends at leaf ${segments[i + 1]?.first ?? size}, which a checkpoint was signed over`,
      );
    yield { path: `${folder}/wal/${String(segment.first).padStart(16, "0")}.wal`, bytes: bytes.subarray(0, end) };
  }
}

/** Whole frames from the beginning of a segment up to leaf `until`. */
function framesOf(disk: Disk, segment: SegmentFile, until: number): { bytes: Buffer; end: number; next: number } {
  const bytes = readWhole(disk, segment.path) ?? Buffer.alloc(0);
  let end = segmentHeaderBytes;
  let next = segment.first;
  while (next < until && end < bytes.length) {
    const frame = readFrame(bytes, end, next);
    if (typeof frame === "string") break;
    end = frame.end;
    next = frame.first + frame.count;
  }
  return { bytes, end: Math.min(end, bytes.length), next };
}

/**
 * Makes a copied log whole: every root checked, tiles, bundles, indexes and the open intents of its end written. Nothing can be appended to it:
 * its private key is not here. Throws LogFault `log-corrupt`, `log-rolled-back`, `log-key` or `not-found`.
 */
export function completeCopy(disk: Disk, directory: string): void {
  const before = join(directory, beforeFolder);
  if (yearFolders(disk.list(before)).length > 0) completeCopy(disk, before);
  const years = yearFolders(disk.list(directory));
  const verifier = readVerifierKey(disk, directory);
  if (years.length === 0 || verifier === null) throw new LogFault("not-found", `${directory} holds no copied log`);
  const intents = new OpenIntents();
  for (const year of years) {
    const folder = join(directory, String(year));
    if (isRemoved(disk, folder)) continue;
    const note = readWhole(disk, join(folder, "checkpoint"));
    const origin = parseCheckpointBody(parseNote(note?.toString("utf8") ?? "")?.text ?? "")?.origin;
    if (note === null || origin === undefined)
      throw new LogFault("log-corrupt", `${folder}/checkpoint is missing or is none`);
    replaceDurably(disk, join(folder, "head"), note);
    const signer = { publicKey: verifier.publicKey, sign: cannotSign };
    const log = OriginLog.open({ disk, directory: folder, origin, signer, segmentBytesMax, kept: [] }, intents);
    log.settle();
    log.close();
  }
}

function cannotSign(): Uint8Array {
  throw new LogFault("log-key", "a log that was ended by a restore cannot be signed any more");
}

/** Writes one file of a copy below `directory`, durable. */
export function writeCopied(disk: Disk, directory: string, path: string, bytes: Uint8Array): void {
  const folders = path.split("/").slice(0, -1);
  for (const [i] of folders.entries()) makeDirectoriesDurably(disk, join(directory, ...folders.slice(0, i + 1)));
  replaceDurably(disk, join(directory, path), bytes);
}

/** Is this text a verifier key? */
export function isVerifierKey(text: string): boolean {
  return parseVerifierKey(sha256, text.trim()) !== null;
}
