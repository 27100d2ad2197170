// Promises the few synchronous acts on files that the log stands on, so that tests can bring a disk that loses what was not synced.
// Trusts the operating system behind the real one. What survives a crash: docs/audit.md "What is durable when".
import { dirname } from "node:path";

export interface DiskFile {
  size(): number;
  /** Up to `length` bytes from `position`; fewer at the end of the file. They may lie in `memory` when that is large enough. */
  read(position: number, length: number, memory?: Buffer): Buffer;
  /** Writes all bytes or throws. Durable only after `sync`. */
  write(position: number, bytes: Uint8Array): void;
  truncate(size: number): void;
  /** fdatasync: when it returns, the content and size of this file survive a crash. Its name does only after `syncDirectory`. */
  sync(): void;
  close(): void;
}

export interface Disk {
  /** `write` creates the file (mode 0600) when it is absent. Throws an error whose `code` is `ENOENT` when `read` finds nothing. */
  open(path: string, mode: "read" | "write"): DiskFile;
  /** Names in a directory, sorted; empty when there is no such directory. */
  list(directory: string): string[];
  /** One level, mode 0700; nothing happens when it is there. */
  makeDirectory(path: string): void;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** fsync of the directory: names created, renamed and removed in it survive a crash. */
  syncDirectory(path: string): void;
  /** Syncs a file as `DiskFile.sync` does, without waiting; covers at least what was written before the call. `done` is called once, with null or the error. */
  syncLater(path: string, done: (error: Error | null) => void): void;
  /**
   * Gives the file exactly these bytes (creating it, mode 0600) without waiting; nothing of it is durable before a sync that begins after `done`. Where
   * it failed, some of them may be there. `bytes` must not change until `done`, which is called once, with null or the error.
   */
  writeLater(path: string, bytes: Uint8Array, done: (error: Error | null) => void): void;
  /** `syncDirectory` without waiting. */
  syncDirectoryLater(path: string, done: (error: Error | null) => void): void;
  /** Bytes an ordinary process may still write on the volume of `path`. */
  freeBytes(path: string): number;
  /** Holds `path` against every other process and thread until the returned function is called; null when another holds it. */
  lock(path: string): (() => void) | null;
}

/** Largest file read in one piece; the log has none that is larger. */
const wholeFileBytesMax = 1_073_741_824;

/** The content of a file, or null when there is none. It may lie in `memory`, where it lasts until that is used again. */
export function readWhole(disk: Disk, path: string, memory?: Buffer): Buffer | null {
  return readWholeInto(disk, path, () => memory);
}

/** `readWhole` into memory that is chosen once the length is known. */
export function readWholeInto(
  disk: Disk,
  path: string,
  memoryFor: (length: number) => Buffer | undefined,
): Buffer | null {
  let file: DiskFile;
  try {
    file = disk.open(path, "read");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
  try {
    const length = Math.min(file.size(), wholeFileBytesMax);
    return file.read(0, length, memoryFor(length));
  } finally {
    file.close();
  }
}

/** Replaces a file so that after a crash it holds either the old or the new content, and after this returns the new. */
export function replaceDurably(disk: Disk, path: string, bytes: Uint8Array): void {
  const staged = `${path}.new`;
  const file = disk.open(staged, "write");
  try {
    file.truncate(0);
    file.write(0, bytes);
    file.sync();
  } finally {
    file.close();
  }
  disk.rename(staged, path);
  disk.syncDirectory(dirname(path));
}

/** Creates `path` below the existing `root`, level by level, each name durable. */
export function makeDirectoriesDurably(disk: Disk, path: string): void {
  if (disk.list(dirname(path)).some((name) => path.endsWith(`/${name}`) || path.endsWith(`\\${name}`))) return;
  disk.makeDirectory(path);
  disk.syncDirectory(dirname(path));
}

/** The `code` of a system error, or an empty text. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
