// Promises the records of one origin in order, frame by frame, each frame checked, with a bounded piece of file in memory; remembers its place.
// Trusts nothing it reads without its checksum. Specified in docs/formats/leaf.md "On disk".
import { join } from "node:path";
import type { Disk } from "./disk.ts";
import { LogFault } from "./fault.ts";
import type { FoundRecord } from "./port.ts";
import {
  type EntrySpan,
  type Frame,
  frameHeaderBytes,
  isOwner,
  newSpan,
  readEntrySpan,
  readFrame,
  readFrameHeader,
  readSegmentHeader,
  segmentHeaderBytes,
} from "./segment.ts";
import { listSegments, type SegmentFile } from "./segments.ts";

/** Read from a file at once; a frame that is larger is read whole. */
const windowBytes = 262_144;
/** Places remembered lie at least this far apart in a segment. */
const markBytes = 1_048_576;
/** Places remembered of one origin: 64 GiB of log. Beyond it they are gathered anew. */
const marksMax = 65_536;
const nothing = Buffer.alloc(0);

export interface WalkedOrigin {
  readonly disk: Disk;
  /** The origin's own folder. */
  readonly directory: string;
  readonly origin: string;
}

/** Where frames begin, so that a walk to an index need not begin at its segment's start. */
export class FrameMarks {
  readonly #bySegment = new Map<number, { readonly first: number; readonly at: number }[]>();
  #count = 0;

  add(segment: SegmentFile, first: number, at: number): void {
    const marks = this.#bySegment.get(segment.first) ?? [];
    if (at - (marks.at(-1)?.at ?? 0) < markBytes) return;
    if (this.#count >= marksMax) this.clear();
    marks.push({ first, at });
    this.#bySegment.set(segment.first, marks);
    this.#count += 1;
  }

  /** The last known frame of a segment that begins at or before `index`. */
  before(segment: SegmentFile, index: number): { readonly first: number; readonly at: number } {
    const mark = this.#bySegment.get(segment.first)?.findLast(({ first }) => first <= index);
    return mark ?? { first: segment.first, at: segmentHeaderBytes };
  }

  clear(): void {
    this.#bySegment.clear();
    this.#count = 0;
  }
}

/** How much `take` may give. */
export interface Portion {
  /** Index after the last record that may be read. */
  readonly until: number;
  readonly recordsMax: number;
  /** At least one record is given, whatever its size. */
  readonly bytesMax: number;
}

export class SegmentWalk {
  readonly #at: WalkedOrigin;
  readonly #marks: FrameMarks;
  #segment: SegmentFile | null = null;
  /** Offset of the next frame in the segment, and the leaf it must begin with. */
  #offset = 0;
  #due = 0;
  #window: Buffer = nothing;
  /** Offset in the segment of the window's first byte. */
  #windowAt = 0;
  /** Records up to here may be read: at this call, and when the window was read. What lay behind may have been cut and written anew since. */
  #until = 0;
  #windowUntil = 0;
  /** The frame that is being gone through, and the entry last read of it; places in the window. */
  #frame: Frame | null = null;
  /** What the frame holds, copied once for all its records: the window goes on. */
  #entries: Uint8Array = nothing;
  #span: EntrySpan = newSpan(0, 0);
  /** The last reference in this frame that an entry stores itself. */
  #reference: Uint8Array | null = null;
  /** Index of the next record. */
  next: number;

  constructor(at: WalkedOrigin, marks: FrameMarks, from: number) {
    this.#at = at;
    this.#marks = marks;
    this.next = from;
  }

  /**
   * The next records; none at or beyond `until`, which a checkpoint must cover.
   * Throws LogFault `log-corrupt` naming the file; the walk must not be used after that.
   */
  take({ until, recordsMax, bytesMax }: Portion): FoundRecord[] {
    this.#until = until;
    const records: FoundRecord[] = [];
    let bytes = 0;
    while (this.next < until && records.length < recordsMax && (bytes < bytesMax || records.length === 0)) {
      const record = this.#record(this.#frame ?? this.#enterFrame());
      bytes += record.leaf.length + (record.reference?.length ?? 0);
      records.push(record);
    }
    // A follower that is up with the log holds no memory while it waits.
    if (this.next >= until && this.#frame === null) this.#window = nothing;
    return records;
  }

  #record(frame: Frame): FoundRecord {
    this.#step();
    const { leafAt, leafEnd, holderAt } = this.#span;
    const leaf = this.#entries.subarray(leafAt - frame.entriesAt, leafEnd - frame.entriesAt);
    // What shares a reference shares the last one before it: readFrame has checked that.
    const reference = isOwner(this.#span) || holderAt !== -1 ? this.#reference : null;
    const record = { index: this.next, leaf, reference };
    this.next += 1;
    if (this.next === frame.first + frame.count) this.#pass(frame);
    return record;
  }

  /** Goes to the next entry of the frame. */
  #step(): void {
    readEntrySpan(this.#window, this.#span.end, this.#span);
    const { leafEnd, end } = this.#span;
    if (isOwner(this.#span)) this.#reference = new Uint8Array(this.#window.subarray(leafEnd, end));
  }

  /** Leaves a frame behind. */
  #pass(frame: Frame): void {
    this.#offset += frame.end - frame.at;
    this.#due = frame.first + frame.count;
    this.#frame = null;
    this.#entries = nothing;
    this.#reference = null;
  }

  /** Comes to the frame that holds `next`, checks it, and goes to the entry before `next`. */
  #enterFrame(): Frame {
    if (this.#segment === null) this.#find();
    for (let header = this.#header(); header === null || header.first + header.count <= this.next; ) {
      if (header === null) this.#nextSegment();
      else this.#pass(header);
      header = this.#header();
    }
    const frame = this.#whole();
    this.#frame = frame;
    this.#entries = new Uint8Array(this.#window.subarray(frame.entriesAt, frame.end));
    this.#span = newSpan(frame.entriesAt, frame.end);
    for (let index = frame.first; index < this.next; index++) this.#step();
    return frame;
  }

  #find(): void {
    const segment = listSegments(this.#at.disk, this.#at.directory).findLast(({ first }) => first <= this.next);
    if (segment === undefined) throw this.#missing();
    this.#open(segment);
    const mark = this.#marks.before(segment, this.next);
    this.#offset = mark.at;
    this.#due = mark.first;
  }

  #nextSegment(): void {
    const segment = listSegments(this.#at.disk, this.#at.directory).find(({ first }) => first === this.#due);
    if (segment === undefined || segment.first === this.#segment?.first) throw this.#missing();
    this.#open(segment);
  }

  #open(segment: SegmentFile): void {
    this.#segment = segment;
    this.#window = nothing;
    const at = this.#load(0, segmentHeaderBytes);
    const found = readSegmentHeader(this.#window.subarray(at), this.#at.origin);
    if (typeof found === "string") throw corrupt(segment.path, found);
    if (found !== segment.first) throw corrupt(segment.path, "its header names another first leaf than its name");
    this.#offset = segmentHeaderBytes;
    this.#due = segment.first;
  }

  /** The header of the frame at the present offset, places in the window, without its checksum being looked at; null at the segment's end. */
  #header(): Frame | null {
    const at = this.#load(this.#offset, frameHeaderBytes);
    if (at === this.#window.length) return null;
    const header = readFrameHeader(this.#window, at);
    if (typeof header === "string") throw this.#damaged(header);
    if (header.first !== this.#due)
      throw this.#damaged(`the frame begins with leaf ${header.first} where ${this.#due} is due`);
    if (this.#segment !== null) this.#marks.add(this.#segment, this.#due, this.#offset);
    return header;
  }

  /** The frame at the present offset, whole and checked. */
  #whole(): Frame {
    const header = this.#header();
    const at = this.#load(this.#offset, header === null ? 0 : header.end - header.at);
    const frame = readFrame(this.#window, at, this.#due);
    if (typeof frame === "string") throw this.#damaged(frame);
    return frame;
  }

  /** Sees to it that `length` bytes of the segment from `offset` are in the window, fewer at the end of the file; returns where in the window. */
  #load(offset: number, length: number): number {
    const from = offset - this.#windowAt;
    const isCovered = this.#due < this.#windowUntil;
    if (isCovered && from >= 0 && from + length <= this.#window.length) return from;
    const file = this.#at.disk.open(this.#segment?.path ?? "", "read");
    try {
      this.#window = file.read(offset, Math.max(length, windowBytes));
      this.#windowAt = offset;
      this.#windowUntil = this.#until;
    } finally {
      file.close();
    }
    return 0;
  }

  #damaged(why: string): LogFault {
    return corrupt(this.#segment?.path ?? this.#at.directory, `${why} (byte ${this.#offset}, leaf ${this.#due})`);
  }

  #missing(): LogFault {
    const path = this.#segment?.path ?? join(this.#at.directory, "wal");
    return corrupt(path, `leaf ${this.#due} should follow here: a checkpoint was signed over it`);
  }
}

function corrupt(path: string, why: string): LogFault {
  return new LogFault(
    "log-corrupt",
    `${path}: ${why}; restore it from the backup or archive: \`sallyport audit verify\` on a copy says more`,
  );
}
