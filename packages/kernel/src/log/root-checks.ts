// Promises that a start meets every checkpoint that was ever signed, or is refused with the file that disagrees. Trusts the key that read the checkpoints.
// Specified in docs/formats/leaf.md "Checkpoints".
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import type { KeptCheckpoint } from "./checkpoint-files.ts";
import { LogFault } from "./fault.ts";

/** The signed checkpoints a start must meet, smallest first. */
export class RootChecks {
  readonly #left: KeptCheckpoint[];

  constructor(signed: readonly KeptCheckpoint[]) {
    this.#left = [...signed].sort((a, b) => a.size - b.size);
  }

  /** The next one not met. */
  next(): KeptCheckpoint | undefined {
    return this.#left[0];
  }

  /** Compares every checkpoint up to this size with the root that `rootAt` gives. */
  upTo(size: number, rootAt: (size: number) => Uint8Array): void {
    for (let next = this.#left[0]; next !== undefined && next.size <= size; next = this.#left[0]) {
      if (!sameBytes(rootAt(next.size), next.root)) {
        throw new LogFault(
          "log-rolled-back",
          `the log's first ${next.size} leaves are not those that ${next.path} signed: the log was rewritten or forked; restore the directory from the backup or archive`,
        );
      }
      this.#left.shift();
    }
  }
}

export function rolledBack(checkpoint: KeptCheckpoint, size: number): LogFault {
  return new LogFault(
    "log-rolled-back",
    `${checkpoint.path} says the log had ${checkpoint.size} leaves, but it has ${size}: leaves or files are missing. ` +
      "Nothing was changed; restore the newest copy of the directory, or begin a new directory and keep this one for the investigation",
  );
}
