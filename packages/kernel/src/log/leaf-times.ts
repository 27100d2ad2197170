// Promises where in an origin the leaves of a time begin and end, as the node's clock had it, without reading what lies far from it.
// Trusts the `at` of leaves to go back by no more than a clock is set back; who reads says which leaves it took. Specified in docs/audit.md "A part of a log".
import type { Disk } from "./disk.ts";
import { entryHeaderBytes, frameHeaderBytes, segmentHeaderBytes } from "./segment.ts";
import { FrameMarks, SegmentWalk, type WalkedOrigin } from "./segment-walk.ts";
import { listSegments, type SegmentFile } from "./segments.ts";

/** The head of a leaf, up to its time, is at most this long. */
const leafHeadBytes = 512;
const takenAtOnce = 2_048;
const takenBytesMax = 8_388_608;

/** Milliseconds since the epoch at which a leaf was made; null for what is no leaf. */
export function timeOfLeaf(text: string): number | null {
  const at = /,"at":([0-9]{1,15}),/.exec(text.slice(0, leafHeadBytes))?.[1];
  return at === undefined ? null : Number(at);
}

/** The same of a segment's first leaf; null while it has none. */
export function timeOfSegment(disk: Disk, { path }: SegmentFile): number | null {
  const file = disk.open(path, "read");
  try {
    const bytes = file.read(segmentHeaderBytes + frameHeaderBytes + entryHeaderBytes, leafHeadBytes);
    return timeOfLeaf(bytes.toString("latin1"));
  } finally {
    file.close();
  }
}

/** Place of the last of `count` things whose time is before `at`, by bisection; 0 where none is. */
export function lastBefore(count: number, at: number, timeOf: (place: number) => number | null): number {
  let from = 0;
  for (let to = count - 1; from < to; ) {
    const middle = Math.ceil((from + to) / 2);
    if ((timeOf(middle) ?? Number.POSITIVE_INFINITY) < at) from = middle;
    else to = middle - 1;
  }
  return from;
}

/** Index of the first leaf of a time at or behind `at`; `size`: where none of the leaves before that is. Throws LogFault `log-corrupt`. */
export function firstLeafFrom(origin: WalkedOrigin, at: number, size: number): number {
  return search(origin, at, size, (time, index) => (time >= at ? index : null)) ?? size;
}

/** Index behind the last leaf of a time before `at`; 0 where there is none. */
export function endOfLeavesBefore(origin: WalkedOrigin, at: number, size: number): number {
  let end = 0;
  search(origin, at, size, (time, index) => {
    if (time < at) end = index + 1;
    return null;
  });
  return end;
}

/** Goes through the segment in which the time `at` begins, and the next, until a leaf is the answer. */
function search(
  origin: WalkedOrigin,
  at: number,
  size: number,
  judge: (time: number, index: number) => number | null,
): number | null {
  const segments = listSegments(origin.disk, origin.directory).filter(({ first }) => first < size);
  const place = lastBefore(segments.length, at, (i) => timeOfSegment(origin.disk, segments[i] as SegmentFile));
  const begin = segments[place]?.first ?? size;
  const until = Math.min(size, segments[place + 2]?.first ?? size);
  const walk = new SegmentWalk(origin, new FrameMarks(), begin);
  while (walk.next < until) {
    for (const { index, leaf } of walk.take({ until, recordsMax: takenAtOnce, bytesMax: takenBytesMax })) {
      const found = judge(timeOfLeaf(Buffer.from(leaf).toString("latin1")) ?? 0, index);
      if (found !== null) return found;
    }
  }
  return null;
}
