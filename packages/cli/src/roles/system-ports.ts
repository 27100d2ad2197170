// Promises the machine's own clock and randomness, for the roles; tests bring seeded ones. Trusts the operating system.
import { getRandomValues } from "node:crypto";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** Asking the system costs the same for 10 bytes as for a page of them. */
const pool = new Uint8Array(4_096);
const pooledMax = 32;
let used = pool.length;

/** Plain arrays with memory of their own: the `slice` of a Buffer would share it. What was given out is erased here. */
export const systemRandom: Random = {
  bytes: (length) => {
    if (length > pooledMax) return getRandomValues(new Uint8Array(length));
    if (used + length > pool.length) {
      getRandomValues(pool);
      used = 0;
    }
    const bytes = pool.slice(used, used + length);
    pool.fill(0, used, used + length);
    used += length;
    return bytes;
  },
};
