// Promises the files of one write-ahead log in order, and what they hold. Trusts nothing it reads without its checksum.
// Specified in docs/formats/leaf.md "On disk".
import { basename, dirname, join } from "node:path";
import { peekLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { LogFault, SyncFault } from "./fault.ts";
import {
  type EntrySpan,
  frameBehind,
  isRoom,
  newSpan,
  readEntrySpan,
  readFrame,
  readSegmentHeader,
  segmentHeaderBytes,
} from "./segment.ts";
import { GrowingIndex } from "./segment-index.ts";

/** The head of a leaf is at most this long: version, type and id. */
const leafHeadBytes = 192;

/** Type and id of the leaf at [from, to). */
export function headOf(bytes: Buffer, from: number, to: number) {
  return peekLeaf(bytes.toString("latin1", from, Math.min(to, from + leafHeadBytes)));
}

export interface SegmentFile {
  readonly first: number;
  readonly path: string;
  readonly indexPath: string;
}

export function segmentFile(directory: string, first: number): SegmentFile {
  const path = join(directory, "wal", String(first).padStart(16, "0"));
  return { first, path: `${path}.wal`, indexPath: `${path}.idx` };
}

/** Segments of an origin's folder, oldest first. */
export function listSegments(disk: Disk, directory: string): SegmentFile[] {
  return disk
    .list(join(directory, "wal"))
    .filter((name) => /^[0-9]{16}\.wal$/.test(name))
    .map((name) => segmentFile(directory, Number(name.slice(0, 16))));
}

export function missingSegment(segment: SegmentFile, due: number): LogFault {
  return new LogFault(
    "log-corrupt",
    `${segment.path} stands where leaf ${due} is due: a segment is missing; restore it from the backup or archive`,
  );
}

/** Makes what was written to a segment durable. Throws SyncFault: whatever the reason, the log cannot go on. */
export function syncOrEnd(file: DiskFile, path: string): void {
  try {
    file.sync();
  } catch (error) {
    throw new SyncFault(path, error);
  }
}

/** A new segment with its header, durable; on a full disk nothing of it stays behind, also not after a crash. */
export function beginSegmentFile(disk: Disk, segment: SegmentFile, header: Uint8Array): DiskFile {
  const { path } = segment;
  const file = disk.open(path, "write");
  try {
    file.truncate(0);
    file.write(0, header);
  } catch (error) {
    file.close();
    dropSegmentFile(disk, segment);
    throw error;
  }
  syncOrEnd(file, path);
  syncDirectoryOrEnd(disk, dirname(path));
  return file;
}

/** Removes a segment that holds nothing. */
export function dropSegmentFile(disk: Disk, { path }: SegmentFile): void {
  disk.unlink(path);
  syncDirectoryOrEnd(disk, dirname(path));
}

/** An index that was written of a segment which then went on: it would miss what follows, or be torn where its sync never came. */
export function dropIndexFile(disk: Disk, { indexPath }: SegmentFile): void {
  if (!disk.list(dirname(indexPath)).includes(basename(indexPath))) return;
  disk.unlink(indexPath);
  syncDirectoryOrEnd(disk, dirname(indexPath));
}

function syncDirectoryOrEnd(disk: Disk, path: string): void {
  try {
    disk.syncDirectory(path);
  } catch (error) {
    throw new SyncFault(path, error);
  }
}

/** A segment file that was read. */
export interface SegmentContent {
  readonly bytes: Buffer;
  readonly segment: SegmentFile;
  readonly origin: string;
}

export interface ScannedEntry {
  readonly bytes: Buffer;
  readonly span: EntrySpan;
  readonly index: number;
}

export interface ScanEnd {
  /** Index after the last leaf of a whole frame. */
  readonly next: number;
  /** Offset after the last whole frame. */
  readonly end: number;
  /** Why what follows is no frame; null when the segment ends there, or only room follows. */
  readonly bad: string | null;
  /** Bytes of room behind the last frame. Only the last segment of a log that is being written, or was when the power went, has some. */
  readonly room: number;
}

/** Why the header of a segment is not the one it must have; null when it is. */
export function headerFault({ bytes, segment, origin }: SegmentContent): string | null {
  const header = readSegmentHeader(bytes, origin);
  if (typeof header === "string") return header;
  return header === segment.first ? null : "the segment header names another first leaf than the file";
}

/** Visits every entry of every whole frame, in order. The span is reused between calls. */
export function scanSegment(content: SegmentContent, visit: (entry: ScannedEntry) => void): ScanEnd {
  const { bytes, segment } = content;
  const fault = headerFault(content);
  if (fault !== null) return { next: segment.first, end: 0, bad: fault, room: 0 };
  return scanFrames(bytes, { at: segmentHeaderBytes, end: bytes.length, first: segment.first }, visit);
}

/** Whole frames of a segment: the first begins at `at` with leaf `first`, the last ends at `end`. */
export interface FrameRange {
  readonly at: number;
  readonly end: number;
  readonly first: number;
}

/** Visits every entry of every whole frame of a range, in order. The span is reused between calls. */
export function scanFrames(bytes: Buffer, range: FrameRange, visit: (entry: ScannedEntry) => void): ScanEnd {
  const span = newSpan(0, 0);
  let index = range.first;
  let at = range.at;
  while (at < range.end) {
    const frame = readFrame(bytes, at, index);
    if (typeof frame === "string") return scanEnd(bytes, { next: index, end: at, bad: frame });
    span.end = frame.entriesAt;
    span.limit = frame.end;
    for (let i = 0; i < frame.count; i++, index++) {
      readEntrySpan(bytes, span.end, span);
      visit({ bytes, span, index });
    }
    at = frame.end;
  }
  return { next: index, end: at, bad: null, room: 0 };
}

/** Where no frame follows: room, or what is none. */
function scanEnd(bytes: Buffer, found: { readonly next: number; readonly end: number; readonly bad: string }): ScanEnd {
  if (!isRoom(bytes, found.end)) return { ...found, room: 0 };
  return { ...found, bad: null, room: bytes.length - found.end };
}

/** Why a segment that another one follows does not end as it must; null when it does. */
export function endFault({ bad, room }: ScanEnd): string | null {
  return bad ?? (room > 0 ? `${room} zeros stand behind its last frame, though another segment follows` : null);
}

/** Like `scanSegment`, but a bad frame is a fault unless it is what an interrupted write leaves at the very end of the last segment. */
export function scanForStart(
  content: SegmentContent,
  rules: { readonly last: boolean },
  visit: (entry: ScannedEntry) => void,
): ScanEnd {
  const { bytes, segment } = content;
  const end = scanSegment(content, visit);
  const fault = rules.last ? end.bad : endFault(end);
  if (fault === null) return end;
  // Behind a bad header even the segment's own first frame counts; behind a bad frame only those after it.
  const behind = frameBehind(bytes, end.end, end.end === 0 ? end.next - 1 : end.next);
  if (!rules.last || behind !== null) {
    throw new LogFault(
      "log-corrupt",
      `${segment.path} is damaged at byte ${end.end} (leaf ${end.next}): ${fault}${behind === null ? "" : `, and a whole frame follows at byte ${behind}`}. ` +
        "This is not an interrupted write, so nothing was cut. Run `sallyport audit verify` on a copy and restore this file from the backup or archive",
    );
  }
  return end;
}

/** The index of a whole segment's bytes. */
export function indexSegment(content: SegmentContent): GrowingIndex {
  const index = new GrowingIndex();
  scanSegment(content, ({ bytes, span }) => index.add(span.at, headOf(bytes, span.leafAt, span.leafEnd)?.id ?? null));
  return index;
}
