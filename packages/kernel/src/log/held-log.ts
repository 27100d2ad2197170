// Promises the records of log directories as far as their published checkpoints are signed, while other processes and threads append to them.
// Trusts each directory's own key, and the operating system to show a replaced file whole. Port: held-records.ts; formats: docs/formats/leaf.md.
import { join } from "node:path";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type KeptCheckpoint, readOwnNote } from "./checkpoint-files.ts";
import { type Disk, readWhole } from "./disk.ts";
import { LogFault } from "./fault.ts";
import type { HeldOrigin, HeldRecords } from "./held-records.ts";
import { loadLogKey, sha256 } from "./log-crypto.ts";
import { type OriginPlace, parseOriginName, yearFolders } from "./origin.ts";
import type { FoundRecord } from "./port.ts";
import { realDisk } from "./real-disk.ts";
import { logFolders, readVerifierKey } from "./seam.ts";
import { FrameMarks, SegmentWalk } from "./segment-walk.ts";

/** A look at every checkpoint at most so often, for 1/50 of the time at most, and at least so often whatever a look takes. */
const lookMs = 500;
const lookShare = 50;
const lookMsMax = 10_000;
/** One `read` gives about so much at most. */
export const heldReadBytesMax = 16_777_216;
/** Readers of one origin that each keep their place; the one not used for longest is let go. */
const walksMax = 8;

export interface HeldLogOptions {
  /** The log directories, asked again at every look; one that is not there yet or holds no log is passed over. */
  readonly directories: () => readonly string[];
  /** Told once of each fault that keeps an origin from being followed: it names the file. */
  readonly fault?: (fault: LogFault) => void;
  readonly disk?: Disk;
}

/** Reads log directories. What a fault keeps from being followed stays at the place it had; reading it throws that fault. */
export function openHeldLogs(options: HeldLogOptions): HeldRecords {
  return new HeldLogs(options);
}

interface Followed {
  /** The origin's own folder. */
  readonly directory: string;
  readonly origin: string;
  readonly place: OriginPlace;
  readonly publicKey: Uint8Array;
  readonly marks: FrameMarks;
  /** The one used last comes last. */
  readonly walks: SegmentWalk[];
  /** The newest checkpoint that was believed. */
  seen: KeptCheckpoint;
  /** Seen when a later year had begun: it does not grow any more. */
  ended: boolean;
  fault: LogFault | null;
}

/** A year's folder in the folder of its log. */
interface YearFolder {
  readonly folder: string;
  readonly directory: string;
  readonly year: number;
}

class HeldLogs implements HeldRecords {
  readonly #disk: Disk;
  readonly #options: HeldLogOptions;
  /** By the origin's folder. */
  readonly #followed = new Map<string, Followed>();
  /** Texts of faults that were told, by folder. */
  readonly #told = new Map<string, string>();
  /** What the last look that was told of saw. */
  #shown = "";
  /** Milliseconds that the last look took. */
  #lookTook = 0;
  #closed = false;

  constructor(options: HeldLogOptions) {
    this.#options = options;
    this.#disk = options.disk ?? realDisk();
  }

  async origins(): Promise<readonly HeldOrigin[]> {
    this.#look();
    this.#shown = this.#sizes();
    const held = [...this.#followed.values()].map(heldOf);
    return held.sort((a, b) => (a.origin < b.origin ? -1 : 1));
  }

  async read(origin: string, from: number, max: number): Promise<readonly FoundRecord[]> {
    if (this.#closed) throw new LogFault("log-closed", "the reader of records is closed");
    const known = this.#find(origin);
    if (known === undefined || from >= known.seen.size) this.#look();
    const followed = known ?? this.#find(origin);
    if (followed === undefined) throw new LogFault("not-found", `no log here has the origin ${origin}`);
    if (followed.fault !== null) throw followed.fault;
    return this.#take(followed, from, max);
  }

  grown(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const look = () => {
        const startedAt = performance.now();
        this.#look();
        if (this.#closed || this.#sizes() !== this.#shown) return done();
        const took = performance.now() - startedAt;
        timer = setTimeout(look, pauseAfterLooks(this.#lookTook, took)).unref();
        this.#lookTook = took;
      };
      signal.addEventListener("abort", done);
      if (signal.aborted) done();
      else look();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#followed.clear();
  }

  #find(origin: string): Followed | undefined {
    return [...this.#followed.values()].find((followed) => followed.origin === origin);
  }

  #take({ directory, origin, seen, marks, walks }: Followed, from: number, max: number): FoundRecord[] {
    const at = walks.findIndex(({ next }) => next === from);
    const walk =
      walks.splice(at, at === -1 ? 0 : 1)[0] ?? new SegmentWalk({ disk: this.#disk, directory, origin }, marks, from);
    // A walk that throws is not kept: the next read begins anew.
    const records = walk.take({ until: seen.size, recordsMax: max, bytesMax: heldReadBytesMax });
    walks.push(walk);
    if (walks.length > walksMax) walks.shift();
    return records;
  }

  #sizes(): string {
    return [...this.#followed.values()].map(({ origin, seen }) => `${origin} ${seen.size}`).join("\n");
  }

  /** Looks at every checkpoint. Never throws: what is wrong is told, and kept with its origin. */
  #look(): void {
    for (const directory of this.#closed ? [] : this.#options.directories()) {
      this.#guarded(directory, () => {
        for (const folder of logFolders(this.#disk, directory)) this.#lookAtLog(folder);
      });
    }
  }

  #lookAtLog(folder: string): void {
    const years = yearFolders(this.#disk.list(folder));
    for (const [i, year] of years.entries()) {
      const directory = join(folder, String(year));
      const known = this.#followed.get(directory);
      if (known?.ended === true) continue;
      this.#guarded(directory, () => {
        this.#lookAtOrigin({ folder, directory, year }, known);
        const followed = this.#followed.get(directory);
        // The last checkpoint of a year is published before the next year's folder is made, and that was listed before this look.
        if (followed !== undefined) followed.ended = i < years.length - 1;
      });
    }
  }

  #lookAtOrigin(at: YearFolder, known: Followed | undefined): void {
    const path = join(at.directory, "checkpoint");
    const note = readWhole(this.#disk, path)?.toString("utf8");
    // An origin begins without one; one that vanishes is found by the next start and by verification.
    if (note === undefined) return;
    if (known === undefined) {
      this.#followed.set(at.directory, begin(this.#disk, at, note));
      return;
    }
    if (note !== known.seen.note) known.seen = successor(known.seen, readOwnNote(note, path, known));
    known.fault = null;
  }

  #guarded(directory: string, act: () => void): void {
    try {
      act();
      this.#told.delete(directory);
    } catch (error) {
      const fault = error instanceof LogFault ? error : unreadable(directory, error);
      const followed = this.#followed.get(directory);
      if (followed !== undefined) followed.fault = fault;
      if (this.#told.get(directory) === fault.message) return;
      this.#told.set(directory, fault.message);
      this.#options.fault?.(fault);
    }
  }
}

/** Of two looks the shorter one counts: a process that stood still for a moment would else be blind for fifty of them. */
function pauseAfterLooks(before: number, took: number): number {
  return Math.min(lookMsMax, Math.max(lookMs, Math.min(before, took) * lookShare));
}

function begin(disk: Disk, { folder, directory, year }: YearFolder, note: string): Followed {
  const path = join(directory, "checkpoint");
  const origin = note.slice(0, note.indexOf("\n"));
  const place = parseOriginName(origin);
  if (place?.year !== year)
    throw new LogFault(
      "log-corrupt",
      `${path} is not a checkpoint of an origin of ${year}; restore it from the backup`,
    );
  const publicKey = readVerifierKey(disk, folder)?.publicKey ?? loadLogKey(disk, folder).publicKey;
  const seen = readOwnNote(note, path, { origin, publicKey });
  return { directory, origin, place, publicKey, marks: new FrameMarks(), walks: [], seen, ended: false, fault: null };
}

/** A log grows: what is smaller, or has another root at the same size, takes history back. */
function successor(seen: KeptCheckpoint, next: KeptCheckpoint): KeptCheckpoint {
  if (next.size > seen.size || (next.size === seen.size && sameBytes(next.root, seen.root))) return next;
  throw new LogFault(
    "log-rolled-back",
    `${next.path} says the log has ${next.size} leaves, but one signed over ${seen.size} (or another root) was there before; restore the newest copy of the directory, and keep this one for the investigation`,
  );
}

function heldOf({ origin, place, seen, publicKey }: Followed): HeldOrigin {
  const verifierKey = printVerifierKey(sha256, origin, publicKey);
  return { origin, ...place, size: seen.size, checkpoint: seen.note, verifierKey };
}

function unreadable(directory: string, error: unknown): LogFault {
  const why = error instanceof Error ? error.message : "unknown";
  return new LogFault("log-corrupt", `${directory} cannot be read (${why}); its records wait until it can`, error);
}
