// Promises the leaf hashes of a log directory, as far as its checkpoints are signed, to hold a copy against. Trusts the directory.
// Specified in docs/export.md "Verifying a copy".

import type { LogFault } from "@sallyport/kernel/log/fault.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { leafHashOf } from "./exported-record.ts";

const readMax = 2_048;

/** By origin, in order. Throws LogFault naming the file where a record cannot be read. */
export async function leafHashes(directory: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const faults: LogFault[] = [];
  const records = openHeldLogs({ directories: () => [directory], fault: (fault) => faults.push(fault) });
  try {
    const hashes = new Map<string, string[]>();
    for (const { origin, size } of await records.origins()) {
      const read: string[] = [];
      while (read.length < size)
        for (const { leaf } of await records.read(origin, read.length, readMax)) read.push(leafHashOf(leaf));
      hashes.set(origin, read);
    }
    if (faults[0] !== undefined) throw faults[0];
    return hashes;
  } finally {
    await records.close();
  }
}
