// Promises that nothing lies in a log directory unjudged: what is no part of a log is named, and so is a part that reading the leaves never meets.
// Trusts the key alone, and full tiles only where verification has held them against the leaves. Specified in docs/formats/leaf.md "On disk".
import { createPrivateKey, createPublicKey } from "node:crypto";
import { join } from "node:path";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { hashBytes } from "@sallyport/protocol/audit/merkle.ts";
import { type NoteVerifier, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { parseBundle, parseTilePath, tileWidth, tileWidthMax } from "@sallyport/protocol/audit/tiles.ts";
import { cosignedFile } from "./checkpoint-files.ts";
import { type Disk, errorCode, readWhole } from "./disk.ts";
import { printLogKey, sha256 } from "./log-crypto.ts";
import { beforeFolder, verifierKeyFile } from "./seam.ts";
import { firstDifference } from "./verify-place.ts";
import { removedFile } from "./verify-removed.ts";
import type { LogProblem } from "./verify-report.ts";

type FileProblem = Pick<LogProblem, "kind" | "file" | "offset" | "message" | "whileRunning">;

const staged = ".new";
/** Beside the years. */
const logNames = new Set(["lock", "log.key", verifierKeyFile, "reserve", beforeFolder]);
/** In a year. `frontier`: what an archive goes on from, which it believes only where it gives the signed root. */
const yearNames = new Set(["wal", "tile", "head", "checkpoint", "state", cosignedFile, "frontier", removedFile]);
/** Replaced by writing them anew beside the old ones. */
const replacedNames = new Set(["log.key", "head", "checkpoint", "state"]);

interface FileRules {
  readonly disk: Disk;
  readonly directory: string;
  /** Also what a running log has not finished is expected. */
  readonly live: boolean;
}

const unexpected = (file: string): FileProblem => ({
  kind: "unexpected",
  file,
  offset: null,
  message: "this file is no part of a log: find out who put it there, and move it elsewhere",
});

/** Names in a folder; null when it is a file. */
function namesIn(disk: Disk, path: string): readonly string[] | null {
  try {
    return disk.list(path);
  } catch (error) {
    if (errorCode(error) === "ENOTDIR") return null;
    throw error;
  }
}

/** A start replaces all of these again, but for what witnesses said. */
const isStaged = (name: string, live: boolean) =>
  name === `${cosignedFile}${staged}` ||
  (live && name.endsWith(staged) && replacedNames.has(name.slice(0, -staged.length)));

function stranger(directory: string, name: string): FileProblem {
  const problem = unexpected(join(directory, name));
  return isStaged(name, true) ? { ...problem, whileRunning: true } : problem;
}

/** What lies beside the years of one log: `key` is the one its checkpoints are judged by. */
export function checkLogFiles({ disk, directory, live }: FileRules, key: NoteVerifier): FileProblem[] {
  const strangers = disk
    .list(directory)
    .filter((name) => !logNames.has(name) && !/^[0-9]{4}$/.test(name) && !isStaged(name, live))
    .map((name) => stranger(directory, name));
  return [
    ...strangers,
    ...checkKey(disk, join(directory, "log.key"), key),
    ...checkVerifierKey(disk, directory, key),
    ...checkBytes(disk, join(directory, "lock"), "is not empty, as a lock is"),
    ...checkBytes(disk, join(directory, "reserve"), "holds something other than zeros"),
  ];
}

/** A file of nothing but zeros; a lock has not even those. */
function checkBytes(disk: Disk, file: string, what: string): FileProblem[] {
  const bytes = readWhole(disk, file);
  const offset = bytes === null ? -1 : file.endsWith("lock") ? bytes.length - 1 : firstOtherThanZero(bytes);
  return offset < 0 ? [] : [{ kind: "unexpected", file, offset, message: `${what}: remove it while nothing runs` }];
}

/** Piece by piece, which the machine compares at once: a reserve has millions of bytes. -1: there is none. */
function firstOtherThanZero(bytes: Buffer): number {
  const zeros = Buffer.alloc(Math.min(bytes.length, 65_536));
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const piece = bytes.subarray(at, at + zeros.length);
    if (piece.compare(zeros, 0, piece.length) !== 0) return at + piece.findIndex((byte) => byte !== 0);
  }
  return -1;
}

/** A private key has one text: one changed letter is another key, or none. */
function checkKey(disk: Disk, file: string, key: NoteVerifier): FileProblem[] {
  const pem = readWhole(disk, file);
  if (pem === null || isKeyFile(pem, key)) return [];
  const message = "log.key is not the private key of the verifier key this log is judged by: put it back";
  return [{ kind: "key", file, offset: null, message }];
}

function isKeyFile(pem: Buffer, key: NoteVerifier): boolean {
  try {
    const privateKey = createPrivateKey(pem);
    const raw = createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32);
    return sameBytes(raw, key.publicKey) && printLogKey(privateKey).equals(pem);
  } catch {
    return false;
  }
}

function checkVerifierKey(disk: Disk, directory: string, key: NoteVerifier): FileProblem[] {
  const file = join(directory, verifierKeyFile);
  const text = readWhole(disk, file)?.toString("latin1");
  if (text === undefined) return [];
  const given = /^\S+\n?$/.test(text) ? parseVerifierKey(sha256, text.trimEnd()) : null;
  if (given !== null && sameBytes(given.publicKey, key.publicKey)) return [];
  return [{ kind: "key", file, offset: null, message: "this is not the verifier key that the log is judged by" }];
}

/** What lies in one year of `size` leaves, which the leaves have been held against; null when they could not be read to their end. */
export function checkYearFiles(rules: FileRules, size: number | null): FileProblem[] {
  const { disk, directory, live } = rules;
  const strangers = disk
    .list(directory)
    .filter((name) => !yearNames.has(name) && !isStaged(name, live))
    .map((name) => stranger(directory, name));
  return [...strangers, ...checkSegmentNames(disk, join(directory, "wal")), ...checkTileNames(rules, size)];
}

function checkSegmentNames(disk: Disk, folder: string): FileProblem[] {
  const names = namesIn(disk, folder);
  if (names === null) return [unexpected(folder)];
  const isKnown = (name: string) => /^[0-9]{16}\.(wal|idx)$/.test(name) && names.includes(`${name.slice(0, 16)}.wal`);
  return names.filter((name) => !isKnown(name)).map((name) => unexpected(join(folder, name)));
}

function checkTileNames(rules: FileRules, size: number | null): FileProblem[] {
  const below = (path: string): FileProblem[] => {
    const names = namesIn(rules.disk, join(rules.directory, path));
    if (names === null) return [unexpected(join(rules.directory, path))];
    return names.flatMap((name) => {
      const inner = `${path}/${name}`;
      const isFolder = path === "tile" ? /^(entries|[0-6])$/.test(name) : /^(x[0-9]{3}|[0-9]{3}\.p)$/.test(name);
      return isFolder ? below(inner) : checkTile(rules, inner, size);
    });
  };
  return rules.disk.list(rules.directory).includes("tile") ? below("tile") : [];
}

/** Tiles and bundles of the signed size were held against the leaves; others may be left from smaller sizes, and are beginnings of those. */
function checkTile({ disk, directory, live }: FileRules, path: string, size: number | null): FileProblem[] {
  const file = join(directory, path);
  const tile = parseTilePath(path);
  if (tile === null) return [unexpected(file)];
  if (size === null) return [];
  const width = tileWidth(tile.level ?? 0, tile.n, size);
  if (tile.width > width) return live ? [] : [{ ...unexpected(file), whileRunning: true }];
  if (tile.width === tileWidthMax || width < tileWidthMax) return [];
  const whole = readWhole(disk, join(directory, path.slice(0, path.lastIndexOf(".p/"))));
  const bytes = readWhole(disk, file) ?? Buffer.alloc(0);
  const isWhole =
    tile.level === null ? parseBundle(bytes, tile.width) !== null : bytes.length === tile.width * hashBytes;
  // A whole one that is missing was named already.
  if (whole === null || (isWhole && bytes.equals(whole.subarray(0, bytes.length)))) return [];
  const kind = tile.level === null ? "bundle" : "tile";
  const message = `${path} is not a beginning of the whole ${kind} beside it: remove it`;
  return [{ kind, file, offset: firstDifference(bytes, whole), message }];
}
