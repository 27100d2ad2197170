// Promises the audit log of one node and role: nothing acknowledged is lost, nothing signed is taken back, nothing is appended after a failed disk,
// and administrative records still fit when the disk is full. Trusts the disk port and the clock. Specified in docs/formats/leaf.md and docs/audit.md.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { printHex } from "@sallyport/protocol/audit/base64.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { type LeafHead, printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { encodeEntries, type LogEntry, type SiftedBatch, siftBatch } from "./batch.ts";
import { appendCopy, type KeptCheckpoint, readCopies, readOwnCheckpoint, readOwnNote } from "./checkpoint-files.ts";
import { type Disk, errorCode, makeDirectoriesDurably, readWhole } from "./disk.ts";
import { LogFault, type LogFaultCode } from "./fault.ts";
import { type LogKey, loadLogKey } from "./log-crypto.ts";
import { OpenIntents } from "./open-intents.ts";
import { defaultOriginPrefix, type LogIdentity, originName, originOfYear, yearFolders, yearOf } from "./origin.ts";
import { OriginLog } from "./origin-log.ts";
import type { FoundRecord } from "./port.ts";
import { giveUpReserve, keepReserve } from "./reserve.ts";
import { logFolders, readSeam, readVerifierKey, type Seam } from "./seam.ts";
import { frameEntriesMax } from "./segment.ts";
import { findInSegments } from "./segments.ts";
import { parseState } from "./state-file.ts";

export interface LogOptions {
  readonly disk: Disk;
  /** Folder of this log; its parent exists. */
  readonly directory: string;
  readonly identity: LogIdentity;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Absent: `log.key` in the directory, created at the first start. */
  readonly key?: LogKey;
  /** A host name; see docs/formats/leaf.md "Origins". */
  readonly originPrefix?: string;
  /** File outside the directory that every checkpoint is copied to, and that a start must not fall behind. */
  readonly checkpointCopies?: string;
  readonly segmentBytesMax?: number;
  /** Ordinary records are refused when the volume has less than this free. */
  readonly lowSpaceBytes?: number;
  /** Size of the file that is given up for administrative records when the disk is full all the same. */
  readonly reserveBytes?: number;
}

const defaults = { segmentBytesMax: 67_108_864, lowSpaceBytes: 67_108_864, reserveBytes: 4_194_304 };

export interface CommitResult {
  /** Index of the first accepted entry; the others follow in order without gaps. */
  readonly first: number;
  /** Entries that were not taken, by place in the batch, ascending. */
  readonly refused: readonly { readonly place: number; readonly code: LogFaultCode }[];
}

export class Log {
  readonly #options: LogOptions & typeof defaults;
  readonly #prefix: string;
  readonly #unlock: () => void;
  readonly #key: LogKey;
  readonly #intents = new OpenIntents();
  #year: number;
  #log: OriginLog;
  #ended: LogFault | null = null;

  /**
   * Opens or creates the log: recovers, gives open intents their `unknown` outcome, writes `start`, publishes a checkpoint.
   * Throws LogFault `log-locked`, `log-corrupt`, `log-rolled-back`, `log-key` or `disk-full`, each saying what to do.
   */
  static open(options: LogOptions): Log {
    makeDirectoriesDurably(options.disk, options.directory);
    const lock = join(options.directory, "lock");
    const unlock = options.disk.lock(lock);
    if (unlock === null) {
      throw new LogFault(
        "log-locked",
        `${options.directory} is in use by another process (it holds ${lock}); stop that one, or give this one its own --data directory`,
      );
    }
    try {
      return new Log(options, unlock);
    } catch (error) {
      unlock();
      throw errorCode(error) === "ENOSPC" ? diskFull(options.directory, error) : error;
    }
  }

  private constructor(options: LogOptions, unlock: () => void) {
    this.#options = { ...defaults, ...options };
    this.#prefix = options.originPrefix ?? defaultOriginPrefix;
    this.#unlock = unlock;
    this.#key = options.key ?? loadLogKey(options.disk, options.directory);
    const years = yearFolders(options.disk.list(options.directory));
    const latest = years.at(-1);
    // A clock that went back goes on in the newest origin: an older one is never reopened.
    this.#year = latest ?? yearOf(options.now());
    this.#refuseMissingYears(years);
    this.#loadIntentsBefore(years);
    this.#log = this.#openYear(this.#year);
    this.#start();
  }

  get origin(): string {
    return this.#log.origin;
  }

  get size(): number {
    return this.#log.size;
  }

  #origin(year: number): string {
    return originName(this.#prefix, this.#options.identity, year);
  }

  #folder(year: number): string {
    return join(this.#options.directory, String(year));
  }

  #openYear(year: number): OriginLog {
    const { disk, segmentBytesMax } = this.#options;
    const origin = this.#origin(year);
    const own = { directory: this.#folder(year), origin, key: this.#key };
    return OriginLog.open({ ...own, disk, segmentBytesMax, kept: this.#kept(origin) }, this.#intents);
  }

  /** Copies of this origin's checkpoints outside the directory. */
  #kept(origin: string): KeptCheckpoint[] {
    const path = this.#options.checkpointCopies;
    if (path === undefined) return [];
    const notes = readCopies(this.#options.disk, path).filter((note) => note.startsWith(`${origin}\n`));
    return notes.map((note) => readOwnNote(note, path, { origin, publicKey: this.#key.publicKey }));
  }

  /** A whole year's folder that was taken away shows only in the copies. */
  #refuseMissingYears(years: readonly number[]): void {
    const path = this.#options.checkpointCopies;
    if (path === undefined) return;
    for (const note of readCopies(this.#options.disk, path)) {
      const origin = note.slice(0, note.indexOf("\n"));
      const year = Number(origin.slice(origin.lastIndexOf("/") + 1));
      if (origin !== originOfYear(this.#origin(year), year) || years.includes(year)) continue;
      throw new LogFault(
        "log-rolled-back",
        `${path} holds a checkpoint of ${origin}, but ${this.#folder(year)} is missing; restore it from the backup, or name another copies file for a new log`,
      );
    }
  }

  /** Intents left open at the end of the year before end in this one. Its state says which, or, where that is damaged, its leaves. */
  #loadIntentsBefore(years: readonly number[]): void {
    const before = years.at(-2);
    if (before === undefined) {
      // The first year after a restore ends what the log before left open.
      this.#intents.replace(readSeam(this.#options.disk, this.#options.directory)?.open ?? []);
      return;
    }
    const bytes = readWhole(this.#options.disk, join(this.#folder(before), "state"));
    const state = bytes === null ? null : parseState(bytes.toString("utf8"));
    if (state !== null) this.#intents.replace(state.open);
    else this.#openYear(before).close();
  }

  #start(): void {
    if (this.#log.size === 0) this.#writeOriginLeaf();
    this.#turnYear();
    const left = this.#intents.ids();
    for (let i = 0; i < left.length; i += frameEntriesMax) {
      this.#appendOwn(left.slice(i, i + frameEntriesMax).map((id) => this.#unknownOutcome(id)));
    }
    const { role, version } = this.#options.identity;
    this.#appendOwn([{ t: "start", ...this.#place(), role, version, recovered: left.length }]);
    keepReserve(this.#options);
    this.checkpoint();
  }

  #place() {
    const { tenant, environment, region, node } = this.#options.identity;
    return { at: Math.max(0, Math.trunc(this.#options.now())), tenant, environment, region, node };
  }

  #unknownOutcome(id: string): Leaf {
    const nothing = { status: 0, upstreamStatus: 0, bytesIn: 0, bytesOut: 0, totalUs: 0, upstreamUs: 0 };
    return { t: "outcome", id, ...this.#place(), outcome: "unknown", ...nothing };
  }

  #writeOriginLeaf(): void {
    const { disk } = this.#options;
    const before = yearFolders(disk.list(this.#options.directory))
      .filter((year) => year < this.#year)
      .at(-1);
    const last =
      before === undefined
        ? null
        : readOwnCheckpoint(disk, join(this.#folder(before), "checkpoint"), {
            origin: this.#origin(before),
            publicKey: this.#key.publicKey,
          });
    const seam = last === null ? readSeam(disk, this.#options.directory) : seamOf(last);
    this.#appendOwn([
      {
        t: "origin",
        ...this.#place(),
        origin: this.origin,
        previous: seam === null ? null : printHex(seam.previous),
        previousOrigin: seam?.origin ?? null,
        previousSize: seam?.size ?? 0,
      },
    ]);
  }

  #appendOwn(leaves: readonly Leaf[]): void {
    const bytes = encodeEntries(leaves.map((leaf) => ({ leaf: printLeaf(leaf) })));
    const heads = leaves.map((leaf): LeafHead => ({ t: leaf.t, id: "id" in leaf ? leaf.id : null }));
    this.#log.commit({ bytes, count: leaves.length, heads });
    this.#log.absorb();
  }

  /** New year, new origin: the old one ends with a checkpoint, which the first leaf of the new one names. */
  #turnYear(): void {
    const year = yearOf(this.#options.now());
    if (year <= this.#year) return;
    this.checkpoint();
    this.#log.close();
    this.#year = year;
    this.#log = this.#openYear(year);
    this.#writeOriginLeaf();
  }

  /** Appends leaves; for tests and small writers. The log thread encodes itself and calls `commit`. */
  append(entries: readonly LogEntry[]): CommitResult {
    return this.commit(encodeEntries(entries), entries.length);
  }

  /**
   * Appends up to 2,048 entries in their stored encoding. When it returns, every entry not listed as refused is durable.
   * Throws LogFault `log-closed` after close or any failure of the disk but a full one.
   */
  commit(bytes: Buffer, count: number): CommitResult {
    if (this.#ended !== null) throw this.#ended;
    try {
      this.#turnYear();
      const low = this.#options.disk.freeBytes(this.#options.directory) < this.#options.lowSpaceBytes;
      const batch = siftBatch(bytes, count, { urgentOnly: low, intentsOpen: this.#intents.count });
      return this.#commitSifted(batch, bytes, count);
    } catch (error) {
      throw this.#end(error);
    }
  }

  #commitSifted(batch: SiftedBatch, bytes: Buffer, count: number): CommitResult {
    try {
      return this.#write(batch);
    } catch (error) {
      if (errorCode(error) !== "ENOSPC") throw error;
    }
    // Full all the same: only administrative records, and these may use the reserve.
    const urgent = siftBatch(bytes, count, { urgentOnly: true, intentsOpen: this.#intents.count });
    giveUpReserve(this.#options);
    try {
      return this.#write(urgent);
    } catch (error) {
      if (errorCode(error) !== "ENOSPC") throw error;
      return { first: this.size, refused: Array.from({ length: count }, (_, place) => ({ place, code: "disk-full" })) };
    }
  }

  #write(batch: SiftedBatch): CommitResult {
    if (batch.heads.length === 0) return { first: this.size, refused: batch.refused };
    return {
      first: this.#log.commit({ bytes: batch.bytes, count: batch.heads.length, heads: batch.heads }),
      refused: batch.refused,
    };
  }

  /** Any failure but a full disk ends the log: after a failed fsync the page cache may say durable what is not (fsyncgate). */
  #end(error: unknown): LogFault {
    if (errorCode(error) === "ENOSPC") return diskFull(this.#options.directory, error);
    if (error instanceof LogFault && error.code === "leaf-refused") return error;
    if (error instanceof LogFault) this.#ended ??= error;
    this.#ended ??= new LogFault(
      "log-closed",
      `the log in ${this.#options.directory} ended because its disk failed (${error instanceof Error ? error.message : "unknown"}); check the volume and restart`,
      error,
    );
    return this.#ended;
  }

  /** Hashes what was appended; call it when nobody waits. A full disk is met again at the next call. */
  absorb(): void {
    if (this.#ended !== null) return;
    try {
      this.#log.absorb();
    } catch (error) {
      if (errorCode(error) !== "ENOSPC") throw this.#end(error);
    }
  }

  /**
   * Signs and publishes a checkpoint over everything durable, and copies it outside.
   * Throws LogFault `disk-full` or `copy-failed` (both may be tried again) or `log-closed`.
   */
  checkpoint(): string {
    if (this.#ended !== null) throw this.#ended;
    let note: string;
    try {
      note = this.#log.checkpoint();
    } catch (error) {
      throw this.#end(error);
    }
    this.#copy(note);
    return note;
  }

  /** Publishes the newest checkpoint with the lines of witnesses; what is not that checkpoint by now is left alone. */
  publish(cosigned: string): void {
    if (this.#ended !== null) throw this.#ended;
    try {
      this.#log.publish(cosigned);
    } catch (error) {
      throw this.#end(error);
    }
  }

  #copy(note: string): void {
    const { disk, checkpointCopies } = this.#options;
    if (checkpointCopies === undefined) return;
    try {
      appendCopy(disk, checkpointCopies, note);
    } catch (error) {
      const why = error instanceof Error ? error.message : "unknown";
      throw new LogFault(
        "copy-failed",
        `the checkpoint could not be copied to ${checkpointCopies} (${why}): its folder must exist and be writable`,
        error,
      );
    }
  }

  /** All records with this event id, oldest first, through all origins of the directory. */
  find(id: string): FoundRecord[] {
    const { disk } = this.#options;
    const older = yearFolders(disk.list(this.#options.directory)).filter((year) => year < this.#year);
    const found = older.flatMap((year) =>
      findInSegments({ disk, directory: this.#folder(year), origin: this.#origin(year) }, id),
    );
    return [...this.#findBefore(id), ...found, ...this.#log.find(id)];
  }

  /** Records of the logs that ended before this one began. */
  #findBefore(id: string): FoundRecord[] {
    const { disk, directory } = this.#options;
    const [, ...folders] = logFolders(disk, directory);
    return folders.reverse().flatMap((folder) => {
      const name = readVerifierKey(disk, folder)?.name ?? "";
      return yearFolders(disk.list(folder)).flatMap((year) =>
        findInSegments({ disk, directory: join(folder, String(year)), origin: originOfYear(name, year) }, id),
      );
    });
  }

  /** A last checkpoint, then the lock is given back. */
  close(): void {
    try {
      if (this.#ended === null) this.checkpoint();
    } finally {
      this.#ended ??= new LogFault("log-closed", "the log is closed");
      this.#log.close();
      this.#unlock();
    }
  }
}

function seamOf({ origin, size, note }: KeptCheckpoint): Pick<Seam, "origin" | "size" | "previous"> {
  const body = parseNote(note)?.text ?? "";
  return { origin, size, previous: createHash("sha256").update(body).digest() };
}

function diskFull(directory: string, cause: unknown): LogFault {
  return new LogFault(
    "disk-full",
    `no space left for ${directory}: free some on this volume; administrative records still fit until the reserve is used up`,
    cause,
  );
}
