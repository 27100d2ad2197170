// Promises the machine's own clock and randomness, for the roles; tests bring seeded ones. Trusts the operating system.
import { randomBytes } from "node:crypto";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
export const systemRandom: Random = { bytes: (length) => randomBytes(length) };
