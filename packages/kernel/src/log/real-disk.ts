// Promises the disk port on the machine's file system. Trusts fdatasync and fsync of the operating system to do what they say.
import {
  close,
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncate,
  ftruncateSync,
  mkdirSync,
  open,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statfsSync,
  unlinkSync,
  write,
  writeSync,
} from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { type Disk, type DiskFile, errorCode } from "./disk.ts";

const { O_RDONLY, O_RDWR, O_CREAT } = constants;

/** The disk of this machine. */
export function realDisk(): Disk {
  return {
    open: (path, mode) => openFile(openSync(path, mode === "read" ? O_RDONLY : O_RDWR | O_CREAT, 0o600)),
    list: (directory) => {
      try {
        return readdirSync(directory).sort();
      } catch (error) {
        if (errorCode(error) === "ENOENT") return [];
        throw error;
      }
    },
    makeDirectory: (path) => {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    },
    rename: renameSync,
    unlink: unlinkSync,
    syncDirectory,
    syncLater: (path, done) => later(path, O_RDWR, fdatasync, done),
    writeLater,
    syncDirectoryLater: (path, done) => {
      if (process.platform === "win32") done(null);
      else later(path, O_RDONLY, fsync, done);
    },
    freeBytes: (path) => {
      const { bavail, bsize } = statfsSync(path);
      return bavail * bsize;
    },
    lock: lockFile,
  };
}

function openFile(fd: number): DiskFile {
  return {
    size: () => fstatSync(fd).size,
    read: (position, length, memory) => {
      const bytes = memory !== undefined && memory.length >= length ? memory : Buffer.allocUnsafe(length);
      let done = 0;
      while (done < length) {
        const count = readSync(fd, bytes, done, length - done, position + done);
        if (count === 0) break;
        done += count;
      }
      return bytes.subarray(0, done);
    },
    write: (position, bytes) => {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(fd, bytes, done, bytes.length - done, position + done);
      }
    },
    truncate: (size) => ftruncateSync(fd, size),
    sync: () => fdatasyncSync(fd),
    close: () => closeSync(fd),
  };
}

/** A sync on a thread of the runtime's own. */
function later(path: string, flags: number, sync: typeof fsync, done: (error: Error | null) => void): void {
  let fd: number;
  try {
    fd = openSync(path, flags);
  } catch (error) {
    done(error instanceof Error ? error : new Error(String(error)));
    return;
  }
  sync(fd, (error) => {
    closeSync(fd);
    done(error);
  });
}

/** A whole file written on threads of the runtime's own, where creating one may have to wait for the file system's journal. */
function writeLater(path: string, bytes: Uint8Array, done: (error: Error | null) => void): void {
  open(path, O_RDWR | O_CREAT, 0o600, (refused, fd) => {
    if (refused !== null) {
      done(refused);
      return;
    }
    const end = (error: Error | null) => close(fd, (failed) => done(error ?? failed ?? null));
    const writeFrom = (at: number): void => {
      if (at === bytes.length) {
        ftruncate(fd, at, end);
        return;
      }
      write(fd, bytes, at, bytes.length - at, at, (error, written) => {
        if (error === null) writeFrom(at + written);
        else end(error);
      });
    };
    writeFrom(0);
  });
}

function syncDirectory(path: string): void {
  // Windows cannot open a directory for syncing; NTFS journals names by itself there (development only).
  if (process.platform === "win32") return;
  const fd = openSync(path, O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Node has no flock, but SQLite takes a real one: an exclusive transaction on an empty database holds a lock
 * that the kernel drops when the process dies, however it dies, and that other threads of this process see too.
 */
function lockFile(path: string): (() => void) | null {
  const holder = new DatabaseSync(path);
  try {
    holder.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    holder.close();
    if (error instanceof Error && /locked|busy/i.test(error.message)) return null;
    throw error;
  }
  return () => holder.close();
}
