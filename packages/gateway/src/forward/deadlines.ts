// Promises to call everybody whose time is over, at most one look late, with one timer for all: a timer per crossing is a cost of its own.
// Trusts the monotonic clock of the process.

/** Milliseconds between looks. */
export const lookMs = 20;

/** Something with a time by which it must be over. */
export interface Due {
  /** Milliseconds on the clock of `performance.now()`; infinite: never. */
  dueAtMs: number;
  /** Called once `dueAtMs` has passed; must set another or end the watch. */
  overdue(nowMs: number): void;
}

export class Deadlines {
  readonly #watched = new Set<Due>();
  #timer: NodeJS.Timeout | null = null;
  #idleLooks = 0;

  watch(due: Due): void {
    this.#watched.add(due);
    this.#idleLooks = 0;
    this.#timer ??= setInterval(() => this.#look(), lookMs);
  }

  end(due: Due): void {
    this.#watched.delete(due);
  }

  #look(): void {
    const nowMs = performance.now();
    for (const due of this.#watched) if (due.dueAtMs <= nowMs) due.overdue(nowMs);
    // Not stopped at once: traffic that comes in gaps would start and stop a timer all the time.
    if (this.#watched.size > 0 || ++this.#idleLooks < 3 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
