// Promises that no calling system fills the store for all others: each has so many keys at most, counted over all gateways within a few of the truth.
// Trusts the store's counter, to which each gateway adds what it made. Specified in docs/idempotency.md "Bounds".
import type { OpenDataPlane } from "./data-plane.ts";

/** Keys of one calling system. */
export const keysPerCallerMax = 1_000_000;
/** Keys made before they are told to the store: a gateway that dies forgets at most so many. */
const toldTogether = 64;
/** A count is asked for again after so long. */
const countedMsMax = 10_000;
/** Where nothing more is let in, sooner. */
const fullCountedMsMax = 1_000;
const callersMax = 10_000;

interface Count {
  keys: number;
  more: number;
  countedAtMs: number;
}

export class KeyCounts {
  readonly #keysMax: number;
  readonly #counts = new Map<string, Count>();

  constructor(keysMax: number = keysPerCallerMax) {
    this.#keysMax = keysMax;
  }

  /** Is there room for one more? `nowMs`: monotonic. Rejects as the store does. */
  async hasRoom(plane: OpenDataPlane, owner: Uint8Array, nowMs: number): Promise<boolean> {
    const name = Buffer.from(owner).toString("hex");
    let count = this.#counts.get(name);
    if (count === undefined) {
      if (this.#counts.size >= callersMax) this.#counts.clear();
      count = { keys: 0, more: 0, countedAtMs: Number.NEGATIVE_INFINITY };
      this.#counts.set(name, count);
    }
    const isFull = count.keys + count.more >= this.#keysMax;
    const ageMs = nowMs - count.countedAtMs;
    if (count.more >= toldTogether || ageMs >= (isFull ? fullCountedMsMax : countedMsMax)) {
      const { more } = count;
      count.more = 0;
      count.countedAtMs = nowMs;
      count.keys = await plane.run("countKeys", { owner, more });
    }
    return count.keys + count.more < this.#keysMax;
  }

  /** One more, or one less. */
  changed(owner: Uint8Array, by: 1 | -1): void {
    const count = this.#counts.get(Buffer.from(owner).toString("hex"));
    if (count !== undefined) count.more += by;
  }
}
