// Promises that what the listeners saw is counted apart from what is recorded, and said in the log window by window, so that a crossing without a
// record shows. Trusts the log for order: what it acknowledged stands before what is appended later. Specified in docs/formats/leaf.md "Tallies".
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { TallyFields } from "@sallyport/protocol/audit/leaf.ts";
import { tallyWindowMs } from "@sallyport/protocol/audit/tally.ts";

/** Without traffic a tally is written so often, in windows. */
export const idleWindows = 360;
/** A window whose crossings have not all ended by then is told as it is, in windows after its own. */
export const waitWindows = 60;

export interface TallyPorts {
  readonly clock: Clock;
  /** Appends the leaves of the denials that are counted in windows before this one. */
  flushDenials(before: number): void;
  /** Appends the tally; rejects when it could not be. */
  append(fields: TallyFields): Promise<unknown>;
}

interface Counts {
  seen: number;
  crossings: number;
  intents: number;
  counted: number;
  refused: number;
}

const noCounts = (): Counts => ({ seen: 0, crossings: 0, intents: 0, counted: 0, refused: 0 });

/** Everything a tally says of some windows but which. */
export type TalliedCounts = Readonly<Counts> & { readonly unread: number };

function addCounts(to: Counts, more: Readonly<Counts>): void {
  to.seen += more.seen;
  to.crossings += more.crossings;
  to.intents += more.intents;
  to.counted += more.counted;
  to.refused += more.refused;
}

/** How a crossing that was seen ended, as far as the log has it. */
export type Told = "crossings" | "intents" | "counted" | "refused";

export class Tallies {
  readonly #ports: TallyPorts;
  readonly #windows = new Map<number, Counts>();
  /** First window that no durable tally covers. */
  #from: number;
  #unread = 0;
  /** Time of ids: never goes back. */
  #idMs: number;
  #windowSinceMs: number;
  #writing: Promise<void> | null = null;

  constructor(ports: TallyPorts) {
    this.#ports = ports;
    this.#idMs = ports.clock.now();
    this.#windowSinceMs = ports.clock.monotonic();
    this.#from = this.window;
  }

  /** Milliseconds for ids. */
  idMs(): number {
    const now = this.#ports.clock.now();
    if (now > this.#idMs) this.#moveTo(now);
    return this.#idMs;
  }

  /** The window of an id made now. */
  get window(): number {
    return Math.floor(this.#idMs / tallyWindowMs);
  }

  /** A request is there, before anyone has looked at it; the window it belongs to is that of an id made right before. */
  begin(): number {
    const { window } = this;
    this.#countsOf(window).seen++;
    return window;
  }

  told(window: number, how: Told): void {
    this.#countsOf(window)[how]++;
  }

  /** Something came that never became a request. */
  unread(): void {
    this.#unread++;
  }

  /** Closes windows that are over and whose crossings have all ended. */
  sweep(): void {
    const { clock } = this.#ports;
    this.idMs();
    // The clock stands still, or went back: windows go on.
    if (clock.monotonic() - this.#windowSinceMs >= 2 * tallyWindowMs) this.#moveTo((this.window + 1) * tallyWindowMs);
    this.#writing ??= this.#close().finally(() => {
      this.#writing = null;
    });
  }

  /** The first window that still waits for a crossing, or the one under way; and whether anything was counted before it. */
  settled(): { readonly due: number; readonly isWorth: boolean } {
    this.idMs();
    const due = this.#settledUpTo();
    return { due, isWorth: [...this.#windows.keys()].some((number) => number < due) };
  }

  /** Takes out what was counted in windows before `to`, for whoever says it together with what other threads counted. */
  take(to: number): TalliedCounts {
    const sum = this.#takeSum(to);
    const unread = this.#unread;
    this.#unread = 0;
    this.#from = Math.max(this.#from, to);
    return { ...sum, unread };
  }

  /** Says all that was counted, whatever has not ended. Resolves when it is durable or cannot be. */
  async stop(): Promise<void> {
    await this.#writing;
    this.#ports.flushDenials(Number.POSITIVE_INFINITY);
    await this.#write(this.window + 1, "stop");
  }

  #moveTo(ms: number): void {
    if (Math.floor(ms / tallyWindowMs) !== this.window) this.#windowSinceMs = this.#ports.clock.monotonic();
    this.#idMs = ms;
  }

  #countsOf(window: number): Counts {
    // What ends after its window was told is told with the next one: the verifier is to see it.
    const at = Math.max(window, this.#from);
    let counts = this.#windows.get(at);
    if (counts === undefined) {
      counts = noCounts();
      this.#windows.set(at, counts);
    }
    return counts;
  }

  async #close(): Promise<void> {
    const due = this.#settledUpTo();
    if (due <= this.#from || !this.#isWorth(due)) return;
    this.#ports.flushDenials(due);
    await this.#write(due, "time");
  }

  /** The first window that still waits for a crossing, or the one under way. */
  #settledUpTo(): number {
    const { window } = this;
    let due = window;
    for (const [number, { seen, crossings, intents, counted, refused }] of this.#windows)
      if (crossings + intents + counted + refused < seen && window - number <= waitWindows) due = Math.min(due, number);
    return due;
  }

  #isWorth(due: number): boolean {
    if (due - this.#from >= idleWindows) return true;
    for (const number of this.#windows.keys()) if (number < due) return true;
    return false;
  }

  #takeSum(to: number): Counts {
    const sum = noCounts();
    const taken: [number, Counts][] = [];
    for (const entry of this.#windows) if (entry[0] < to) taken.push(entry);
    for (const [number, counts] of taken) {
      this.#windows.delete(number);
      addCounts(sum, counts);
    }
    return sum;
  }

  async #write(to: number, closed: TallyFields["closed"]): Promise<void> {
    const sum = this.#takeSum(to);
    const from = this.#from;
    const unread = this.#unread;
    this.#from = to;
    this.#unread = 0;
    try {
      await this.#ports.append({ from: from * tallyWindowMs, to: to * tallyWindowMs, ...sum, unread, closed });
    } catch {
      // Said with the next one: nothing of it is lost while this process lives.
      this.#from = from;
      this.#unread += unread;
      const counts = this.#countsOf(from);
      addCounts(counts, sum);
    }
  }
}
