// Promises that the KEK is read only from a private file of exactly 32 bytes and never written over. Trusts the file system's modes.
// Specified in docs/formats/seal.md, Key hierarchy.
import { hkdfSync } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Random } from "../ports.ts";
import { keyBytes } from "./aead.ts";
import { SealFault } from "./seal-fault.ts";
import { Secret } from "./secret.ts";

export interface Kek {
  /** 16 lower-case hex digits; safe to show. */
  readonly id: string;
  /** Where it came from, for messages: a path, or what the caller named it. */
  readonly source: string;
  readonly key: Secret;
}

/** A KEK the operator gave. `bytes` has 32 bytes. Faults: `key-file-malformed`. */
export function kekFromBytes(bytes: Uint8Array, source: string): Kek {
  if (bytes.length !== keyBytes) {
    throw new SealFault(
      "key-file-malformed",
      `${source} holds ${bytes.length} bytes; a key encryption key has exactly ${keyBytes}. Put the original file back; do not make a new one over existing data`,
    );
  }
  const id = Buffer.from(hkdfSync("sha512", bytes, new Uint8Array(0), "sallyport/kek-id/v1", 8)).toString("hex");
  return { id, source, key: Secret.fromBytes(bytes) };
}

/** Does the file's mode let anybody but its owner in? Windows has no such bits. */
function assertPrivate(path: string, fd: number): void {
  const stat = fstatSync(fd);
  if (!stat.isFile()) throw new SealFault("key-file-malformed", `${path} is not a file; name the key file itself`);
  if (process.platform === "win32") return;
  if ((stat.mode & 0o077) !== 0) {
    const mode = (stat.mode & 0o777).toString(8).padStart(4, "0");
    throw new SealFault("key-file-permissions", `${path} has mode ${mode}: others can read it. Run: chmod 600 ${path}`);
  }
  const user = process.getuid?.();
  if (user !== undefined && stat.uid !== user && stat.uid !== 0) {
    throw new SealFault(
      "key-file-permissions",
      `${path} belongs to user ${stat.uid}, who could replace it. Run: chown ${user} ${path}`,
    );
  }
}

/**
 * The content of a private key file, at most `bytesMax` bytes; mode and owner are checked on the opened file, not on the name.
 * null when there is no such file. Faults: `key-file-unreadable`, `key-file-permissions`, `key-file-malformed`.
 */
export function readPrivateFile(path: string, bytesMax: number): Uint8Array | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    // `code` is set on every error of node:fs.
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new SealFault(
      "key-file-unreadable",
      `${path} cannot be opened (${(cause as NodeJS.ErrnoException).code}). Check its owner and folder`,
      cause,
    );
  }
  try {
    assertPrivate(path, fd);
    const buffer = new Uint8Array(bytesMax + 1);
    const read = readSync(fd, buffer, 0, buffer.length, 0);
    if (read > bytesMax)
      throw new SealFault(
        "key-file-malformed",
        `${path} is longer than ${bytesMax} bytes: it is not this kind of key file`,
      );
    return buffer.slice(0, read);
  } finally {
    closeSync(fd);
  }
}

/** Makes the file `draft` (0600, never following or reusing what lies there), durable. */
function writeDraft(draft: string, bytes: Uint8Array): void {
  const fd = openSync(draft, "wx", 0o600);
  try {
    writeFileSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes a new name in a folder durable. Windows does not open folders. */
function syncFolder(path: string): void {
  if (process.platform === "win32") return;
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * Replaces a private file (0600) in one step, making its folder (0700) where there is none; durable when it returns. One writer
 * per path: the draft has a fixed name, so that a crash leaves at most one. Faults: `key-file-unreadable`.
 */
export function replacePrivateFile(path: string, bytes: Uint8Array): void {
  const draft = `${path}.staged`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    rmSync(draft, { force: true });
    writeDraft(draft, bytes);
    renameSync(draft, path);
    syncFolder(dirname(path));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code; // set on every error of node:fs
    throw new SealFault(
      "key-file-unreadable",
      `${path} cannot be written (${code}): check that its folder is yours and writable`,
      cause,
    );
  }
}

/** Writes a new private file, whole or not at all, durable when it returns; never over an existing one. Faults: `key-file-unreadable`. */
export function writePrivateFile(path: string, bytes: Uint8Array, random: Random): void {
  const draft = join(dirname(path), `.key-${Buffer.from(random.bytes(8)).toString("hex")}`);
  try {
    writeDraft(draft, bytes);
    // link() fails where the name exists: of two processes that start at once, one makes the key and the other is told.
    linkSync(draft, path);
    syncFolder(dirname(path));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code; // set on every error of node:fs
    const why =
      code === "EEXIST"
        ? "it exists already and is never overwritten"
        : `${code}: check that its folder exists and is writable`;
    throw new SealFault("key-file-unreadable", `${path} cannot be written (${why})`, cause);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** The KEK in `path`, or null when there is no such file. Faults as readPrivateFile. */
export function loadKek(path: string): Kek | null {
  const bytes = readPrivateFile(path, keyBytes);
  if (bytes === null) return null;
  try {
    return kekFromBytes(bytes, path);
  } finally {
    bytes.fill(0);
  }
}

/** Makes a new KEK in `path`, mode 0600. Only for a store that holds no wrapped key yet. */
export function createKek(path: string, random: Random): Kek {
  const bytes = random.bytes(keyBytes);
  try {
    writePrivateFile(path, bytes, random);
    return kekFromBytes(bytes, path);
  } finally {
    bytes.fill(0);
  }
}
