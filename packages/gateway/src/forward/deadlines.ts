// Promises to call everybody whose time is over, at most one look late, with one timer for all: a timer per crossing is a cost of its own. What had
// arrived by then is read first: a process that stood still for a moment has no slow peer. Trusts the monotonic clock of the process.

/** Milliseconds between looks. */
export const lookMs = 20;

/** Something with a time by which it must be over. */
export interface Due {
  /** Milliseconds on the clock of `performance.now()`; infinite: never. */
  dueAtMs: number;
  /** Its place among those watched; -1 where it is not. Kept by Deadlines alone. */
  place: number;
  /** Called once `dueAtMs` has passed and what had arrived has been read; must set another or end the watch. */
  overdue(nowMs: number): void;
}

export class Deadlines {
  /** Not a Set: with entries coming and going it keeps a chain of its former tables, and with them ended crossings, alive. */
  readonly #watched: Due[] = [];
  #timer: NodeJS.Timeout | null = null;
  #idleLooks = 0;

  watch(due: Due): void {
    if (due.place >= 0) return;
    due.place = this.#watched.push(due) - 1;
    this.#idleLooks = 0;
    this.#timer ??= setInterval(() => this.#look(), lookMs);
  }

  end(due: Due): void {
    if (due.place < 0) return;
    const last = this.#watched.pop();
    // The last one takes the place that is free.
    if (last !== undefined && last !== due) {
      this.#watched[due.place] = last;
      last.place = due.place;
    }
    due.place = -1;
  }

  #look(): void {
    const nowMs = performance.now();
    // Timers are served before sockets: whoever is due is told behind them, unless that changed it.
    if (this.#watched.some(({ dueAtMs }) => dueAtMs <= nowMs)) setImmediate(() => this.#tell(nowMs));
    // Not stopped at once: traffic that comes in gaps would start and stop a timer all the time.
    if (this.#watched.length > 0 || ++this.#idleLooks < 3 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #tell(nowMs: number): void {
    // Backwards, because one that ends itself is replaced by one that has been looked at.
    for (let i = this.#watched.length - 1; i >= 0; i--) {
      const due = this.#watched[i];
      if (due !== undefined && due.dueAtMs <= nowMs) due.overdue(nowMs);
    }
  }
}
