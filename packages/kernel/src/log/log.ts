// Promises the audit log of one node and role: nothing acknowledged is lost, nothing signed is taken back, nothing is appended after a failed disk,
// and administrative records still fit when the disk is full. Trusts the disk port and the clock. Specified in docs/formats/leaf.md and docs/audit.md.
import { join } from "node:path";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { type LeafHead, printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { encodeEntries, type LogEntry } from "./batch.ts";
import { copySteps, keptCopies, readOwnCheckpoint, refuseMissingYears } from "./checkpoint-files.ts";
import type { CheckpointSigner } from "./checkpoint-signer.ts";
import { type CommitResult, commitBatch } from "./commit.ts";
import { type Disk, errorCode, makeDirectoriesDurably, readWhole } from "./disk.ts";
import { diskFailed, diskFull, LogFault, mayBeTriedAgain, SyncFault } from "./fault.ts";
import { loadLogKey } from "./log-crypto.ts";
import { OpenIntents } from "./open-intents.ts";
import { defaultOriginPrefix, type LogIdentity, originName, yearFolders, yearOf } from "./origin.ts";
import { OriginLog } from "./origin-log.ts";
import { originLeaf, placeOf, seamOf, unknownOutcome } from "./own-leaves.ts";
import type { FoundRecord } from "./port.ts";
import { keepReserve } from "./reserve.ts";
import { findBefore, readSeam } from "./seam.ts";
import { frameEntriesMax } from "./segment.ts";
import { findInSegments } from "./segment-lookup.ts";
import { parseState } from "./state-file.ts";
import { Course, type CourseEnd, type LogSteps, runNow } from "./steps.ts";

export interface LogOptions {
  readonly disk: Disk;
  /** Folder of this log; its parent exists. */
  readonly directory: string;
  readonly identity: LogIdentity;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Absent: `log.key` in the directory, created at the first start. */
  readonly key?: CheckpointSigner;
  /** A host name; see docs/formats/leaf.md "Origins". */
  readonly originPrefix?: string;
  /** File outside the directory that every checkpoint is copied to, and that a start must not fall behind. */
  readonly checkpointCopies?: string;
  readonly segmentBytesMax?: number;
  /** Told once when the disk failed, or another hand was at the log: nothing is appended any more. */
  readonly ended?: (fault: LogFault) => void;
  /** Ordinary records are refused when the volume has less than this free. */
  readonly lowSpaceBytes?: number;
  /** Size of the file that is given up for administrative records when the disk is full all the same. */
  readonly reserveBytes?: number;
}

const turnAgainMs = 60_000;
const defaults = { segmentBytesMax: 67_108_864, lowSpaceBytes: 67_108_864, reserveBytes: 4_194_304 };

export class Log {
  readonly #options: LogOptions & typeof defaults;
  readonly #prefix: string;
  readonly #unlock: () => void;
  readonly #signer: CheckpointSigner;
  readonly #intents = new OpenIntents();
  /** Index files of ended years that need no second look. */
  readonly #soundIndexes = new Set<string>();
  #year: number;
  #log: OriginLog;
  #ended: LogFault | null = null;
  #course: Course<string> | null = null;
  /** No turn of the year is tried before: the last checkpoint of the old one could not be signed. */
  #turnNotBefore = 0;

  /**
   * Opens or creates the log: recovers, gives open intents their `unknown` outcome, writes `start`, publishes a checkpoint.
   * Throws LogFault `log-locked`, `log-corrupt`, `log-rolled-back`, `log-key` or `disk-full`, each saying what to do.
   */
  static open(options: LogOptions): Log {
    const log = Log.recover(options);
    try {
      log.checkpoint();
    } catch (error) {
      log.abandon();
      throw error;
    }
    return log;
  }

  /** `open` without its checkpoint, which a signer that answers later is asked for with `checkpointLater`. */
  static recover(options: LogOptions): Log {
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
      if (error instanceof SyncFault) throw diskFailed(options.directory, error);
      throw errorCode(error) === "ENOSPC" ? diskFull(options.directory, error) : error;
    }
  }

  private constructor(options: LogOptions, unlock: () => void) {
    this.#options = { ...defaults, ...options };
    this.#prefix = options.originPrefix ?? defaultOriginPrefix;
    this.#unlock = unlock;
    this.#signer = options.key ?? loadLogKey(options.disk, options.directory);
    const years = yearFolders(options.disk.list(options.directory));
    const latest = years.at(-1);
    // A clock that went back goes on in the newest origin: an older one is never reopened.
    this.#year = latest ?? yearOf(options.now());
    refuseMissingYears(options.disk, options.checkpointCopies, {
      origin: this.#origin(this.#year),
      directory: options.directory,
      years,
    });
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

  /** Leaves of the present origin that a published checkpoint covers. */
  get signed(): number {
    return this.#log.signed;
  }

  get publicKey(): Uint8Array {
    return this.#signer.publicKey;
  }

  /** Why nothing is appended any more; null while it is. */
  get ended(): LogFault | null {
    return this.#ended;
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
    const own = { directory: this.#folder(year), origin, signer: this.#signer };
    const kept = keptCopies(disk, this.#options.checkpointCopies, { origin, publicKey: this.#signer.publicKey });
    return OriginLog.open({ ...own, disk, segmentBytesMax, kept }, this.#intents);
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
    if (this.isYearDue) this.turnYear();
    const left = this.#intents.ids();
    for (let i = 0; i < left.length; i += frameEntriesMax) {
      this.#appendOwn(left.slice(i, i + frameEntriesMax).map((id) => unknownOutcome(id, this.#place())));
    }
    const { role, version } = this.#options.identity;
    this.#appendOwn([{ t: "start", ...this.#place(), role, version, recovered: left.length }]);
    keepReserve(this.#options);
  }

  #place() {
    return placeOf(this.#options.identity, this.#options.now());
  }

  #writeOriginLeaf(): void {
    const { disk } = this.#options;
    const before = yearFolders(disk.list(this.#options.directory))
      .filter((year) => year < this.#year)
      .at(-1);
    const own = { origin: this.#origin(before ?? 0), publicKey: this.#signer.publicKey };
    const last = before === undefined ? null : readOwnCheckpoint(disk, join(this.#folder(before), "checkpoint"), own);
    const seam = last === null ? readSeam(disk, this.#options.directory) : seamOf(last);
    this.#appendOwn([originLeaf(this.origin, seam, this.#place())]);
  }

  #appendOwn(leaves: readonly Leaf[]): void {
    const bytes = encodeEntries(leaves.map((leaf) => ({ leaf: printLeaf(leaf) })));
    const heads = leaves.map((leaf): LeafHead => ({ t: leaf.t, id: "id" in leaf ? leaf.id : null }));
    this.#log.commit({ bytes, count: leaves.length, heads });
    this.#log.absorb();
  }

  /** The year has changed: what is appended next belongs into a new origin. */
  get isYearDue(): boolean {
    const now = this.#options.now();
    return yearOf(now) > this.#year && now >= this.#turnNotBefore;
  }

  /**
   * New year, new origin: the old one ends with a checkpoint over all of it, which the first leaf of the new one names. Where none can be signed at
   * once, or the disk is nearly full, records go on into the old origin and the turn is tried again a minute later: a signer that answers later is
   * asked with `checkpointLater` before.
   */
  turnYear(): void {
    if (this.#ended !== null) throw this.#ended;
    try {
      this.checkpoint();
    } catch (error) {
      if (!(error instanceof LogFault && mayBeTriedAgain.has(error.code))) throw error;
    }
    const now = this.#options.now();
    const isLow = this.#options.disk.freeBytes(this.#options.directory) < this.#options.lowSpaceBytes;
    if (isLow || this.#log.signed !== this.#log.size) this.#turnNotBefore = now + turnAgainMs;
    else this.#openNext(yearOf(now));
  }

  #openNext(year: number): void {
    try {
      this.#log.close();
      this.#year = year;
      this.#log = this.#openYear(year);
      this.#writeOriginLeaf();
    } catch (error) {
      // Half begun, so also a full disk ends the log: the next start finishes it, or is refused until there is room.
      throw this.#end(error instanceof LogFault ? error : diskFailed(this.#options.directory, error));
    }
  }

  /** Appends leaves; for tests and small writers. The log thread encodes itself, turns the year and calls `commit`. */
  append(entries: readonly LogEntry[]): CommitResult {
    if (this.isYearDue) this.turnYear();
    return this.commit(encodeEntries(entries), entries.length);
  }

  /**
   * Appends up to 2,048 entries in their stored encoding. When it returns, every entry not listed as refused is durable.
   * Throws LogFault `log-closed` after close or any failure of the disk but a full one.
   */
  commit(bytes: Buffer, count: number): CommitResult {
    if (this.#ended !== null) throw this.#ended;
    try {
      return commitBatch(this.#log, { ...this.#options, intentsOpen: this.#intents.count }, { bytes, count });
    } catch (error) {
      throw this.#end(error);
    }
  }

  /** Any failure but a full disk ends the log: after a failed fsync the page cache may say durable what is not (fsyncgate). */
  #end(error: unknown): LogFault {
    if (errorCode(error) === "ENOSPC") return diskFull(this.#options.directory, error);
    if (error instanceof LogFault && mayBeTriedAgain.has(error.code)) return error;
    if (this.#ended !== null) return this.#ended;
    this.#ended = error instanceof LogFault ? error : diskFailed(this.#options.directory, error);
    this.#course?.stop(this.#ended);
    this.#options.ended?.(this.#ended);
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

  /** Begins to write derived files and make them durable; nobody waits for it. What fails ends the log, but for a full disk. */
  settleLater(): void {
    if (this.#ended !== null) return;
    try {
      this.#log.settleLater((error) => this.#end(error));
    } catch (error) {
      this.#end(error);
    }
  }

  /**
   * Signs and publishes a checkpoint over everything durable, and copies it outside.
   * Throws LogFault `disk-full`, `signer-failed` or `copy-failed` (these may be tried again) or `log-closed`.
   */
  checkpoint(): string {
    this.#course?.finishNow();
    if (this.#ended !== null) throw this.#ended;
    try {
      return runNow(this.#checkpointSteps(), { disk: this.#options.disk, signer: this.#signer });
    } catch (error) {
      throw this.#end(error);
    }
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

  get isSigning(): boolean {
    return this.#course !== null;
  }

  /** `checkpoint` without waiting: records may be appended meanwhile. Only one at a time. `told` hears once; of a failure as LogFault. */
  checkpointLater(told: (end: CourseEnd<string>) => void): void {
    if (this.#course !== null) throw new Error("a checkpoint is under way already");
    if (this.#ended !== null) {
      told({ kind: "failed", error: this.#ended });
      return;
    }
    const course = new Course(
      this.#checkpointSteps(),
      { disk: this.#options.disk, signer: this.#signer },
      {
        ended: (end) => {
          this.#course = null;
          told(end.kind === "done" ? end : { kind: "failed", error: this.#end(end.error) });
        },
        strayed: (fault) => this.#end(fault),
      },
    );
    this.#course = course;
    course.begin();
  }

  *#checkpointSteps(): LogSteps<string> {
    const note = yield* this.#log.checkpointSteps();
    const { disk, checkpointCopies } = this.#options;
    if (checkpointCopies !== undefined) yield* copySteps(disk, checkpointCopies, note);
    return note;
  }

  /** All records with this event id, oldest first, through all origins of the directory. */
  find(id: string): FoundRecord[] {
    this.absorb();
    const { disk } = this.#options;
    const older = yearFolders(disk.list(this.#options.directory)).filter((year) => year < this.#year);
    const found = older.flatMap((year) =>
      findInSegments(
        { disk, directory: this.#folder(year), origin: this.#origin(year), sound: this.#soundIndexes },
        id,
      ),
    );
    return [...findBefore(disk, this.#options.directory, id), ...found, ...this.#log.find(id)];
  }

  /** A last checkpoint, then the lock is given back. */
  close(): void {
    try {
      if (this.#ended === null) this.checkpoint();
    } finally {
      this.abandon();
    }
  }

  /** Gives the lock back without a last checkpoint. */
  abandon(): void {
    this.#ended ??= new LogFault("log-closed", "the log is closed");
    this.#course?.stop(this.#ended);
    this.#log.close();
    this.#unlock();
  }
}
