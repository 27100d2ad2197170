// Promises that effects on one resource run one at a time over all gateways of a store, in the order they came within one gateway, and that nobody waits
// longer than a bound. Trusts the store's lease between gateways. Specified in docs/idempotency.md "One writer at a time".
import type { DataPlane, OpenDataPlane } from "./data-plane.ts";

/** Longest wait for the writer before. */
export const writeWaitMsMax = 5_000;
/** Crossings that wait for one resource in one gateway, and in all. */
export const waitersPerResourceMax = 64;
export const waitersMax = 4_096;
const askAgainMsMin = 20;
const askAgainMsMax = 200;

interface Wanted {
  readonly resourceHash: Uint8Array;
  readonly crossing: string;
  readonly leaseMs: number;
  /** The caller is still there. */
  isWanted(): boolean;
}

export class Writers {
  readonly #plane: Pick<DataPlane, "now">;
  readonly #jitter: () => number;
  /** Who waits behind the one that writes, or asks the store. */
  readonly #lines = new Map<string, ((isTurn: boolean) => void)[]>();
  #waiting = 0;

  /** `jitter`: 0 to 1. */
  constructor(plane: Pick<DataPlane, "now">, jitter: () => number) {
    this.#plane = plane;
    this.#jitter = jitter;
  }

  /** Becomes the writer; false: not within the bound. Rejects as the store does. */
  async begin(open: OpenDataPlane, wanted: Wanted): Promise<boolean> {
    const name = Buffer.from(wanted.resourceHash).toString("hex");
    const untilMs = performance.now() + writeWaitMsMax;
    if (!(await this.#turn(name, writeWaitMsMax))) return false;
    try {
      if (await this.#ask(open, wanted, untilMs)) return true;
    } catch (cause) {
      this.#next(name);
      throw cause;
    }
    this.#next(name);
    return false;
  }

  /** The effect is over. Rejects as the store does; the next one's turn has come all the same. */
  async end(open: OpenDataPlane, { resourceHash, crossing }: Pick<Wanted, "resourceHash" | "crossing">): Promise<void> {
    try {
      await open.run("endWrite", { resourceHash, crossing });
    } finally {
      this.#next(Buffer.from(resourceHash).toString("hex"));
    }
  }

  async #ask(open: OpenDataPlane, wanted: Wanted, untilMs: number): Promise<boolean> {
    const { resourceHash, crossing, leaseMs } = wanted;
    for (let pauseMs = askAgainMsMin; wanted.isWanted(); pauseMs = Math.min(askAgainMsMax, pauseMs * 2)) {
      const input = { resourceHash, crossing, leaseMs, now: this.#plane.now() };
      if (await open.run("beginWrite", input)) return true;
      const waitMs = pauseMs * (0.5 + this.#jitter() / 2);
      if (performance.now() + waitMs >= untilMs) return false;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
    return false;
  }

  /** Waits for its turn in this gateway. */
  #turn(name: string, ms: number): Promise<boolean> {
    const line = this.#lines.get(name);
    if (line === undefined) {
      this.#lines.set(name, []);
      return Promise.resolve(true);
    }
    if (line.length >= waitersPerResourceMax || this.#waiting >= waitersMax) return Promise.resolve(false);
    this.#waiting += 1;
    return new Promise((resolve) => {
      const told = (isTurn: boolean): void => {
        clearTimeout(timer);
        this.#waiting -= 1;
        resolve(isTurn);
      };
      const timer = setTimeout(() => {
        line.splice(line.indexOf(told), 1);
        told(false);
      }, ms);
      line.push(told);
    });
  }

  #next(name: string): void {
    const next = this.#lines.get(name)?.shift();
    if (next === undefined) this.#lines.delete(name);
    else next(true);
  }
}
