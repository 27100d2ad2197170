// Promises the archive store of a file named on the command line, for `serve` and `audit`. Trusts control's reader of the file.
// Specified in docs/archive.md "The file".
import { openArchiveStore } from "@sallyport/control/audit/keeping/open-store.ts";
import { type ArchiveStoreConfig, readStoreFile, StoreFileFault } from "@sallyport/control/audit/keeping/store-file.ts";
import { ArchiveFault } from "@sallyport/kernel/archive/fault.ts";
import type { ArchiveStore } from "@sallyport/kernel/archive/port.ts";
import { SealFault } from "@sallyport/kernel/seal/seal-fault.ts";
import { CommandEnd, exitCode } from "./exit.ts";
import { systemClock } from "./roles/system-ports.ts";

/** Throws CommandEnd (bad use) that names the key and the fix, never a value. */
export function openStoreFile(path: string): ArchiveStoreConfig {
  try {
    return readStoreFile(path);
  } catch (error) {
    if (error instanceof StoreFileFault) throw new CommandEnd(exitCode.badUse, error.message, error.fix);
    if (error instanceof SealFault)
      throw new CommandEnd(exitCode.badUse, error.message, "if others may have read it, replace the credentials in it");
    throw error;
  }
}

/** Runs `act` with the store; its faults end the command: 3 where it cannot be reached, 1 where the answer is no. */
export async function withArchiveStore<T>(path: string, act: (store: ArchiveStore) => Promise<T>): Promise<T> {
  const config = openStoreFile(path);
  try {
    const store = await openArchiveStore(config.place, systemClock);
    try {
      return await act(store);
    } finally {
      await store.close();
    }
  } catch (error) {
    if (!(error instanceof ArchiveFault)) throw error;
    throw new CommandEnd(
      error.isPassing ? exitCode.unreachable : exitCode.no,
      error.message,
      `docs/archive.md: ${error.code}`,
    );
  }
}
