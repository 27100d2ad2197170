// Promises the disk port with syncs that do not stop the event loop, for copies of logs that nobody's crossing waits for.
// Trusts fdatasync and fsync of the operating system to do what they say.
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import type { Disk } from "./disk.ts";
import { realDisk } from "./real-disk.ts";

export interface SettlingDisk extends Disk {
  /** As `DiskFile.sync`, of a file by its path. */
  settleFile(path: string): Promise<void>;
  /** As `Disk.syncDirectory`. */
  settleDirectory(path: string): Promise<void>;
}

/** The disk of this machine. */
export function settlingDisk(): SettlingDisk {
  return {
    ...realDisk(),
    settleFile: (path) => synced(path, "datasync"),
    // Windows cannot open a directory for syncing (development only), as in real-disk.ts.
    settleDirectory: async (path) => (process.platform === "win32" ? undefined : await synced(path, "sync")),
  };
}

async function synced(path: string, how: "sync" | "datasync"): Promise<void> {
  const file = await open(path, "r");
  try {
    await file[how]();
  } finally {
    await file.close();
  }
}

/** As `replaceDurably`: old or new content after a crash, the new one once it resolves. */
export async function replaceSettled(disk: SettlingDisk, path: string, bytes: Uint8Array): Promise<void> {
  const staged = `${path}.new`;
  writeWhole(disk, staged, bytes);
  await disk.settleFile(staged);
  disk.rename(staged, path);
  await disk.settleDirectory(dirname(path));
}

/** Writes a file as a whole; durable only once it is settled. */
export function writeWhole(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = disk.open(path, "write");
  try {
    file.truncate(0);
    file.write(0, bytes);
  } finally {
    file.close();
  }
}
