// Promises one well-formed trace context upstream: a valid one is continued with a new parent, anything else is replaced.
// Trusts nothing of the caller but the trace id. Specified by W3C Trace Context §3.2.
import type { Random } from "@sallyport/kernel/ports.ts";

const shape = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const parentBytes = 8;
const traceBytes = 16;
const zeros = /^0+$/;

export interface ReceivedTrace {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** 16 of them, not all zero. */
  readonly parentId: string;
  readonly sampled: boolean;
}

/** A `traceparent` as it was received; null where it is none that may be continued. */
export function readTraceparent(received: string | undefined): ReceivedTrace | null {
  const [, version, traceId, parentId, flags, rest] = (received === undefined ? null : shape.exec(received)) ?? [];
  if (traceId === undefined || parentId === undefined || version === "ff") return null;
  if (zeros.test(traceId) || zeros.test(parentId) || (version === "00" && rest !== undefined)) return null;
  // Only the sampled bit is defined in version 00; other bits are not ours to pass on.
  return { traceId, parentId, sampled: (Number.parseInt(flags ?? "00", 16) & 1) === 1 };
}

/** The `traceparent` to send upstream for the one received, if any. */
export function continueTrace(received: string | undefined, random: Random): string {
  const usable = readTraceparent(received);
  const digits = digitsOf(random);
  const parent = digits.take(2 * parentBytes);
  if (usable === null) return `00-${digits.take(2 * traceBytes)}-${parent}-00`;
  return `00-${usable.traceId}-${parent}-${usable.sampled ? "01" : "00"}`;
}

const drawnBytes = 3_072;

/** Random hexadecimal digits, drawn and printed for many ids at once. */
class RandomDigits {
  readonly #random: Random;
  #digits = "";
  #used = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  take(count: number): string {
    if (this.#used + count > this.#digits.length) {
      this.#digits = Buffer.from(this.#random.bytes(drawnBytes)).toString("hex");
      this.#used = 0;
    }
    this.#used += count;
    return this.#digits.slice(this.#used - count, this.#used);
  }
}

const digitsByRandom = new WeakMap<Random, RandomDigits>();

function digitsOf(random: Random): RandomDigits {
  const known = digitsByRandom.get(random);
  if (known !== undefined) return known;
  const fresh = new RandomDigits(random);
  digitsByRandom.set(random, fresh);
  return fresh;
}
