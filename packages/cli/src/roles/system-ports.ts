// Promises the machine's own clock and randomness, for the roles; tests bring seeded ones. Trusts the operating system.
import { getRandomValues } from "node:crypto";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** Plain arrays with memory of their own: the `slice` of a Buffer would share it. */
export const systemRandom: Random = { bytes: (length) => getRandomValues(new Uint8Array(length)) };
