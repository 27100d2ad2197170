// Promises that a flood of strangers cannot fill the log and cannot hide either: per (source prefix, reason, window) the first eight denials
// get a leaf of their own, the rest one counted leaf. Trusts the clock. Specified in DESIGN §4 Records and docs/formats/leaf.md (`denials`).
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";

export const denialWindowMs = 10_000;
export const denialsOfTheirOwn = 8;
const windowsMax = 8192;
/** Prefix under which everything is counted once too many windows are open. */
const overflowPrefix = "overflow";

export interface CountedDenials {
  readonly id: string;
  readonly prefix: string;
  readonly code: ProblemCode;
  readonly count: number;
  readonly windowMs: number;
}

/** A denial that may be counted: its own id, and the window in which its crossing was seen (tallies.ts). */
export interface CountableDenial {
  readonly id: string;
  readonly window: number;
}

interface Window {
  readonly seenIn: number;
  readonly startMs: number;
  readonly prefix: string;
  readonly code: ProblemCode;
  own: number;
  counted: number;
  countedId: string;
}

export class DenialWindows {
  readonly #clock: Clock;
  readonly #flush: (counted: CountedDenials) => void;
  readonly #windows = new Map<string, Window>();
  #newest = 0;

  constructor(io: {
    readonly clock: Clock;
    readonly flush: (counted: CountedDenials) => void;
  }) {
    this.#clock = io.clock;
    this.#flush = io.flush;
  }

  /** null: this denial gets its own leaf. Else the id of the counted leaf it is part of: that of the first denial in it. */
  count(prefix: string, code: ProblemCode, denial: CountableDenial): string | null {
    const window = this.#windowOf(prefix, code, denial.window);
    if (window.own < denialsOfTheirOwn) {
      window.own++;
      return null;
    }
    if (window.counted === 0) window.countedId = denial.id;
    window.counted++;
    return window.countedId;
  }

  #windowOf(prefix: string, code: ProblemCode, seenIn: number): Window {
    const now = this.#clock.monotonic();
    if (seenIn > this.#newest) {
      this.#newest = seenIn;
      this.sweep();
    }
    // A leaf counts denials of one window, so that they can be held against what the listeners saw in it.
    const key = `${seenIn}\n${prefix}\n${code}`;
    const known = this.#windows.get(key);
    if (known !== undefined && now - known.startMs < denialWindowMs) return known;
    if (known !== undefined) this.#close(key, known);
    else if (this.#windows.size >= windowsMax) {
      this.sweep();
      if (this.#windows.size >= windowsMax && prefix !== overflowPrefix)
        return this.#windowOf(overflowPrefix, code, seenIn);
    }
    const fresh: Window = { seenIn, startMs: now, prefix, code, own: 0, counted: 0, countedId: "" };
    this.#windows.set(key, fresh);
    return fresh;
  }

  /** Ends the windows whose time is over; `all` ends every one (before closing). */
  sweep(all = false): void {
    const now = this.#clock.monotonic();
    for (const [key, window] of this.#windows)
      if (all || now - window.startMs >= denialWindowMs) this.#close(key, window);
  }

  /** Ends those of crossings that were seen in windows before this one. */
  flush(before: number): void {
    for (const [key, window] of this.#windows) if (window.seenIn < before) this.#close(key, window);
  }

  #close(key: string, window: Window): void {
    this.#windows.delete(key);
    if (window.counted === 0) return;
    this.#flush({
      id: window.countedId,
      prefix: window.prefix,
      code: window.code,
      count: window.counted,
      windowMs: denialWindowMs,
    });
  }
}
