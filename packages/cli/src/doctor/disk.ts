// Promises what a directory's disk does: how long one durable write takes, what is free, what kind of file system it is. Measured, never assumed.
// Trusts the clock and statfs. Specified in docs/cli/serve.md "The start banner".
import { closeSync, fdatasyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { networkFileSystem } from "@sallyport/kernel/store/directory.ts";

export interface DiskFacts {
  /** One write of 4 KiB with fdatasync, milliseconds, ascending. Empty: it could not be measured. */
  readonly syncMs: readonly number[];
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** 0 of 0 where the file system makes inodes as it needs them. */
  readonly freeInodes: number;
  readonly totalInodes: number;
  /** Name of the network file system, or null for a local one. */
  readonly network: string | null;
  /** tmpfs: gone with the machine. */
  readonly inMemory: boolean;
}

const tmpfsMagic = 0x01021994;
const ramfsMagic = 0x858458f6;
const block = Buffer.alloc(4096, 0x5a);

/** Writes and syncs a file of its own in `directory`, `times` times, and removes it. */
export function measureDisk(directory: string, times: number): DiskFacts {
  const stat = statfsSync(directory);
  const type = stat.type >>> 0;
  return {
    syncMs: measureSync(directory, times),
    freeBytes: stat.bavail * stat.bsize,
    totalBytes: stat.blocks * stat.bsize,
    freeInodes: stat.ffree,
    totalInodes: stat.files,
    // Only Linux numbers file systems by a fixed magic.
    network: process.platform === "linux" ? networkFileSystem(type) : null,
    inMemory: process.platform === "linux" && (type === tmpfsMagic || type === ramfsMagic),
  };
}

function measureSync(directory: string, times: number): readonly number[] {
  const path = join(directory, `.sync-probe-${process.pid}`);
  const took: number[] = [];
  try {
    const fd = openSync(path, "wx", 0o600);
    try {
      for (let i = 0; i < times; i += 1) {
        const from = performance.now();
        // Always further on: a disk may answer a write of the same bytes at the same place from memory.
        writeSync(fd, block, 0, block.length, i * block.length);
        fdatasyncSync(fd);
        took.push(performance.now() - from);
      }
    } finally {
      closeSync(fd);
    }
  } catch {
    return [];
  } finally {
    rmSync(path, { force: true });
  }
  return took.sort((a, b) => a - b);
}

/** The value below which the share `q` (0 to 1) of ascending values lies; null of none. */
export function quantile(ascending: readonly number[], q: number): number | null {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * q))] ?? null;
}

/** `12.3 GiB` */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"] as const;
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)));
  return `${(bytes / 1024 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`;
}
