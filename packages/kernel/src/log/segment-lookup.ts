// Promises where an event lies in a write-ahead log, and its record. A hit is believed only once the leaf itself carries the id.
// Trusts the checksums of index files, and that a frame was checked when it was written or the log opened. Specified in docs/formats/leaf.md "On disk".
import { join } from "node:path";
import { type Disk, type DiskFile, readWhole } from "./disk.ts";
import type { FoundRecord } from "./port.ts";
import { entryHeaderBytes, readReferenceField } from "./segment.ts";
import { openIndex, type SegmentIndex } from "./segment-index.ts";
import { headOf, indexSegment, listSegments, type SegmentFile } from "./segments.ts";

/** Runs `use` with the index of a segment that is not growing: its file, or a scan where the file is absent, damaged or not one. */
function withIndex<T>(
  { disk, origin, growing, sound, unindexed }: SegmentSearch,
  segment: SegmentFile,
  use: (index: SegmentIndex) => T,
): T {
  if (growing?.first === segment.first) return use(growing.index);
  const { first, indexPath } = segment;
  if (disk.list(join(indexPath, "..")).includes(indexPath.slice(-20))) {
    const file = disk.open(indexPath, "read");
    try {
      const index = openIndex(file, first, { isSound: sound?.has(indexPath) === true });
      if (index !== null) sound?.add(indexPath);
      if (index !== null) return use(index);
    } finally {
      file.close();
    }
  }
  const made = unindexed?.(segment);
  return use(made ?? indexSegment({ bytes: readWhole(disk, segment.path) ?? Buffer.alloc(0), segment, origin }));
}

function readRecord(
  disk: Disk,
  segment: SegmentFile,
  place: { readonly offset: number; readonly index: number },
): FoundRecord {
  const file = disk.open(segment.path, "read");
  try {
    const { leaf, reference, back } = readEntry(file, place.offset);
    const shared = back === 0 ? null : readEntry(file, place.offset - back).reference;
    return { index: place.index, leaf, reference: reference ?? shared };
  } finally {
    file.close();
  }
}

/** The entry whose header is at `at`. Its frame was checked when it was written or when the log was opened. */
function readEntry(file: DiskFile, at: number) {
  const header = file.read(at, entryHeaderBytes);
  const leafLength = header.readUInt16BE(0);
  const { length, back } = readReferenceField(header, 0);
  const body = file.read(at + entryHeaderBytes, leafLength + length);
  const reference = length === 0 ? null : new Uint8Array(body.subarray(leafLength));
  return { leaf: new Uint8Array(body.subarray(0, leafLength)), reference, back };
}

/** Records asked for at once are at most this many. */
const foundMax = 1_024;

export interface SegmentSearch {
  readonly disk: Disk;
  readonly directory: string;
  readonly origin: string;
  /** The segment that is being written, and its index. */
  readonly growing?: { readonly first: number; readonly index: SegmentIndex };
  /** Index files whose checksum was seen to hold, which are not read whole again; added to. Absent: each is read whole, each time. */
  readonly sound?: Set<string>;
  /** The index of a segment that has no file of it; absent: the segment is read whole for one, each time. */
  readonly unindexed?: (segment: SegmentFile) => SegmentIndex;
}

/** All records of an origin whose leaf carries the id, in order, at most 1,024. */
export function findInSegments(search: SegmentSearch, id: string): FoundRecord[] {
  const found: FoundRecord[] = [];
  for (const segment of listSegments(search.disk, search.directory)) {
    found.push(...recordsInSegment(search, segment, id).slice(0, foundMax - found.length));
  }
  return found;
}

/** All records of one segment whose leaf carries the id, in order, at most 1,024. */
export function recordsInSegment(search: SegmentSearch, segment: SegmentFile, id: string): FoundRecord[] {
  return withIndex(search, segment, (index) => {
    const found: FoundRecord[] = [];
    for (const relative of index.candidates(id)) {
      const place = { offset: index.offsetOf(relative), index: segment.first + relative };
      const record = readRecord(search.disk, segment, place);
      const leaf = Buffer.from(record.leaf);
      if (headOf(leaf, 0, leaf.length)?.id === id && found.length < foundMax) found.push(record);
    }
    return found;
  });
}

/** The record at an index of an origin, or null beyond its end. */
export function recordAt(search: SegmentSearch, index: number): FoundRecord | null {
  const segment = listSegments(search.disk, search.directory).findLast((candidate) => candidate.first <= index);
  if (segment === undefined) return null;
  return withIndex(search, segment, (found) => {
    const relative = index - segment.first;
    return relative < found.count
      ? readRecord(search.disk, segment, { offset: found.offsetOf(relative), index })
      : null;
  });
}
