// Promises that a tree is in the archive up to its newest checkpoint: at least once, the same bytes for the same leaves, looked at after they were written,
// and the checkpoint last. Trusts the source's key; begins again wherever it was interrupted. Described in docs/archive.md "What is archived when".
import type { Disk } from "../log/disk.ts";
import { checkpointName, keyName, listSegmentsFrom, readArchivedCheckpoint, segmentName } from "./archived-log.ts";
import { contentHash } from "./content-hash.ts";
import { ArchiveFault } from "./fault.ts";
import { FrameReader } from "./frame-reader.ts";
import type { LogSource } from "./log-source.ts";
import type { ArchiveStore, Keeping } from "./port.ts";

/** A segment of the archive takes no further frame from this size on; a frame has at most 9 MiB. */
export const cutBytesMax = 16_777_216;

export interface ArchiveLogOptions {
  readonly store: ArchiveStore;
  readonly disk: Disk;
  readonly source: LogSource;
  readonly keeping: Keeping;
  /** Bytes and leaves that were just archived. */
  readonly onSegment?: (done: { readonly next: number; readonly bytes: number }) => void;
  /** For tests; default 16 MiB. */
  readonly bytesMax?: number;
}

/** Leaves of this tree that are in the archive now, signed for. Rejects with ArchiveFault or LogFault. */
export async function archivedSize(store: ArchiveStore, source: LogSource): Promise<number> {
  return (await readArchivedCheckpoint(store, source.origin, source.verifierKey))?.checkpoint.size ?? 0;
}

/** Archives what is missing; resolves with the size that the archive's checkpoint has. Rejects with ArchiveFault or LogFault; what was written stays. */
export async function archiveLog(options: ArchiveLogOptions): Promise<number> {
  const { store, source, keeping } = options;
  const { origin, size } = source;
  const found = await readArchivedCheckpoint(store, origin, source.verifierKey);
  const from = found?.checkpoint.size ?? 0;
  if (from > size)
    throw new ArchiveFault(
      "archive-differs",
      `${store.place} has ${from} leaves of ${origin}, but the log here has ${size}: it was put back or cut short. sallyport audit fetch brings the longer one`,
    );
  if (from === size && found !== null) {
    if (Buffer.from(found.note).toString("utf8").startsWith(bodyOf(source.note))) return size;
    throw new ArchiveFault(
      "archive-differs",
      `${store.place} has another root for the ${size} leaves of ${origin} than the log here: one of them was rewritten. Keep both for the investigation`,
    );
  }
  await store.put(keyName(origin), Buffer.from(`${source.verifierKey}\n`), keeping);
  const reader = new FrameReader(options.disk, source.directory, origin);
  for (let first = from; first < size; ) first = await archiveSegment(options, reader, first);
  const next = Buffer.from(source.note);
  if (await store.swap(checkpointName(origin), { expected: found?.note ?? null, next })) return size;
  // Another node archives the same log and was faster: what it wrote counts, and is judged by the next run.
  throw new ArchiveFault("archive-unreachable", `another process archived ${origin} meanwhile`);
}

/** The three signed lines: the signature may be made anew, they may not. */
function bodyOf(note: string): string {
  return note.split("\n").slice(0, 3).join("\n");
}

/** Archives one segment from leaf `first` on; resolves with the leaf after it. */
async function archiveSegment(options: ArchiveLogOptions, reader: FrameReader, first: number): Promise<number> {
  const { store, source, keeping, bytesMax = cutBytesMax } = options;
  const { origin, size } = source;
  // A run that was interrupted left its last segment without a checkpoint: the same cut is made again, and must be the same.
  const [left] = (await listSegmentsFrom(store, origin, { from: first, max: 1 })).filter((one) => one.first === first);
  const isCut = left !== undefined && left.next <= size;
  const cut = await reader.cut(
    first,
    isCut ? { until: left.next, bytesMax: Number.POSITIVE_INFINITY } : { until: size, bytesMax },
  );
  const name = segmentName(origin, first, cut.next);
  await store.put(name, cut.bytes, keeping);
  const there = await store.stat(name);
  const hash = (await contentHash(cut.bytes)).toString("hex");
  if (there?.sha256 !== hash || there.bytes !== cut.bytes.length)
    throw new ArchiveFault("archive-damaged", `${name} in ${store.place} is not what was written there`);
  options.onSegment?.({ next: cut.next, bytes: cut.bytes.length });
  return cut.next;
}
