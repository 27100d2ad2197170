// Promises rows of numbers by name that all threads of a node read and write as one: whoever has a row has it alone, a full table says so, and nobody without
// the secret can aim for a place. Trusts its users to be quick while they have a row. Specified in docs/workers.md.
import { hash } from "node:crypto";
import { SharedLock } from "./shared-lock.ts";

/** What is kept of one name; all nought at first. */
export interface SharedRow {
  readonly words: Float64Array;
  /** Where its words begin. */
  readonly at: number;
}

export interface SharedTableShape {
  /** A power of two. */
  readonly slots: number;
  /** Numbers of one row. */
  readonly width: number;
}

export interface SharedTableMemory extends SharedTableShape {
  readonly lock: SharedArrayBuffer;
  readonly keys: SharedArrayBuffer;
  readonly words: SharedArrayBuffer;
}

/** Slots looked at before the table counts as full. */
const probesMax = 64;
const wordBytes = 8;
/** Keys remembered, so that a name costs one hash and not one each time; full, remembering begins anew. */
const keysMax = 4_096;

export function allocateSharedTable({ slots, width }: SharedTableShape): SharedTableMemory {
  if (!Number.isInteger(Math.log2(slots))) throw new RangeError("slots must be a power of two");
  const keys = new SharedArrayBuffer(wordBytes * slots);
  return {
    slots,
    width,
    lock: new SharedArrayBuffer(4),
    keys,
    words: new SharedArrayBuffer(wordBytes * width * slots),
  };
}

/** How readily a row may be forgotten for another name: the lowest first; infinite: never. */
export type ForgetRank = (row: SharedRow) => number;

export class SharedTable {
  readonly #shape: SharedTableShape;
  readonly #lock: SharedLock;
  readonly #keys: BigInt64Array;
  readonly #words: Float64Array;
  readonly #secret: string;
  readonly #known = new Map<string, bigint>();

  /** All openers must hold the same secret. */
  constructor(memory: SharedTableMemory, secret: Uint8Array) {
    this.#shape = memory;
    this.#lock = new SharedLock(memory.lock);
    this.#keys = new BigInt64Array(memory.keys);
    this.#words = new Float64Array(memory.words);
    this.#secret = Buffer.from(secret).toString("hex");
  }

  /** Has the row of a name to itself while `act` runs; null: there is no room for it. */
  change<T>(name: string, rank: ForgetRank, act: (row: SharedRow) => T): T | null {
    const key = this.#keyOf(name);
    return this.#lock.run(() => {
      const slot = this.#find(key, rank);
      return slot === -1 ? null : act(this.#rowAt(slot));
    });
  }

  /** As `change`, where the name has a row; null: it has none. */
  known<T>(name: string, act: (row: SharedRow) => T): T | null {
    const key = this.#keyOf(name);
    return this.#lock.run(() => {
      const start = this.#startOf(key);
      for (let probe = 0; probe < probesMax; probe++) {
        const slot = (start + probe) % this.#shape.slots;
        if (this.#keys[slot] === key) return act(this.#rowAt(slot));
        if (this.#keys[slot] === 0n) return null;
      }
      return null;
    });
  }

  /** Rows of which `is` says yes. */
  count(is: (row: SharedRow) => boolean): number {
    return this.#lock.run(() => {
      let count = 0;
      for (const [slot, key] of this.#keys.entries()) if (key !== 0n && is(this.#rowAt(slot))) count++;
      return count;
    });
  }

  /** The slot of a key, a free one, or that of the row which may be forgotten first; -1: there is none. */
  #find(key: bigint, rank: ForgetRank): number {
    const start = this.#startOf(key);
    let [chosen, lowest] = [-1, Number.POSITIVE_INFINITY];
    for (let probe = 0; probe < probesMax; probe++) {
      const slot = (start + probe) % this.#shape.slots;
      const owner = this.#keys[slot];
      if (owner === key) return slot;
      if (owner === 0n) return this.#give(slot, key);
      const ranked = rank(this.#rowAt(slot));
      if (ranked < lowest) [chosen, lowest] = [slot, ranked];
    }
    return chosen === -1 ? -1 : this.#give(chosen, key);
  }

  #give(slot: number, key: bigint): number {
    const { width } = this.#shape;
    this.#words.fill(0, slot * width, (slot + 1) * width);
    this.#keys[slot] = key;
    return slot;
  }

  #rowAt(slot: number): SharedRow {
    return { words: this.#words, at: slot * this.#shape.width };
  }

  #startOf(key: bigint): number {
    return Number(BigInt.asUintN(32, key)) % this.#shape.slots;
  }

  #keyOf(name: string): bigint {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    if (this.#known.size >= keysMax) this.#known.clear();
    // As in identify/replay-set.ts; nought means empty.
    const key = hash("sha256", this.#secret + name, "buffer").readBigInt64LE(0) || 1n;
    this.#known.set(name, key);
    return key;
  }
}
