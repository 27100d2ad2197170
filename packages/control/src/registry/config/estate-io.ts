// Promises that nothing outside the estate directory is ever read, and nothing larger than its bound.
// Trusts the file system's realpath. Synchronous on purpose: a load is a few bounded reads at start or on a change, never on the path of a crossing.
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readSync, realpathSync } from "node:fs";
import { join, posix, sep } from "node:path";
import { attachmentBytesMax, entriesMax } from "./bounds.ts";

export interface EstateIo {
  /** Milliseconds since the epoch: what is expired is a finding. */
  now(): number;
  /** Names in a folder of the estate, in order, at most one more than entriesMax; or why they are not known: only "absent" means that nothing is there. */
  list(folder: string): readonly string[] | ListRefusal;
  /** Bytes of a file of the estate, or why not. `bytesMax` bounds what is read. */
  read(file: string, bytesMax: number): Uint8Array | ReadRefusal;
}

export type ListRefusal = "absent" | "outside" | "not-a-folder" | "unreadable";
export type ReadRefusal = "absent" | "outside" | "too-large" | "not-a-file";

/** The directory itself cannot be read: bad use of the command, exit 2. */
export class EstateFault extends Error {
  readonly code = "estate-unreadable";
  /** For the person at the terminal, with the fix. */
  readonly publicText: string;

  constructor(dir: string, cause: unknown) {
    super(`estate directory ${dir} cannot be read`, { cause });
    this.name = "EstateFault";
    this.publicText = `The configuration directory ${dir} cannot be read. Create it, or name another one with --config.`;
  }
}

/** The estate in a directory on disk. Symbolic links are followed only inside the directory. Throws EstateFault when there is no such directory. */
export function diskEstateIo(dir: string, now: () => number): EstateIo {
  const root = openDirectory(dir);
  return {
    now,
    list: (folder) => listInside(root, folder),
    read(file, bytesMax) {
      const real = realOf(join(root, file));
      if (real === null) return "absent";
      return isInside(root, real) ? readBounded(real, bytesMax) : "outside";
    },
  };
}

/** A refusal is never an empty list: what stands in a folder that is not read may be a `forbid`. */
function listInside(root: string, folder: string): readonly string[] | ListRefusal {
  const path = join(root, folder);
  const real = realOf(path);
  if (real === null) return isThere(path) ? "unreadable" : "absent";
  if (!isInside(root, real)) return "outside";
  try {
    return readdirSync(real)
      .sort()
      .slice(0, entriesMax + 1);
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "ENOTDIR" ? "not-a-folder" : "unreadable";
  }
}

/** Also true of a link that leads nowhere, and where it cannot be known: only a plain "no such entry" is absence. */
function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (cause) {
    return !(cause instanceof Error && "code" in cause && cause.code === "ENOENT");
  }
}

function openDirectory(dir: string): string {
  try {
    const root = realpathSync.native(dir);
    readdirSync(root);
    return root;
  } catch (cause) {
    throw new EstateFault(dir, cause);
  }
}

function realOf(path: string): string | null {
  try {
    return realpathSync.native(path);
  } catch {
    return null;
  }
}

function isInside(root: string, real: string): boolean {
  return real === root || real.startsWith(root.endsWith(sep) ? root : root + sep);
}

function readBounded(path: string, bytesMax: number): Uint8Array | ReadRefusal {
  let handle: number;
  try {
    // Not blocking: opening a named pipe would otherwise wait for a writer. Not following: realpath has already done so.
    handle = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0));
  } catch {
    return "absent";
  }
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile()) return "not-a-file";
    // One more than it should hold, to notice a file that grows meanwhile; then the whole bound is made room for.
    let bytes = new Uint8Array(Math.min(stat.size, bytesMax) + 1);
    let length = 0;
    while (length <= bytesMax) {
      if (length === bytes.length) {
        const larger = new Uint8Array(bytesMax + 1);
        larger.set(bytes);
        bytes = larger;
      }
      const count = readSync(handle, bytes, length, bytes.length - length, null);
      if (count === 0) break;
      length += count;
    }
    return length > bytesMax ? "too-large" : bytes.slice(0, length);
  } finally {
    closeSync(handle);
  }
}

/** An estate held in memory: for tests, and for an estate sent over the API. Keys are paths with `/`. */
export function memoryEstateIo(files: Readonly<Record<string, string>>, now: () => number): EstateIo {
  const encoder = new TextEncoder();
  return {
    now,
    list(folder) {
      const prefix = folder === "" ? "" : `${folder}/`;
      const names = Object.keys(files).filter((file) => file.startsWith(prefix));
      if (folder !== "" && names.length === 0) return Object.hasOwn(files, folder) ? "not-a-folder" : "absent";
      return [...new Set(names.map((file) => file.slice(prefix.length).split("/")[0] ?? ""))].sort();
    },
    read(file, bytesMax) {
      const text = Object.hasOwn(files, file) ? files[file] : undefined;
      if (text === undefined) return "absent";
      const bytes = encoder.encode(text);
      return bytes.length > bytesMax ? "too-large" : bytes;
    },
  };
}

/** Path of a file named in `from`, relative to the estate; null when it would leave it. */
export function resolveInside(from: string, named: string): string | null {
  if (named.startsWith("/") || /^[A-Za-z]:/.test(named) || /[\0\\]/.test(named)) return null;
  const resolved = posix.normalize(posix.join(posix.dirname(from), named));
  return resolved === ".." || resolved.startsWith("../") || resolved.startsWith("/") ? null : resolved;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Bytes as UTF-8 text, or null when they are not. */
export function decodeText(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** Names in a folder, none where it is refused: only for who says nothing about what is missing. */
export function namesIn(io: EstateIo, folder: string): readonly string[] {
  const names = io.list(folder);
  return typeof names === "string" ? [] : names;
}

/** Why a folder is not read, for a finding; null when it is simply not there. */
export function explainList(refusal: ListRefusal): { message: string; fix: string } | null {
  if (refusal === "absent") return null;
  if (refusal === "outside")
    return {
      message: "the folder is a symbolic link out of the estate directory",
      fix: "copy the folder into the estate",
    };
  if (refusal === "not-a-folder") return { message: "not a folder", fix: "make it a folder, or remove it" };
  return { message: "the folder cannot be read", fix: "give it to the reader of the estate, or remove it" };
}

/** Entries a Kubernetes volume adds beside the links to its files; what they hold is read through those links. */
export function isMountEntry(name: string): boolean {
  return /^\.\.(data|data_tmp|\d{4}(_\d\d){5}\.\d+)$/.test(name);
}

export const noSuchFile = "no such file";

/** Reads a file another file names, as text; a refusal comes with the sentence for the finding. */
export function readNamed(
  io: EstateIo,
  from: string,
  named: string,
): { file: string; text: string } | { message: string; fix: string } {
  const file = resolveInside(from, named);
  if (file === null)
    return {
      message: "the path leaves the estate directory",
      fix: "copy the file into the estate and name it by a relative path",
    };
  const bytes = io.read(file, attachmentBytesMax);
  if (bytes === "outside")
    return { message: "the file is a symbolic link out of the estate directory", fix: "copy the file into the estate" };
  if (bytes === "absent")
    return { message: noSuchFile, fix: `create ${file}, or correct the path (it is relative to ${from})` };
  if (bytes === "not-a-file") return { message: "not a regular file", fix: "name a file" };
  if (bytes === "too-large")
    return { message: `the file is larger than ${attachmentBytesMax} bytes`, fix: "make it smaller" };
  const text = decodeText(bytes);
  return text === null ? { message: "the file is not UTF-8 text", fix: "save it as UTF-8" } : { file, text };
}
