// Promises that a database file stands on a local disk in a directory nobody else can read. Trusts stat and statfs.
// File system types: Linux include/uapi/linux/magic.h and statfs(2).
import { accessSync, closeSync, constants, lstatSync, mkdirSync, openSync, type Stats, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { StoreFault } from "./fault.ts";

/** File systems where another machine may hold the same file, or where locks and fsync are somebody's promise over a wire. */
const networkTypes = new Map<number, string>([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xfe534d42, "SMB2"],
  [0xff534d42, "CIFS"],
  [0x01021997, "9P"],
  [0x65735546, "FUSE"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x564c, "NCP"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x19830326, "BeeGFS"],
  [0x7461636f, "OCFS2"],
  [0x01161970, "GFS2"],
  [0x786f4256, "VirtualBox shared folder"],
]);

/** Name of the network file system a statfs type stands for, or null for a local one. Pure. */
export function networkFileSystem(type: number): string | null {
  return networkTypes.get(type >>> 0) ?? null;
}

export interface DirectoryPorts {
  /** statfs type of a directory. */
  readonly fileSystemType: (directory: string) => number;
}

export const systemDirectoryPorts: DirectoryPorts = {
  fileSystemType: (directory) => statfsSync(directory).type,
};

/**
 * Makes a directory (0700) where it is missing and refuses one that others may read or that stands on a network file system. Throws StoreFault
 * `directory-missing`, `directory-permissions`, `directory-read-only` or `network-file-system`, each naming the place and the fix.
 */
export function preparePrivateDirectory(directory: string, ports: DirectoryPorts = systemDirectoryPorts): void {
  makeDirectory(directory);
  refuseOpenMode(directory, lstatOrNull(directory, "follow"), "0700");
  // Only Linux numbers file systems by a fixed magic.
  const network = process.platform === "linux" ? networkFileSystem(ports.fileSystemType(directory)) : null;
  if (network)
    throw new StoreFault(
      "network-file-system",
      `${directory} is on ${network}: what is kept there would be lost. Put the data directory on a local disk, or use PostgreSQL`,
    );
}

/**
 * Makes the directory (0700) and the file (0600) where they are missing and refuses what is unsafe. Throws StoreFault
 * `directory-missing`, `directory-permissions`, `directory-read-only` or `network-file-system`, each naming the place and the fix.
 */
export function prepareDatabaseFile(path: string, ports: DirectoryPorts): void {
  preparePrivateDirectory(dirname(path), ports);
  makeFile(path);
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    const stat = lstatOrNull(file);
    if (stat && !stat.isFile())
      throw new StoreFault(
        "directory-permissions",
        `${file} is not a plain file: remove the link or directory of that name`,
      );
    refuseOpenMode(file, stat, "0600");
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw directoryFault(error, directory);
  }
}

function makeFile(path: string): void {
  try {
    accessSync(dirname(path), constants.W_OK);
    if (lstatOrNull(path)) accessSync(path, constants.W_OK);
    else closeSync(openSync(path, "ax", 0o600));
  } catch (error) {
    // Another process of ours made it between the two calls: its mode is checked like any other.
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw directoryFault(error, path);
  }
}

function directoryFault(error: unknown, place: string): StoreFault {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
  if (code === "EACCES" || code === "EROFS" || code === "EPERM")
    return new StoreFault(
      "directory-read-only",
      `${place} cannot be written (${code}): make it writable for the user that runs sallyport (chown, or remount read-write)`,
      { cause: error },
    );
  if (code === "ENOSPC")
    return new StoreFault("disk-full", `no space left to make ${place}: free some space`, { cause: error });
  return new StoreFault(
    "directory-missing",
    `${place} cannot be made (${code}): check the path given as data directory`,
    { cause: error },
  );
}

function lstatOrNull(path: string, link?: "follow"): Stats | null {
  try {
    return lstatSync(link === "follow" ? `${path}/.` : path);
  } catch {
    return null;
  }
}

function refuseOpenMode(path: string, stat: Stats | null, wanted: "0700" | "0600"): void {
  // Windows has no group and world bits; its ACLs are inherited from the user's profile.
  if (!stat || process.platform === "win32" || (stat.mode & 0o077) === 0) return;
  const mode = (stat.mode & 0o7777).toString(8).padStart(4, "0");
  throw new StoreFault(
    "directory-permissions",
    `${path} has mode ${mode}, others may read it: chmod ${wanted} ${path}`,
  );
}
