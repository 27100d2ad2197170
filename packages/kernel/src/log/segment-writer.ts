// Promises that a frame is durable after exactly one sync of its segment, which mostly finds the file no longer than before: room is made in advance,
// because a sync that has to record a new size costs a file system several times as much. Trusts the disk port's sync.
// Specified in docs/formats/leaf.md "On disk".
import { type Disk, type DiskFile, errorCode } from "./disk.ts";
import { segmentHeaderBytes } from "./segment.ts";
import { beginSegmentFile, dropIndexFile, type ScanEnd, type SegmentFile, syncOrEnd } from "./segments.ts";

/** As much room as the segment is long, within these bounds: a small log stays small. */
const roomBytesMin = 4_096;
const roomBytesMax = 1_048_576;
const zeros = Buffer.alloc(roomBytesMax);
/** Behind a longer frame none is made: its own bytes are what the sync costs. */
const roomyFrameBytesMax = roomBytesMax / 4;

export class SegmentWriter {
  readonly #file: DiskFile;
  readonly #path: string;
  /** Where the next frame begins. */
  #position: number;
  /** The file is so long; zeros from `#position` on. */
  #roomEnd: number;
  /** A write or a sync failed: the file is left as it is. */
  #hasFailed = false;

  private constructor(file: DiskFile, path: string, position: number) {
    this.#file = file;
    this.#path = path;
    this.#position = position;
    this.#roomEnd = position;
  }

  /** A new segment with its header, durable. Throws what the disk throws, and then nothing of it stays behind. */
  static begin(disk: Disk, segment: SegmentFile, header: Uint8Array): SegmentWriter {
    return new SegmentWriter(beginSegmentFile(disk, segment, header), segment.path, segmentHeaderBytes);
  }

  /** Goes on behind the last whole frame, and cuts what stands behind it: room, or what an interrupted write left. */
  static goOn(disk: Disk, segment: SegmentFile, { end, bad, room }: ScanEnd): SegmentWriter {
    dropIndexFile(disk, segment);
    const writer = new SegmentWriter(disk.open(segment.path, "write"), segment.path, end);
    if (bad !== null || room > 0) writer.#cut();
    return writer;
  }

  /** Bytes of header and frames. */
  get position(): number {
    return this.#position;
  }

  /** Appends a frame with exactly one sync. Throws what the disk throws: the frame is not there then. */
  append(frame: Uint8Array): void {
    const end = this.#position + frame.length;
    try {
      this.#file.write(this.#position, frame);
      if (end > this.#roomEnd) this.#makeRoom(end, frame.length);
    } catch (error) {
      // Nothing of this batch was acknowledged; what a full disk let through must not stay behind as half a frame.
      this.#cut();
      throw error;
    }
    this.#sync();
    this.#position = end;
  }

  #makeRoom(end: number, frameBytes: number): void {
    this.#roomEnd = end;
    if (frameBytes > roomyFrameBytesMax) return;
    const room = Math.min(Math.max(end, roomBytesMin), roomBytesMax);
    try {
      this.#file.write(end, zeros.subarray(0, room));
      this.#roomEnd = end + room;
    } catch (error) {
      if (errorCode(error) !== "ENOSPC") throw error;
      this.#file.truncate(end);
    }
  }

  #cut(): void {
    try {
      this.#file.truncate(this.#position);
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
    this.#roomEnd = this.#position;
    this.#sync();
  }

  #sync(): void {
    try {
      syncOrEnd(this.#file, this.#path);
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  /** Gives unused room back, durably: only the last segment of a log may have some. */
  end(): void {
    if (this.#roomEnd > this.#position) this.#cut();
  }

  /** Gives the file back, and unused room where nothing failed before. Not durable, and no failure when it cannot be done: a start knows room. */
  close(): void {
    try {
      if (!this.#hasFailed && this.#roomEnd > this.#position) this.#file.truncate(this.#position);
    } catch {
      // Everything that was promised is on the disk.
    } finally {
      this.#file.close();
    }
  }
}
