// Promises the segments of a log that will not grow any more, with what they hold and their SHA-256, so that other stores can keep them.
// Trusts the published checkpoints. Formats: docs/formats/leaf.md "On disk"; described in docs/audit.md "The archive".
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { type Disk, readWhole } from "@sallyport/kernel/log/disk.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { yearFolders } from "@sallyport/kernel/log/origin.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { logFolders } from "@sallyport/kernel/log/seam.ts";
import { listSegments } from "@sallyport/kernel/log/segments.ts";

export interface SealedSegment {
  readonly origin: string;
  readonly path: string;
  /** Index of its first leaf, and of the first leaf behind it. */
  readonly first: number;
  readonly next: number;
  readonly bytes: number;
  /** Of the whole file, hexadecimal. */
  readonly sha256: string;
}

/**
 * Every sealed segment of a log directory (control's own, or one of the archive), oldest first: one behind which another begins or whose year has
 * ended, and which the newest checkpoint covers whole. A file is read once, in pieces. The logs before a restore are sealed as a whole.
 */
export async function* sealedSegments(directory: string): AsyncGenerator<SealedSegment, void, void> {
  const disk = realDisk();
  const held = openHeldLogs({ directories: () => [directory] });
  try {
    const believed = new Map((await held.origins()).map(({ origin, size }) => [origin, size]));
    for (const folder of [...logFolders(disk, directory)].reverse()) {
      const years = yearFolders(disk.list(folder));
      for (const year of years) {
        const hasEnded = year !== years.at(-1) || folder !== directory;
        yield* sealedOf(disk, join(folder, String(year)), { believed, hasEnded });
      }
    }
  } finally {
    await held.close();
  }
}

async function* sealedOf(
  disk: Disk,
  directory: string,
  { believed, hasEnded }: { readonly believed: ReadonlyMap<string, number>; readonly hasEnded: boolean },
): AsyncGenerator<SealedSegment, void, void> {
  const [origin = ""] = (readWhole(disk, join(directory, "checkpoint"))?.toString("utf8") ?? "").split("\n", 1);
  const size = believed.get(origin);
  if (size === undefined) return;
  const segments = listSegments(disk, directory);
  for (const [i, { path, first }] of segments.entries()) {
    const next = segments[i + 1]?.first ?? (hasEnded ? size : null);
    if (next === null || next > size) continue;
    yield { origin, path, first, next, ...(await measured(path)) };
  }
}

async function measured(path: string): Promise<Pick<SealedSegment, "bytes" | "sha256">> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of createReadStream(path)) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}
