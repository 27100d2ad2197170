// Promises room for administrative records on a full disk: a file of zeros that is given up when it is needed. Trusts the disk port.
// Specified in docs/audit.md "When the disk is full".
import { join } from "node:path";
import { type Disk, errorCode } from "./disk.ts";

export interface ReserveRules {
  readonly disk: Disk;
  readonly directory: string;
  readonly reserveBytes: number;
  readonly lowSpaceBytes: number;
}

/** Writes the reserve where there is clearly room for it. */
export function keepReserve({ disk, directory, reserveBytes, lowSpaceBytes }: ReserveRules): void {
  const path = join(directory, "reserve");
  if (disk.freeBytes(directory) < lowSpaceBytes + 2 * reserveBytes || sizeOf(disk, path) >= reserveBytes) return;
  const file = disk.open(path, "write");
  try {
    file.write(0, Buffer.alloc(reserveBytes));
    file.sync();
  } finally {
    file.close();
  }
}

export function giveUpReserve({ disk, directory }: ReserveRules): void {
  if (!disk.list(directory).includes("reserve")) return;
  disk.unlink(join(directory, "reserve"));
  disk.syncDirectory(directory);
}

function sizeOf(disk: Disk, path: string): number {
  try {
    const file = disk.open(path, "read");
    try {
      return file.size();
    } finally {
      file.close();
    }
  } catch (error) {
    if (errorCode(error) === "ENOENT") return 0;
    throw error;
  }
}
