// Promises one origin of another node's log as a copy that only grows, durable before it is acknowledged, in the form of the log itself; what no
// checkpoint has proven can be cut off again. Trusts the disk port, and archive.ts for whose it is. Formats: docs/formats/leaf.md "On disk".
import { join } from "node:path";
import { type KeptCheckpoint, readOwnCheckpoint } from "@sallyport/kernel/log/checkpoint-files.ts";
import { errorCode, readWhole } from "@sallyport/kernel/log/disk.ts";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { printFrame, printSegmentHeader, segmentHeaderBytes } from "@sallyport/kernel/log/segment.ts";
import { listSegments, segmentFile } from "@sallyport/kernel/log/segments.ts";
import { replaceSettled, type SettlingDisk, writeWhole } from "@sallyport/kernel/log/settling-disk.ts";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import type { Checkpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { Frontier } from "@sallyport/protocol/audit/merkle.ts";
import { copyFrontier, parseFrontier, printFrontier } from "./frontier-file.ts";
import { type FramePlace, nowhere, readArchived } from "./read-archived.ts";

/** A segment of the archive is sealed beyond this: a quarter of a log's own, so that other stores get small pieces. */
export const archivedSegmentBytesMax = 16_777_216;

export interface ArchivedOriginOptions {
  readonly disk: SettlingDisk;
  /** The origin's own folder; its parent exists. */
  readonly directory: string;
  readonly origin: string;
  readonly publicKey: Uint8Array;
  readonly segmentBytesMax?: number;
}

export class ArchivedOrigin {
  readonly #options: ArchivedOriginOptions;
  readonly #segmentBytesMax: number;
  #end: FramePlace = nowhere;
  #frontier = new Frontier(sha256);
  /** What the newest checkpoint covers. */
  #proven: { readonly place: FramePlace; readonly frontier: Frontier; readonly checkpoint: KeptCheckpoint | null };
  /** After a failed sync only a restart, which reads the disk again, can say what is there. */
  #failed: LogFault | null = null;

  private constructor(options: ArchivedOriginOptions) {
    this.#options = options;
    this.#segmentBytesMax = options.segmentBytesMax ?? archivedSegmentBytesMax;
    this.#proven = { place: nowhere, frontier: new Frontier(sha256), checkpoint: null };
  }

  /** Opens what is there, or nothing yet. Throws LogFault `log-corrupt` or `log-key` naming the file; nothing was changed then. */
  static async open(options: ArchivedOriginOptions): Promise<ArchivedOrigin> {
    const archived = new ArchivedOrigin(options);
    await archived.#recover();
    return archived;
  }

  get origin(): string {
    return this.#options.origin;
  }

  /** Leaves that are durable here. */
  get size(): number {
    return this.#end.size;
  }

  /** Leaves that the newest checkpoint covers. */
  get signed(): number {
    return this.#proven.place.size;
  }

  get checkpoint(): KeptCheckpoint | null {
    return this.#proven.checkpoint;
  }

  /** Appends leaves `size` and following; durable when it resolves. Throws LogFault `disk-full` (as before then) or `log-closed`. */
  async append(entries: Buffer, hashes: readonly Uint8Array[]): Promise<void> {
    if (this.#failed !== null) throw this.#failed;
    const { disk } = this.#options;
    try {
      if (this.#end.segment === null || this.#end.position > this.#segmentBytesMax) await this.#beginSegment();
      const { segment, position, size } = this.#end;
      if (segment === null) throw new Error("a segment was begun");
      const frame = printFrame(size, hashes.length, entries);
      writeAt(disk, segment.path, position, frame);
      await disk.settleFile(segment.path);
      this.#end = { segment, position: position + frame.length, size: size + hashes.length };
    } catch (error) {
      throw this.#fault(error);
    }
    for (const hash of hashes) this.#frontier.push(hash);
  }

  async #beginSegment(): Promise<void> {
    const { disk, directory, origin } = this.#options;
    const { size } = this.#end;
    for (const path of [directory, join(directory, "wal")]) {
      disk.makeDirectory(path);
      await disk.settleDirectory(join(path, ".."));
    }
    const segment = segmentFile(directory, size);
    writeWhole(disk, segment.path, printSegmentHeader(size, origin));
    await disk.settleFile(segment.path);
    await disk.settleDirectory(join(directory, "wal"));
    this.#end = { segment, position: segmentHeaderBytes, size };
  }

  #fault(error: unknown): LogFault {
    const why = error instanceof Error ? error.message : "unknown";
    if (errorCode(error) === "ENOSPC")
      return new LogFault("disk-full", `no space left for ${this.#options.directory}: free some on this volume`, error);
    this.#failed = new LogFault(
      "log-closed",
      `the archive in ${this.#options.directory} takes nothing more because its disk failed (${why}); check the volume and restart`,
      error,
    );
    return this.#failed;
  }

  /**
   * Makes a checkpoint the newest when it is over exactly what is here: "held". "forked": the leaves do not give its root, and what no checkpoint
   * covers is cut off. Its signature was verified before. Throws as `append`.
   */
  async prove(checkpoint: Checkpoint, note: string): Promise<"held" | "forked"> {
    if (this.#failed !== null) throw this.#failed;
    if (!sameBytes(this.#frontier.root(), checkpoint.root)) {
      await this.cut();
      return "forked";
    }
    const { disk, directory } = this.#options;
    const path = join(directory, "checkpoint");
    try {
      writeWhole(disk, join(directory, "frontier"), Buffer.from(printFrontier(this.#frontier)));
      await replaceSettled(disk, path, Buffer.from(note));
    } catch (error) {
      throw this.#fault(error);
    }
    const kept = { ...checkpoint, note, path };
    this.#proven = { place: this.#end, frontier: copyFrontier(this.#frontier), checkpoint: kept };
    return "held";
  }

  /** Takes away what no checkpoint covers. Throws as `append`. */
  async cut(): Promise<void> {
    const { disk, directory } = this.#options;
    const { place, frontier } = this.#proven;
    try {
      for (const segment of listSegments(disk, directory).reverse()) {
        if (segment.first >= place.size && segment.first !== place.segment?.first) disk.unlink(segment.path);
      }
      if (place.segment !== null) truncate(disk, place.segment.path, place.position);
      if (place.segment !== null) await disk.settleFile(place.segment.path);
      if (disk.list(directory).includes("wal")) await disk.settleDirectory(join(directory, "wal"));
    } catch (error) {
      throw this.#fault(error);
    }
    this.#end = place;
    this.#frontier = copyFrontier(frontier);
  }

  async #recover(): Promise<void> {
    const { disk, directory, origin, publicKey } = this.#options;
    const checkpoint = readOwnCheckpoint(disk, join(directory, "checkpoint"), { origin, publicKey });
    const text = readWhole(disk, join(directory, "frontier"))?.toString("latin1") ?? "";
    const known = checkpoint === null ? null : parseFrontier(text, checkpoint);
    const read = await readArchived({ disk, directory, origin, signed: checkpoint?.size ?? 0, known });
    if (checkpoint !== null && !sameBytes(read.proven.frontier.root(), checkpoint.root))
      throw new LogFault(
        "log-corrupt",
        `the archive in ${directory} does not hold the leaves that ${checkpoint.path} was signed over; restore it from a copy of the archive`,
      );
    this.#end = read.end;
    this.#frontier = read.frontier;
    this.#proven = { ...read.proven, checkpoint };
    if (read.isTorn) await this.cut();
  }
}

/** Writes at the end of a file, or not at all: half a frame must not stay behind when the disk is full. */
function writeAt(disk: SettlingDisk, path: string, position: number, bytes: Uint8Array): void {
  const file = disk.open(path, "write");
  try {
    file.write(position, bytes);
  } catch (error) {
    file.truncate(position);
    throw error;
  } finally {
    file.close();
  }
}

function truncate(disk: SettlingDisk, path: string, size: number): void {
  const file = disk.open(path, "write");
  try {
    file.truncate(size);
  } finally {
    file.close();
  }
}
