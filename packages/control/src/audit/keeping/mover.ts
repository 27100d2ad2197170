// Promises that every log control holds is in the archive store: each by itself, again after a pause when it fails, and never in the way of a crossing or an
// act; what is not there yet, since when and why is said. Trusts archive-log.ts for each run. Described in docs/archive.md "What is archived when".
import type { LogSource, LogSources } from "@sallyport/kernel/archive/log-source.ts";
import type { ArchiveHealth, ArchiveStore, Keeping } from "@sallyport/kernel/archive/port.ts";
import type { Disk } from "@sallyport/kernel/log/disk.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { KeptLog } from "./sweep.ts";

export interface MoverOptions {
  readonly place: string;
  readonly open: () => Promise<ArchiveStore>;
  readonly sources: () => LogSources;
  readonly keeping: (source: LogSource) => Promise<Keeping>;
  /** Looks after what is there: dates, holds, removal; resolves with what stays. */
  readonly sweep: (store: ArchiveStore) => Promise<readonly KeptLog[]>;
  readonly disk: Disk;
  readonly clock: Pick<Clock, "now">;
  readonly everyMs: number;
  /** Told of each failure once, until something else fails or it works again. */
  readonly fault: (error: unknown) => void;
}

/** A log that is not wholly in the store. */
export interface BehindLog {
  readonly origin: string;
  readonly leaves: number;
  /** Milliseconds since the epoch: since when something signed is not there. */
  readonly since: number;
  readonly fault: string | null;
}

export interface StoreStanding {
  readonly place: string;
  /** Null until it was opened in this run of control. */
  readonly health: ArchiveHealth | null;
  /** Logs that are there up to what was signed. */
  readonly whole: number;
  readonly behind: readonly BehindLog[];
  /** Why the store, or a log here, cannot be opened; null when nothing stands in the way. */
  readonly fault: string | null;
  /** Absent: a control plane of before this version. */
  readonly moved?: MovedTotals;
}

/** Since this run of control began. */
export interface MovedTotals {
  readonly segments: number;
  readonly bytes: number;
  /** Runs over a log, and openings of the store, that failed. */
  readonly failures: number;
}

/** So many leaves are archived at once, whatever `every` says. */
const leavesDue = 32_768;
const pauseMsMin = 10_000;
const pauseMsMax = 900_000;
const healthEveryMs = 60_000;
const sweepEveryMs = 3_600_000;

interface Moving {
  /** In the store; null: not looked at yet in this run. */
  archived: number | null;
  size: number;
  behindSince: number | null;
  archivedAt: number;
  failures: number;
  notBefore: number;
  fault: string | null;
}

export class ArchiveMover {
  readonly #options: MoverOptions;
  /** Bounded by the logs control holds. */
  readonly #moving = new Map<string, Moving>();
  #store: ArchiveStore | null = null;
  #health: ArchiveHealth | null = null;
  #healthAt = Number.NEGATIVE_INFINITY;
  #trouble: { readonly text: string; readonly failures: number; readonly notBefore: number } | null = null;
  #unreadable: string | null = null;
  #kept: readonly KeptLog[] | null = null;
  #sweepAt = Number.NEGATIVE_INFINITY;
  #sweepFault: string | null = null;
  #isStopping = false;
  readonly #moved = { segments: 0, bytes: 0, failures: 0 };

  constructor(options: MoverOptions) {
    this.#options = options;
  }

  /** The opened store, or null while it cannot be opened. */
  get store(): ArchiveStore | null {
    return this.#store;
  }

  /** What the store held at the last sweep of this run; null before the first. */
  get kept(): readonly KeptLog[] | null {
    return this.#kept;
  }

  get moved(): MovedTotals {
    return this.#moved;
  }

  /** Holds have changed: the next round tells the store. */
  sweepSoon(): void {
    this.#sweepAt = Number.NEGATIVE_INFINITY;
  }

  /** One round over all logs; call it again and again, never twice at once. Never rejects. */
  async tick(): Promise<void> {
    const { sources, faults } = this.#read();
    this.#unreadable = faults[0]?.message ?? null;
    for (const source of sources) this.#note(source);
    const store = await this.#opened();
    if (store === null) return;
    for (const source of sources) {
      if (this.#isStopping) return;
      await this.#move(store, source);
    }
    if (!this.#isStopping && this.#options.clock.now() >= this.#sweepAt) await this.#sweep(store);
  }

  standing(): StoreStanding {
    const behind: BehindLog[] = [];
    let whole = 0;
    for (const [origin, { archived, size, behindSince, fault }] of this.#moving) {
      if (archived === size) whole += 1;
      else
        behind.push({ origin, leaves: size - (archived ?? 0), since: behindSince ?? this.#options.clock.now(), fault });
    }
    const fault = this.#trouble?.text ?? this.#unreadable ?? this.#sweepFault;
    return { place: this.#options.place, health: this.#health, whole, behind, fault, moved: { ...this.#moved } };
  }

  /** Resolves when nothing runs any more; what was begun is continued by the next run. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#store?.close();
    this.#store = null;
  }

  #read(): LogSources {
    try {
      return this.#options.sources();
    } catch (error) {
      return { sources: [], faults: [error instanceof Error ? error : new Error(String(error))] };
    }
  }

  #note({ origin, size }: LogSource): void {
    const now = this.#options.clock.now();
    const known = this.#moving.get(origin);
    if (known === undefined)
      this.#moving.set(origin, {
        ...{ archived: null, size, behindSince: now, archivedAt: Number.NEGATIVE_INFINITY },
        ...{ failures: 0, notBefore: 0, fault: null },
      });
    else {
      known.size = size;
      if (known.archived !== size) known.behindSince ??= now;
    }
  }

  async #opened(): Promise<ArchiveStore | null> {
    const { clock, open } = this.#options;
    if (this.#trouble !== null && clock.now() < this.#trouble.notBefore) return null;
    try {
      this.#store ??= await open();
      if (clock.now() - this.#healthAt >= healthEveryMs) {
        this.#health = await this.#store.health();
        this.#healthAt = clock.now();
      }
      this.#trouble = null;
      return this.#store;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (this.#trouble?.text !== text) this.#options.fault(error);
      this.#moved.failures += 1;
      const failures = (this.#trouble?.failures ?? 0) + 1;
      this.#trouble = { text, failures, notBefore: clock.now() + pauseMs(failures) };
      return null;
    }
  }

  async #sweep(store: ArchiveStore): Promise<void> {
    const { clock, sweep, fault } = this.#options;
    // Before it runs: what changes meanwhile asks for the next one.
    this.#sweepAt = clock.now() + sweepEveryMs;
    try {
      this.#kept = await sweep(store);
      this.#sweepFault = null;
    } catch (error) {
      if (this.#isStopping) return;
      const text = error instanceof Error ? error.message : String(error);
      if (this.#sweepFault !== text) fault(error);
      this.#sweepFault = text;
      this.#sweepAt = clock.now() + pauseMsMax;
    }
  }

  async #move(store: ArchiveStore, source: LogSource): Promise<void> {
    const moving = this.#moving.get(source.origin);
    if (moving === undefined || moving.archived === source.size) return;
    const { clock, disk, keeping, everyMs } = this.#options;
    if (clock.now() < moving.notBefore) return;
    const archive = await import("@sallyport/kernel/archive/archive-log.ts");
    try {
      moving.archived ??= await archive.archivedSize(store, source);
      if (!this.#isDue(moving, source, clock.now() - everyMs)) return;
      const kept = await keeping(source);
      moving.archived = await archive.archiveLog({
        ...{ store, disk, source, keeping: kept },
        onSegment: ({ bytes }) => {
          this.#moved.segments += 1;
          this.#moved.bytes += bytes;
          if (this.#isStopping) throw new StopAsked();
        },
      });
      Object.assign(moving, { archivedAt: clock.now(), failures: 0, notBefore: 0, fault: null });
      if (moving.archived === moving.size) moving.behindSince = null;
    } catch (error) {
      if (error instanceof StopAsked || this.#isStopping) return;
      this.#failed(moving, error);
    }
  }

  #isDue(moving: Moving, source: LogSource, dueBefore: number): boolean {
    const missing = source.size - (moving.archived ?? 0);
    if (missing === 0) {
      moving.behindSince = null;
      return false;
    }
    // Also what takes a log back: the run refuses it and says so.
    if (missing < 0 || source.isEnded || missing >= leavesDue) return true;
    return moving.archivedAt <= dueBefore;
  }

  #failed(moving: Moving, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (moving.fault !== text) this.#options.fault(error);
    moving.fault = text;
    this.#moved.failures += 1;
    moving.failures += 1;
    moving.notBefore = this.#options.clock.now() + pauseMs(moving.failures);
    // What is there is looked up anew: another node, or a hand, may have been there.
    moving.archived = null;
  }
}

class StopAsked extends Error {}

/** Doubled with each failure in a row. */
function pauseMs(failures: number): number {
  return Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(failures - 1, 10));
}
