// Promises whole, checked frames of a log as segments of any wanted size, the same bytes for the same cut, without holding up the event loop.
// Trusts nothing it reads without its checksum. Specified in docs/formats/leaf.md "On disk".
import { setImmediate as turn } from "node:timers/promises";
import type { Disk, DiskFile } from "../log/disk.ts";
import { LogFault } from "../log/fault.ts";
import {
  frameHeaderBytes,
  printSegmentHeader,
  readFrame,
  readSegmentHeader,
  segmentHeaderBytes,
} from "../log/segment.ts";
import { listSegments, type SegmentFile } from "../log/segments.ts";

/** A segment of an archive: leaves `first` to `next`, without it. */
export interface Cut {
  readonly first: number;
  readonly next: number;
  readonly bytes: Uint8Array;
}

export interface CutRules {
  /** No frame beyond this leaf; a frame must end there. */
  readonly until: number;
  /** No further frame once it has this many bytes. */
  readonly bytesMax: number;
}

/** Read between two turns of the event loop. */
const turnBytes = 1_048_576;

export class FrameReader {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #origin: string;
  /** Where the frame that begins with `leaf` lies. */
  #place: { readonly segment: SegmentFile; readonly leaf: number; readonly at: number } | null = null;

  /** `directory`: the folder of the tree's year. */
  constructor(disk: Disk, directory: string, origin: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#origin = origin;
  }

  /** Frames from leaf `first` on. Rejects with LogFault `log-corrupt` where none begins or ends as it must, or one is damaged. */
  async cut(first: number, { until, bytesMax }: CutRules): Promise<Cut> {
    const pieces: Uint8Array[] = [printSegmentHeader(first, this.#origin)];
    let length = segmentHeaderBytes;
    let next = first;
    let sinceTurn = 0;
    while (next < until && length < bytesMax) {
      const { segment, at } = this.#find(next);
      const frames = this.#read(segment, { at, next, until, room: Math.min(bytesMax - length, turnBytes) });
      pieces.push(...frames.pieces);
      length += frames.length;
      sinceTurn += frames.length;
      next = frames.next;
      this.#place = { segment, leaf: next, at: frames.end };
      if (sinceTurn >= turnBytes) {
        sinceTurn = 0;
        await turn();
      }
    }
    return { first, next, bytes: new Uint8Array(Buffer.concat(pieces)) };
  }

  /** Where the frame of this leaf begins: known from the last cut, or found by the lengths of those before it. */
  #find(leaf: number): { readonly segment: SegmentFile; readonly at: number } {
    const segments = listSegments(this.#disk, this.#directory);
    const segment = segments.findLast((one) => one.first <= leaf);
    if (segment === undefined) throw this.#corrupt(`${this.#directory}/wal has no segment with leaf ${leaf}`);
    const place = this.#place;
    if (place?.leaf === leaf && place.segment.first === segment.first) return { segment, at: place.at };
    return this.#opened(segment, (file) => {
      const header = readSegmentHeader(file.read(0, segmentHeaderBytes), this.#origin);
      if (header !== segment.first)
        throw this.#corrupt(`${segment.path}: ${typeof header === "string" ? header : "another first leaf"}`);
      let at = segmentHeaderBytes;
      let next = segment.first;
      const end = file.size();
      while (next < leaf && at + frameHeaderBytes <= end) {
        const head = file.read(at, frameHeaderBytes);
        at += 8 + head.readUInt32BE(0);
        next += head.readUInt32BE(16);
      }
      if (next !== leaf) throw this.#corrupt(`${segment.path} has no frame that begins with leaf ${leaf}`);
      return { segment, at };
    });
  }

  #read(
    segment: SegmentFile,
    from: { readonly at: number; readonly next: number; readonly until: number; readonly room: number },
  ): { readonly pieces: readonly Uint8Array[]; readonly length: number; readonly next: number; readonly end: number } {
    return this.#opened(segment, (file) => {
      const pieces: Uint8Array[] = [];
      let { at, next } = from;
      let length = 0;
      const end = file.size();
      while (next < from.until && length < from.room && at + frameHeaderBytes <= end) {
        const bytes = file.read(at, 8 + file.read(at, 4).readUInt32BE(0));
        const frame = readFrame(bytes, 0, next);
        if (typeof frame === "string") throw this.#corrupt(`${segment.path} at byte ${at}: ${frame}`);
        pieces.push(Uint8Array.from(bytes));
        length += bytes.length;
        at += bytes.length;
        next += frame.count;
      }
      if (next > from.until)
        throw this.#corrupt(`${segment.path}: no frame ends at leaf ${from.until}, which a checkpoint was signed over`);
      if (pieces.length === 0)
        throw this.#corrupt(`${segment.path} ends at leaf ${next}, but ${from.until} were signed for`);
      return { pieces, length, next, end: at };
    });
  }

  #opened<T>(segment: SegmentFile, use: (file: DiskFile) => T): T {
    const file = this.#disk.open(segment.path, "read");
    try {
      return use(file);
    } finally {
      file.close();
    }
  }

  #corrupt(text: string): LogFault {
    return new LogFault("log-corrupt", `${text}; sallyport audit verify says more`);
  }
}
