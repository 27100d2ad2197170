// Promises what a receiver will never take on disk, with the reason, before the place moves past it; and to stop rather than to grow without end.
// Trusts the directory. Specified in docs/export.md "Dead letters".
import { open } from "node:fs/promises";
import { type ExportedRecord, placeOf } from "./exported-record.ts";
import { SinkFault } from "./sink.ts";

/** Some 60,000 records: by then somebody has to look. */
export const deadLetterBytesMax = 64 * 1_048_576;

export interface DeadLetter {
  /** Null: the record has a form this version cannot read. */
  readonly record: ExportedRecord | null;
  readonly origin: string;
  readonly index: number;
  readonly reason: string;
  /** The leaf's own bytes. */
  readonly text: string;
}

/** Appends and syncs. Throws SinkFault when the file is full or cannot be written. */
export async function writeDeadLetters(path: string, letters: readonly DeadLetter[], nowMs: number): Promise<void> {
  const file = await open(path, "a", 0o600).catch((cause: unknown) => {
    throw new SinkFault(`${path} cannot be opened: check its folder`, null, cause);
  });
  try {
    const { size } = await file.stat();
    const lines = letters.map((letter) => `${JSON.stringify(lineOf(letter, nowMs))}\n`).join("");
    if (size + lines.length > deadLetterBytesMax)
      throw new SinkFault(
        `${path} is full (${deadLetterBytesMax} bytes): the receiver refuses too much. See why, move the file away, and replay`,
      );
    await file.appendFile(lines);
    await file.datasync();
  } finally {
    await file.close();
  }
}

function lineOf({ record, origin, index, reason, text }: DeadLetter, nowMs: number) {
  const sallyport = record === null ? { origin, index } : placeOf(record);
  return { at: new Date(nowMs).toISOString(), reason, sallyport, leaf: text };
}
