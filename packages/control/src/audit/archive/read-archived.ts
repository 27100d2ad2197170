// Promises what the segments of an archived origin hold, read once at its opening: where whole frames end, their Merkle state, and the place that
// the newest checkpoint covers. Trusts no frame without its checksum. Formats: docs/formats/leaf.md "On disk".
import { setImmediate as breathe } from "node:timers/promises";
import { type Disk, readWhole } from "@sallyport/kernel/log/disk.ts";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import {
  type Frame,
  newSpan,
  readEntrySpan,
  readFrame,
  readSegmentHeader,
  segmentHeaderBytes,
} from "@sallyport/kernel/log/segment.ts";
import { listSegments, type SegmentFile } from "@sallyport/kernel/log/segments.ts";
import { Frontier, leafHasher } from "@sallyport/protocol/audit/merkle.ts";
import { copyFrontier } from "./frontier-file.ts";

/** Where frames end. */
export interface FramePlace {
  readonly segment: SegmentFile | null;
  readonly position: number;
  /** Leaves before it. */
  readonly size: number;
}

export const nowhere: FramePlace = { segment: null, position: 0, size: 0 };

export interface ReadOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly origin: string;
  /** Leaves of the newest checkpoint; 0: there is none. */
  readonly signed: number;
  /** The Merkle state at that size, when it is known: then only what follows is hashed. */
  readonly known: Frontier | null;
}

export interface ReadOrigin {
  readonly end: FramePlace;
  readonly frontier: Frontier;
  /** At the size of the checkpoint. */
  readonly proven: { readonly place: FramePlace; readonly frontier: Frontier };
  /** Behind the last whole frame lies something else: what an interrupted write left. */
  readonly isTorn: boolean;
}

/** Reads segments one at a time, and lets others run in between. Throws LogFault `log-corrupt` when what the checkpoint covers is not whole. */
export async function readArchived(options: ReadOptions): Promise<ReadOrigin> {
  const reading = new Reading(options);
  const segments = listSegments(options.disk, options.directory);
  const from = Math.max(
    0,
    segments.findLastIndex(({ first }) => first < (options.known?.size ?? 0)),
  );
  for (const segment of segments.slice(from)) {
    if (!reading.take(segment)) break;
    await breathe();
  }
  return reading.result();
}

class Reading {
  readonly #options: ReadOptions;
  readonly #hash = leafHasher(sha256);
  readonly #frontier: Frontier;
  #end: FramePlace = nowhere;
  #proven: ReadOrigin["proven"] | null;
  #begun = false;
  #isTorn = false;

  constructor(options: ReadOptions) {
    this.#options = options;
    this.#frontier = options.known === null ? new Frontier(sha256) : copyFrontier(options.known);
    this.#proven = options.signed === 0 ? { place: nowhere, frontier: new Frontier(sha256) } : null;
  }

  /** False: nothing behind this segment can be read. */
  take(segment: SegmentFile): boolean {
    const { disk, origin } = this.#options;
    const isFirst = !this.#begun;
    this.#begun = true;
    const bytes = readWhole(disk, segment.path) ?? Buffer.alloc(0);
    const first = readSegmentHeader(bytes, origin);
    if (typeof first === "string") return this.#stop(segment, first);
    if (first !== segment.first || (!isFirst && first !== this.#end.size) || (isFirst && this.#skips(first)))
      return this.#stop(segment, `it begins with leaf ${first}: a segment is missing`);
    this.#end = { segment, position: segmentHeaderBytes, size: first };
    while (this.#end.position < bytes.length) {
      const frame = readFrame(bytes, this.#end.position, this.#end.size);
      if (typeof frame === "string") return this.#stop(segment, `${frame} (byte ${this.#end.position})`);
      this.#frame(bytes, frame, segment);
    }
    return true;
  }

  #skips(first: number): boolean {
    return first > 0 && (this.#options.known === null || first >= this.#options.known.size);
  }

  #frame(bytes: Buffer, frame: Frame, segment: SegmentFile): void {
    const size = frame.first + frame.count;
    if (size > this.#frontier.size) this.#hashEntries(bytes, frame);
    this.#end = { segment, position: frame.end, size };
    if (size === this.#options.signed) this.#proven = { place: this.#end, frontier: copyFrontier(this.#frontier) };
  }

  #hashEntries(bytes: Buffer, frame: Frame): void {
    const span = newSpan(frame.entriesAt, frame.end);
    for (let i = 0; i < frame.count; i++) {
      readEntrySpan(bytes, span.end, span);
      this.#frontier.push(this.#hash(bytes.subarray(span.leafAt, span.leafEnd)));
    }
  }

  /** What no checkpoint covers may be torn; what one covers may not. */
  #stop(segment: SegmentFile, why: string): false {
    if (this.#proven === null) throw damaged(segment.path, why);
    this.#isTorn = true;
    return false;
  }

  result(): ReadOrigin {
    const { directory, signed } = this.#options;
    if (this.#proven === null) throw damaged(directory, `the ${signed} leaves of its checkpoint are not all there`);
    return { end: this.#end, frontier: this.#frontier, proven: this.#proven, isTorn: this.#isTorn };
  }
}

function damaged(path: string, why: string): LogFault {
  return new LogFault(
    "log-corrupt",
    `${path} in the archive is damaged: ${why}; restore it from a copy of the archive (sallyport audit verify says more)`,
  );
}
