// Promises the number of crossings under way per counted thing over all threads of a node: a limit of concurrency lets through so many and no more,
// whichever thread they came to. A full table lets nothing more through. Trusts the shared table. Specified in docs/limits.md and docs/workers.md.
import type { Place, UnderWay } from "../limit/in-flight.ts";
import type { SharedRow, SharedTable } from "./shared-table.ts";

export const inFlightWidth = 1;

export class SharedInFlight implements UnderWay {
  readonly #table: SharedTable;

  constructor(table: SharedTable) {
    this.#table = table;
  }

  take(name: string, max: number): Place | null {
    const isTaken = this.#table.change(name, countAt, ({ words, at }) => {
      const count = words[at] ?? 0;
      if (count < max) words[at] = count + 1;
      return count < max;
    });
    if (isTaken !== true) return null;
    let isHeld = true;
    return {
      giveBack: () => {
        if (isHeld) this.#leave(name);
        isHeld = false;
      },
    };
  }

  countOf(name: string): number {
    return this.#table.known(name, ({ words, at }) => words[at] ?? 0) ?? 0;
  }

  get size(): number {
    return this.#table.count(({ words, at }) => (words[at] ?? 0) > 0);
  }

  #leave(name: string): void {
    this.#table.known(name, ({ words, at }) => {
      words[at] = Math.max(0, (words[at] ?? 0) - 1);
    });
  }
}

/** What stands at nought may be forgotten. */
const countAt = ({ words, at }: SharedRow): number => ((words[at] ?? 0) > 0 ? Number.POSITIVE_INFINITY : 0);
