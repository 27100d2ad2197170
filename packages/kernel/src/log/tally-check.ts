// Promises to hold what a gateway's listeners counted against the leaves that are there: what is missing is found as what is changed is.
// Trusts the order of the leaves it is given. Rules: docs/formats/leaf.md "Tallies".

import { type LeafHead, parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { type TallyLeaf, tallyWindowMs, windowOfId } from "@sallyport/protocol/audit/tally.ts";
import { EarlyCheck, type EarlyCounts, type EarlyLeaf } from "./early-check.ts";

/** The last windows of a run that ended without saying so. */
export interface CrashWindow {
  /** Milliseconds: where the last tally ended, or the first window with a leaf begins. */
  readonly from: number;
  /** `at` of the `start` leaf that followed; null: the log ends there. */
  readonly until: number | null;
  /** Crossings that were found there. */
  readonly leaves: number;
}

export interface TallyCounts {
  tallies: number;
  seen: number;
  refused: number;
  unread: number;
  /** Crossings in leaves of runs without any tally. */
  uncounted: number;
  crashes: number;
  /** The first 100 of them. */
  readonly crashWindows: CrashWindow[];
  readonly early: EarlyCounts;
}

interface Window {
  crossings: number;
  intents: number;
  counted: number;
}

/** Windows without a tally that are kept in mind; a gateway closes them within the hour, which has 360. */
const windowsMax = 8_192;
const crashWindowsMax = 100;

const emptyWindow = (): Window => ({ crossings: 0, intents: 0, counted: 0 });

const noCounts = () => ({
  tallies: 0,
  seen: 0,
  refused: 0,
  unread: 0,
  uncounted: 0,
  crashes: 0,
  crashWindows: [],
});

export class TallyCheck {
  readonly #early: EarlyCheck;
  readonly counts: TallyCounts;
  #windows = new Map<number, Window>();
  #last: { readonly number: number; readonly window: Window } | null = null;
  /** Where the last tally of this run ended; null before the first. */
  #to: number | null = null;
  /** Windows that begin before this were not all read. */
  readonly #known: number;

  /** `knownFrom`: milliseconds; only windows that begin later are judged. */
  constructor(knownFrom = 0) {
    this.#known = knownFrom;
    this.#early = new EarlyCheck({ isFromBeginning: knownFrom === 0 });
    this.counts = { ...noCounts(), early: this.#early.counts };
  }

  /** Takes one crossing of a window. A text says what is wrong. */
  take(number: number, kind: "crossings" | "intents"): string | null {
    return this.#add(number, kind, 1);
  }

  /** Takes a leaf of counted denials. */
  takeCounted(number: number, count: number): string | null {
    return this.#add(number, "counted", count);
  }

  #add(number: number, kind: keyof Window, count: number): string | null {
    if (this.#last?.number === number) {
      this.#last.window[kind] += count;
      return null;
    }
    if (this.#to !== null && number * tallyWindowMs < this.#to && number * tallyWindowMs >= this.#known)
      return "is of a window whose tally stands before it";
    let window = this.#windows.get(number);
    if (window === undefined) {
      if (this.#windows.size >= windowsMax) this.#forget();
      window = emptyWindow();
      this.#windows.set(number, window);
    }
    window[kind] += count;
    this.#last = { number, window };
    return null;
  }

  #forget(): void {
    for (const [number, window] of this.#windows) {
      this.counts.uncounted += window.crossings + window.intents;
      this.#windows.delete(number);
      break;
    }
  }

  /** Takes a tally; texts say what does not add up. */
  tally(tally: TallyLeaf): readonly string[] {
    const { from, to } = tally;
    this.counts.tallies += 1;
    this.counts.seen += tally.seen;
    this.counts.refused += tally.refused;
    this.counts.unread += tally.unread;
    const wrong: string[] = [];
    if (from >= to || from % tallyWindowMs !== 0 || to % tallyWindowMs !== 0)
      wrong.push("is a tally of no whole windows");
    if (this.#to !== null && from !== this.#to)
      wrong.push(`is a tally from ${from}, but the one before it ended at ${this.#to}`);
    const found = this.#takeUp(from, to);
    if (from > this.#known || this.#known === 0) wrong.push(...compare(tally, found));
    this.#to = tally.closed === "stop" ? null : to;
    if (tally.closed === "stop") this.#endRun();
    return wrong;
  }

  /** The sums of the windows of a tally; those before it are in no tally. */
  #takeUp(from: number, to: number): Window & { readonly astray: number } {
    const sum = { ...emptyWindow(), astray: 0 };
    for (const [number, window] of this.#windows) {
      const at = number * tallyWindowMs;
      if (at >= to) continue;
      this.#windows.delete(number);
      if (at < from) {
        if (at >= this.#known) sum.astray += sizeOf(window);
        continue;
      }
      sum.crossings += window.crossings;
      sum.intents += window.intents;
      sum.counted += window.counted;
    }
    this.#last = null;
    return sum;
  }

  /** Takes a promise to answer early, or its end. A text says what is wrong. */
  takeEarly(leaf: EarlyLeaf): string | null {
    return this.#early.take(leaf);
  }

  /** A process began at `at`: the run before it is over. */
  start(at: number): void {
    this.#early.crashed(at);
    this.#crashed(at);
    this.#endRun();
  }

  /** The log ends here. `live`: it goes on elsewhere, and so do its open windows. */
  end(live: boolean): void {
    if (live) return;
    this.#early.crashed(null);
    this.#crashed(null);
  }

  #crashed(until: number | null): void {
    let leaves = 0;
    for (const window of this.#windows.values()) leaves += window.crossings + window.intents;
    if (this.counts.tallies === 0) {
      this.counts.uncounted += leaves;
      return;
    }
    const from = this.#to ?? Math.min(...this.#windows.keys()) * tallyWindowMs;
    if (!Number.isFinite(from)) return;
    this.counts.crashes += 1;
    if (this.counts.crashWindows.length < crashWindowsMax) this.counts.crashWindows.push({ from, until, leaves });
  }

  #endRun(): void {
    this.#to = null;
    this.#windows.clear();
    this.#last = null;
  }
}

const sizeOf = ({ crossings, intents, counted }: Window): number => crossings + intents + counted;

function compare(tally: TallyLeaf, found: Window & { readonly astray: number }): string[] {
  const wrong: string[] = [];
  const recorded = tally.crossings + tally.intents + tally.counted + tally.refused;
  const where = `between ${tally.from} and ${tally.to}`;
  if (tally.seen > recorded)
    wrong.push(`says that ${tally.seen} crossings were seen ${where}, and ${tally.seen - recorded} never recorded`);
  if (tally.seen < recorded)
    wrong.push(`says that ${recorded} crossings were recorded ${where}, of ${tally.seen} that were seen`);
  for (const kind of ["crossings", "intents", "counted"] as const) {
    if (tally[kind] === found[kind]) continue;
    const difference = tally[kind] > found[kind] ? "are missing" : "are too many";
    wrong.push(
      `says ${tally[kind]} ${kind} ${where}, the log holds ${found[kind]}: ${Math.abs(tally[kind] - found[kind])} ${difference}`,
    );
  }
  if (found.astray > 0) wrong.push(`begins at ${tally.from}, and ${found.astray} crossings before it are in no tally`);
  return wrong;
}

/** Takes a leaf that has its form, whatever it says of windows; texts say what does not add up. */
export function countLeaf(check: TallyCheck, head: LeafHead, text: string): readonly string[] {
  const window = head.id === null ? null : windowOfId(head.id);
  const one = (wrong: string | null) => (wrong === null ? [] : [wrong]);
  switch (head.t) {
    case "crossing":
      return window === null ? [] : one(check.take(window, "crossings"));
    case "intent":
      return window === null ? [] : one(check.take(window, "intents"));
    case "denials":
    case "tally":
    case "buffered":
    case "settled":
    case "start": {
      const leaf = parseLeaf(Buffer.from(text, "latin1"));
      if (leaf.t === "denials") return window === null ? [] : one(check.takeCounted(window, leaf.count));
      if (leaf.t === "tally") return check.tally(leaf);
      if (leaf.t === "buffered" || leaf.t === "settled") return one(check.takeEarly(leaf));
      check.start(leaf.at);
      return [];
    }
    default:
      return [];
  }
}
