// Promises that what a gateway needs to start without its control plane survives a crash whole: every file is written beside, synced, renamed,
// and the directory synced. Trusts the directory's owner; contents are verified again by whoever reads them. Specified in docs/formats/snapshot.md.
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

export interface StateDirectory {
  /** The file's bytes, or null when there is none. */
  read(name: string): Uint8Array | null;
  /** Replaces the file; durable when it returns. */
  write(name: string, bytes: Uint8Array | string): void;
  /** Replaces the file without waiting for the disk: for what may be lost without harm. */
  writeSoon(name: string, text: string): void;
  list(folder: string): readonly string[];
  remove(name: string): void;
}

/** Opens (and creates, 0700) a gateway's state directory. */
export function openStateDirectory(path: string): StateDirectory {
  mkdirSync(join(path, "blobs"), { recursive: true, mode: 0o700 });
  const replace = (name: string, bytes: Uint8Array | string, durable: boolean): void => {
    const target = join(path, name);
    const beside = `${target}.new`;
    const file = openSync(beside, "w", 0o600);
    try {
      const buffer = typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes;
      for (let done = 0; done < buffer.length; ) done += writeSync(file, buffer, done);
      if (durable) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, target);
    if (durable) syncFolderOf(target);
  };
  return {
    read(name) {
      try {
        return readFileSync(join(path, name));
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    write: (name, bytes) => replace(name, bytes, true),
    writeSoon: (name, text) => replace(name, text, false),
    list: (folder) => readdirSync(join(path, folder)),
    remove: (name) => rmSync(join(path, name), { force: true }),
  };
}

/** The same directory with file names of its own for each worker after the first, so that none writes over what another counted. */
export function ownFiles(directory: StateDirectory, worker = 0): StateDirectory {
  if (worker === 0) return directory;
  const own = (name: string): string => `worker-${worker}-${name}`;
  return {
    ...directory,
    read: (name) => directory.read(own(name)),
    write: (name, bytes) => directory.write(own(name), bytes),
    writeSoon: (name, text) => directory.writeSoon(own(name), text),
  };
}

function syncFolderOf(target: string): void {
  const folder = openSync(join(target, ".."), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
