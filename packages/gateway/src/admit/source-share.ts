// Promises that the places of a listener are never all taken by a few sources: a source holds no more of them than are free, so that each newcomer finds
// some. Trusts its caller to tell of each connection that ends. Specified in docs/limits.md "Connections of a listener".
import { type Source, type SourceLengths, sourceKey } from "./source-prefix.ts";

/** How much a source may hold of a listener. */
export interface SourceShare {
  /** Times what is free: 1 leaves half of a listener to others than the greediest, a third to others than the two greediest. */
  readonly times: number;
  readonly lengths: SourceLengths;
}

/** Where a source is declared more than half of all (a balancer, say), it may take that much while it is alone; `Infinity`: all. */
export function shareTimes(perSourceMax: number, connectionsMax: number): number {
  if (perSourceMax >= connectionsMax) return Number.POSITIVE_INFINITY;
  return Math.max(1, perSourceMax / (connectionsMax - perSourceMax));
}

/** The places of one listener, by source. Remembers only what is open. */
export class SourceShares {
  readonly #share: SourceShare;
  readonly #connectionsMax: number;
  readonly #held = new Map<string, number>();
  #open = 0;

  constructor(share: SourceShare, connectionsMax: number) {
    this.#share = share;
    this.#connectionsMax = connectionsMax;
  }

  /** Takes a place and returns how to give it back; null: the source holds its share. */
  take(source: Source): (() => void) | null {
    const key = sourceKey(source, this.#share.lengths);
    const held = this.#held.get(key) ?? 0;
    // Who holds nothing is let in to the last place: only the listener's own bound ends that.
    if (held > 0 && held >= this.#share.times * (this.#connectionsMax - this.#open)) return null;
    this.#held.set(key, held + 1);
    this.#open += 1;
    return () => this.#giveBack(key);
  }

  #giveBack(key: string): void {
    this.#open -= 1;
    const left = (this.#held.get(key) ?? 1) - 1;
    if (left === 0) this.#held.delete(key);
    else this.#held.set(key, left);
  }
}
