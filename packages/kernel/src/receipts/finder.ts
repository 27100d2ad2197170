// Promises the leaves of a crossing out of a log that is being written, with a bounded number of files read for each: the time in the id says where to
// look, and what was read of a segment that still grows is remembered. Trusts the log's own files. Specified in docs/receipts.md "Bounds".
import { join } from "node:path";
import { tallyWindowMs, windowOfId } from "@sallyport/protocol/audit/tally.ts";
import type { Disk, DiskFile } from "../log/disk.ts";
import { lastBefore, timeOfSegment } from "../log/leaf-times.ts";
import { yearFolders } from "../log/origin.ts";
import { frameHeaderBytes, readFrameHeader, segmentHeaderBytes } from "../log/segment.ts";
import { GrowingIndex } from "../log/segment-index.ts";
import { recordsInSegment } from "../log/segment-lookup.ts";
import { headOf, listSegments, type SegmentFile, scanFrames } from "../log/segments.ts";
import { type CrossingLeaves, noLeaves, withRecord } from "./crossing-leaves.ts";
import { receiptOfLeaves } from "./make-receipt.ts";
import type { FoundCrossing } from "./port.ts";

/** A crossing is decided at most so long after the time in its id, and a clock was set back by at most as much. */
const decidedWithinMs = 900_000;
/** Segments looked through for one crossing; a stream that outlives as many has no receipt from here. */
export const segmentsMax = 4_096;
/** Segments without an index file whose index is kept. */
const grownMax = 4;
/** Read of such a segment at once: little where little was added, and never much but for a longer frame. */
const windowBytesMin = 4_096;
const windowBytesMax = 1_048_576;
/** Years of the log that are looked at. */
const yearsMax = 16;
/** Times of first leaves that are remembered. */
const beginningsMax = 65_536;

interface PlacedSegment {
  readonly folder: string;
  readonly segment: SegmentFile;
}

interface Grown {
  readonly index: GrowingIndex;
  /** Offset of the next frame, and the leaf it begins with. */
  offset: number;
  next: number;
}

export class ReceiptFinder {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #sound = new Set<string>();
  readonly #grown = new Map<string, Grown>();
  /** Time of each segment's first leaf; it does not change. */
  readonly #beginnings = new Map<string, number>();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Throws LogFault `log-corrupt`. */
  find(crossing: string): FoundCrossing {
    const leaves = this.#leaves(crossing);
    if (leaves.decided === null) return { decided: null, receipt: null };
    const decided = Buffer.from(leaves.decided.record.leaf).toString("latin1");
    return { decided, receipt: receiptOfLeaves(this.#disk, leaves) };
  }

  #leaves(crossing: string): CrossingLeaves {
    const window = windowOfId(crossing);
    if (window === null) return noLeaves;
    const at = window * tallyWindowMs;
    const segments = this.#segments();
    const from = this.#lastBefore(segments, at - decidedWithinMs);
    let leaves = noLeaves;
    for (const { folder, segment } of segments.slice(from, from + segmentsMax)) {
      if (leaves.decided === null && this.#beginning(segment) > at + decidedWithinMs) break;
      const search = {
        disk: this.#disk,
        directory: folder,
        // Only asked for where a segment is read whole for its index, which `#grow` does without.
        origin: "",
        sound: this.#sound,
        unindexed: (one: SegmentFile) => this.#grow(one),
      };
      for (const record of recordsInSegment(search, segment, crossing)) leaves = withRecord(leaves, { folder, record });
      if (leaves.ended !== null) break;
    }
    return leaves;
  }

  /** All segments of the newest years, oldest first. */
  #segments(): readonly PlacedSegment[] {
    const years = yearFolders(this.#disk.list(this.#directory)).slice(-yearsMax);
    return years.flatMap((year) => {
      const folder = join(this.#directory, String(year));
      return listSegments(this.#disk, folder).map((segment) => ({ folder, segment }));
    });
  }

  /** Place of the last segment that began before a time; the first where none did. */
  #lastBefore(segments: readonly PlacedSegment[], at: number): number {
    return lastBefore(segments.length, at, (place) => {
      const segment = segments[place]?.segment;
      return segment === undefined ? null : this.#beginning(segment);
    });
  }

  /** When the first leaf of a segment was made; never, while it has none. */
  #beginning(segment: SegmentFile): number {
    const known = this.#beginnings.get(segment.path);
    if (known !== undefined) return known;
    const at = timeOfSegment(this.#disk, segment);
    if (at === null) return Number.POSITIVE_INFINITY;
    if (this.#beginnings.size >= beginningsMax) this.#beginnings.clear();
    this.#beginnings.set(segment.path, at);
    return at;
  }

  /** The index of a segment that has no file of it yet, continued from where it was left. */
  #grow({ first, path }: SegmentFile): GrowingIndex {
    const grown = this.#grown.get(path) ?? { index: new GrowingIndex(), offset: segmentHeaderBytes, next: first };
    this.#grown.delete(path);
    this.#grown.set(path, grown);
    for (const oldest of this.#grown.keys()) {
      if (this.#grown.size <= grownMax) break;
      this.#grown.delete(oldest);
    }
    const file = this.#disk.open(path, "read");
    try {
      readOn(file, grown);
    } finally {
      file.close();
    }
    return grown.index;
  }
}

/** Takes up whole frames from where it was left to where no more are: at the file's end, at room, or at a frame that is being written. */
function readOn(file: DiskFile, grown: Grown): void {
  for (let length = windowBytesMin; ; ) {
    const bytes = file.read(grown.offset, length);
    const at = grown.offset;
    const range = { at: 0, end: bytes.length, first: grown.next };
    const { end, next, room } = scanFrames(bytes, range, ({ span }) => {
      grown.index.add(at + span.at, headOf(bytes, span.leafAt, span.leafEnd)?.id ?? null);
    });
    grown.offset += end;
    grown.next = next;
    if (room > 0 || bytes.length < length) return;
    const isCut = bytes.length - end < frameHeaderBytes;
    const frame = isCut ? null : readFrameHeader(bytes, end);
    if (typeof frame === "string" || (frame !== null && frame.end <= bytes.length)) return;
    length = Math.max(Math.min(2 * length, windowBytesMax), frame === null ? 0 : frame.end - frame.at);
  }
}
