// Promises tiles and entry bundles on disk, as a fold over the leaves: full ones as they fill, partial ones when staged, all synced before a checkpoint.
// Trusts the write-ahead log to hold the same leaves durably, so losing a tile loses nothing. Specified by C2SP tlog-tiles.
import { basename, dirname, join } from "node:path";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { leafHash } from "@sallyport/protocol/audit/merkle.ts";
import {
  bundlePath,
  edgeTiles,
  parseBundle,
  printBundle,
  TileBuilder,
  type TileId,
  tilePath,
  tilesBetween,
  tileWidth,
  tileWidthMax,
} from "@sallyport/protocol/audit/tiles.ts";
import { type Disk, errorCode, readWhole } from "./disk.ts";
import { SyncFault } from "./fault.ts";
import { sha256 } from "./log-crypto.ts";
import type { LogSteps } from "./steps.ts";

/** Files that wait for their sync; beyond it an append waits for some of them. */
const unsyncedMax = 2_048;
/** Of those, as many as the largest batch fills. */
const settledAtOnce = 16;
/** So many waiting files are synced several at a time; fewer one by one, beside which the appends' own syncs are hardly slower. */
const manyUnsynced = 128;
const flightsMax = 4;

/** Full files that wait in memory to be written by other threads, and their bytes; beyond either an append waits until some are written. */
const unwrittenMax = 128;
const unwrittenBytesMax = 16_777_216;

interface DerivedFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Derived files with their bytes, by path below the origin's folder. */
export type Edge = readonly DerivedFile[];

/** Reads a tile of a published size: the full one, or the partial one of exactly that width. Throws when neither is whole. */
export function readTileFile(disk: Disk, directory: string, tile: TileId): Buffer {
  const exact = readWhole(disk, join(directory, tilePath(tile)));
  const bytes = exact ?? readWhole(disk, join(directory, tilePath({ ...tile, width: tileWidthMax })));
  if (bytes === null) throw new RangeError(`${tilePath(tile)} is missing`);
  return bytes;
}

export class DerivedFold {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #tiles: TileBuilder;
  /** Entries of the bundle that is filling. */
  #bundle: Uint8Array[] = [];
  /** Full files not yet written: stays in memory while the disk is full. */
  #unwritten: DerivedFile[] = [];
  /** Full files that another thread is writing. */
  readonly #writing = new Set<DerivedFile>();
  /** Of both. */
  #unwrittenBytes = 0;
  readonly #unsynced = new Set<string>();
  readonly #unsyncedDirectories = new Set<string>();
  readonly #directories = new Set<string>();
  /** Files whose sync is under way on another thread. */
  readonly #syncing = new Set<string>();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#directories.add(directory);
    this.#tiles = new TileBuilder(sha256, (tile, bytes) => this.#full(tilePath(tile), new Uint8Array(bytes)));
  }

  get size(): number {
    return this.#tiles.size;
  }

  root(): Uint8Array {
    return this.#tiles.root();
  }

  /** Takes up a staged size from the files; false when they do not give `root` or the bundle does not match its tile. */
  restore(size: number, root: Uint8Array): boolean {
    try {
      this.#tiles.restore(sha256, size, (tile) => readTileFile(this.#disk, this.#directory, tile));
      return sameBytes(this.#tiles.root(), root) && this.#restoreBundle(size);
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  }

  #restoreBundle(size: number): boolean {
    const width = size % tileWidthMax;
    this.#bundle = [];
    if (width === 0) return true;
    const bytes = readWhole(this.#disk, join(this.#directory, bundlePath(Math.floor(size / tileWidthMax), width)));
    const entries = bytes === null ? null : parseBundle(bytes, width);
    const hashes = this.#tiles.partials().find(({ tile }) => tile.level === 0)?.bytes;
    if (entries === null || hashes === undefined) return false;
    if (!sameBytes(Buffer.concat(entries.map((entry) => leafHash(sha256, entry))), hashes)) return false;
    this.#bundle = entries;
    return true;
  }

  /** Adds one leaf; the bytes are kept until its bundle is full. */
  push(leaf: Uint8Array, hash: Uint8Array): void {
    this.#bundle.push(leaf);
    const n = Math.floor(this.#tiles.size / tileWidthMax);
    this.#tiles.push(hash);
    if (this.#bundle.length < tileWidthMax) return;
    this.#full(bundlePath(n, tileWidthMax), printBundle(this.#bundle));
    this.#bundle = [];
  }

  /** Lets go of larger buffers that the leaves of the filling bundle are views into. */
  detach(): void {
    this.#bundle = this.#bundle.map((leaf) => new Uint8Array(leaf));
  }

  #full(path: string, bytes: Uint8Array): void {
    this.#unwritten.push({ path, bytes });
    this.#unwrittenBytes += bytes.length;
  }

  /** Writes what is full. Throws what the disk throws, and then tries again at the next call. */
  write(): void {
    // The same bytes once more over what another thread has not finished: whichever comes last, the file holds them.
    this.#unwritten = [...this.#writing, ...this.#unwritten];
    this.#writing.clear();
    while (this.#unwritten.length > 0) this.#writeOldest();
  }

  /** Writes what is more than may wait in memory. Throws as `write` does. */
  writeSurplus(): void {
    const isTooMuch = () =>
      this.#unwritten.length + this.#writing.size > unwrittenMax || this.#unwrittenBytes > unwrittenBytesMax;
    while (this.#unwritten.length > 0 && isTooMuch()) this.#writeOldest();
  }

  #writeOldest(): void {
    const [oldest] = this.#unwritten;
    if (oldest === undefined) return;
    this.writeFile(oldest.path, oldest.bytes);
    this.#unwritten.shift();
    this.#unwrittenBytes -= oldest.bytes.length;
  }

  /** Begins to write what is full on other threads: to create a file may take as long as a sync, and the next batch would wait for it. */
  #writeLater(failed: (error: unknown) => void): void {
    const files = this.#unwritten;
    // A full disk may refuse one: then they all go on waiting.
    for (const { path } of files) this.#makeDirectory(dirname(join(this.#directory, path)));
    this.#unwritten = [];
    for (const file of files) this.#begin(file, failed);
  }

  #begin(file: DerivedFile, failed: (error: unknown) => void): void {
    this.#writing.add(file);
    this.#disk.writeLater(join(this.#directory, file.path), file.bytes, (error) => {
      // Written at once meanwhile, for a checkpoint.
      if (!this.#writing.delete(file)) return;
      if (error === null) this.#written(file, failed);
      else this.#notWritten(file, error, failed);
    });
  }

  #written({ path, bytes }: DerivedFile, failed: (error: unknown) => void): void {
    const full = join(this.#directory, path);
    this.#unwrittenBytes -= bytes.length;
    this.#unsynced.add(full);
    this.#unsyncedDirectories.add(dirname(full));
    this.#syncLater(failed);
  }

  /** On a full disk it is tried again when the next batch has been appended. */
  #notWritten(file: DerivedFile, error: Error, failed: (error: unknown) => void): void {
    this.#unwritten.unshift(file);
    if (errorCode(error) !== "ENOSPC") {
      failed(error);
      return;
    }
    const full = join(this.#directory, file.path);
    try {
      // What a full disk let through is no tile.
      if (this.#disk.list(dirname(full)).includes(basename(full))) this.#disk.unlink(full);
    } catch (left) {
      failed(left);
    }
  }

  /** Writes one derived file, to be synced by the next `sync`. */
  writeFile(path: string, bytes: Uint8Array): void {
    const full = join(this.#directory, path);
    this.#makeDirectory(dirname(full));
    this.#unsyncedDirectories.add(dirname(full));
    const file = this.#disk.open(full, "write");
    try {
      file.write(0, bytes);
      file.truncate(bytes.length);
    } catch (error) {
      // What a full disk let through is no tile, and nobody would write it again once the tree has grown.
      this.#disk.unlink(full);
      throw error;
    } finally {
      file.close();
    }
    this.#unsynced.add(full);
  }

  #makeDirectory(path: string): void {
    if (this.#directories.has(path)) return;
    this.#makeDirectory(dirname(path));
    this.#disk.makeDirectory(path);
    this.#directories.add(path);
    this.#unsyncedDirectories.add(dirname(path));
  }

  /**
   * Begins to write and sync what is full, on other threads, so that a checkpoint has little left to wait for. `failed` hears of what failed, but for a
   * full disk. When more than 2,048 files wait, the disk cannot keep up: then this waits for some of them.
   */
  settleLater(failed: (error: unknown) => void): void {
    this.#writeLater(failed);
    this.#syncLater(failed);
  }

  #syncLater(failed: (error: unknown) => void): void {
    const flights = this.#unsynced.size > manyUnsynced ? flightsMax : 1;
    for (const path of this.#unsynced) {
      if (this.#syncing.size >= flights) break;
      this.#unsynced.delete(path);
      this.#syncing.add(path);
      this.#disk.syncLater(path, (error) => {
        this.#syncing.delete(path);
        if (error === null) this.#syncLater(failed);
        else failed(new SyncFault(path, error));
      });
    }
    if (this.#unsynced.size > unsyncedMax) this.#settleNow();
  }

  #settleNow(): void {
    let left = settledAtOnce;
    for (const path of this.#unsynced) {
      if (left-- <= 0) return;
      const file = this.#disk.open(path, "write");
      try {
        file.sync();
      } catch (error) {
        throw new SyncFault(path, error);
      } finally {
        file.close();
      }
      this.#unsynced.delete(path);
    }
  }

  /** What only a tree of exactly the present size has: its partial tiles and its partial bundle. Kept while the tree grows on. */
  edge(): Edge {
    const tiles = this.#tiles.partials().map(({ tile, bytes }) => ({ path: tilePath(tile), bytes }));
    const width = this.#bundle.length;
    if (width === 0) return tiles;
    return [
      ...tiles,
      { path: bundlePath(Math.floor(this.size / tileWidthMax), width), bytes: printBundle(this.#bundle) },
    ];
  }

  /** Makes everything durable that a tree with this edge needs. */
  *stageSteps(edge: Edge): LogSteps<void> {
    this.write();
    for (const { path, bytes } of edge) this.writeFile(path, bytes);
    // What is added while this goes on belongs to a later tree.
    for (const path of [...this.#syncing, ...this.#unsynced]) {
      if (!this.#unsynced.has(path) && !this.#syncing.has(path)) continue;
      this.#unsynced.delete(path);
      yield { kind: "sync", path };
    }
    for (const path of [...this.#unsyncedDirectories]) {
      this.#unsyncedDirectories.delete(path);
      yield { kind: "sync-directory", path };
    }
  }

  /**
   * Removes partial tiles and bundles that were being staged when the power went: wider than what `staged` leaves had, signed by nobody, perhaps torn.
   * The tree may have grown past them since.
   */
  dropUnsigned(staged: number): void {
    const drop = (path: string, signedWidth: number) => {
      const directory = join(this.#directory, `${path}.p`);
      const wider = this.#disk.list(directory).filter((name) => Number(name) > signedWidth);
      for (const name of wider) this.#disk.unlink(join(directory, name));
      // Another power cut could bring them back, when nobody looks for them there any more.
      if (wider.length > 0) this.#unsyncedDirectories.add(directory);
    };
    for (const { level, n } of tilesBetween(staged, this.size)) {
      drop(tilePath({ level, n, width: tileWidthMax }), tileWidth(level, n, staged));
      if (level === 0) drop(bundlePath(n, tileWidthMax), tileWidth(0, n, staged));
    }
  }

  /** After publishing `size`: a full tile stands in for all the partial forms that the tree of `before` leaves had of it (C2SP tlog-tiles, "Partial Tiles"). */
  dropSuperseded(before: number, size: number): void {
    const drop = (path: string) => {
      const partials = join(this.#directory, `${path}.p`);
      for (const name of this.#disk.list(partials)) this.#disk.unlink(join(partials, name));
    };
    for (const { level, n } of edgeTiles(before)) {
      if (tileWidth(level, n, size) < tileWidthMax) continue;
      drop(tilePath({ level, n, width: tileWidthMax }));
      if (level === 0) drop(bundlePath(n, tileWidthMax));
    }
  }
}
