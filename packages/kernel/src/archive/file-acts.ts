// Promises the few acts on files that an archive directory stands on, none of which holds up the event loop, so that tests can bring a disk that loses
// what was not synced. Trusts the operating system behind the real one.
import { constants } from "node:fs";
import { link, mkdir, open, rename, statfs, unlink } from "node:fs/promises";
import { errorCode } from "../log/disk.ts";

export interface FileActs {
  /** Writes a file (mode 0600, new or emptied) and syncs its content. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** Null when there is no such file; a symbolic link is none. */
  read(path: string, range?: { readonly from: number; readonly length: number }): Promise<Uint8Array | null>;
  syncFile(path: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
  /** Rejects with `EEXIST` when `to` is there. */
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Nothing happens when it is not there. */
  unlink(path: string): Promise<void>;
  /** One level, mode 0700; false when it was there. */
  makeFolder(path: string): Promise<boolean>;
  freeBytes(path: string): Promise<number>;
}

const reading = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0);

export const realFileActs: FileActs = {
  async write(path, bytes) {
    const file = await open(path, "w", 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  async read(path, range) {
    let file: Awaited<ReturnType<typeof open>>;
    try {
      file = await open(path, reading);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return null;
      throw error;
    }
    try {
      if (range === undefined) return await file.readFile();
      const bytes = Buffer.alloc(Math.max(0, Math.min(range.length, (await file.stat()).size - range.from)));
      let done = 0;
      while (done < bytes.length) {
        const { bytesRead } = await file.read(bytes, done, bytes.length - done, range.from + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    } finally {
      await file.close();
    }
  },
  async syncFile(path) {
    const file = await open(path, "r");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  },
  async syncFolder(path) {
    // Windows cannot open a directory for syncing; NTFS journals names by itself there (development only).
    if (process.platform === "win32") return;
    await realFileActs.syncFile(path);
  },
  link,
  rename,
  async unlink(path) {
    await unlink(path).catch((error: unknown) => {
      if (errorCode(error) !== "ENOENT") throw error;
    });
  },
  async makeFolder(path) {
    try {
      await mkdir(path, { mode: 0o700 });
      return true;
    } catch (error) {
      if (errorCode(error) === "EEXIST") return false;
      throw error;
    }
  },
  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  },
};
