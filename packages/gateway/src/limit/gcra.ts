// Promises a rate limit that is exact under concurrency: the generic cell rate algorithm, one compare-and-swap per decision, in memory all
// threads of the node share. A full table refuses. Trusts the monotonic clock. Specified by ITU-T I.371 Annex A.
import { createHmac } from "node:crypto";

export interface RateRule {
  readonly rate: number;
  readonly periodMs: number;
  readonly burst: number;
}

export interface RateState {
  readonly allowed: boolean;
  /** Whole requests that would pass right now. */
  readonly remaining: number;
  /** Milliseconds until one more passes; 0 when one passes now. */
  readonly retryAfterMs: number;
  /** Milliseconds until the limit is wholly unused again. */
  readonly resetMs: number;
}

export interface RateLimiter {
  /** Key of a counted thing; keep it, it costs a hash. */
  key(name: string): bigint;
  /** Takes one permit, or says when one is free; null when the table has no room. */
  take(key: bigint, rule: RateRule, nowMs: number): RateState | null;
  /** Counts one that somebody else let through; beyond the limit it counts as just at it. A table without room counts nothing. */
  charge(key: bigint, rule: RateRule, nowMs: number): void;
  /** Gives back a permit that another limit's refusal made pointless. */
  refund(key: bigint, rule: RateRule): void;
}

const probesMax = 64;
const slotWords = 2;
/** Another thread may take the very slot we found; then we look again, this often. */
const claimTriesMax = 4;
export const rateTableSlots = 1 << 16;

/** Memory for `slots` (a power of two) counted things, shared by all threads of the node. */
export function allocateRateTable(slots: number): SharedArrayBuffer {
  if (!Number.isInteger(Math.log2(slots))) throw new RangeError("slots must be a power of two");
  return new SharedArrayBuffer(8 * slotWords * slots);
}

/** Pure GCRA: given the theoretical arrival time of the next conforming request, may one come at `now`? All in microseconds. */
export function decideRate(tatUs: number, nowUs: number, rule: RateRule): RateState & { readonly nextTatUs: number } {
  const incrementUs = (rule.periodMs * 1000) / rule.rate;
  const toleranceUs = incrementUs * (rule.burst - 1);
  const arrivalUs = Math.max(tatUs, nowUs);
  const earlyUs = arrivalUs - nowUs - toleranceUs;
  if (earlyUs > 0) {
    return {
      allowed: false,
      remaining: 0,
      retryAfterMs: Math.ceil(earlyUs / 1000),
      resetMs: Math.ceil((arrivalUs - nowUs) / 1000),
      nextTatUs: tatUs,
    };
  }
  const nextTatUs = arrivalUs + Math.ceil(incrementUs);
  const usedUs = nextTatUs - nowUs;
  const remaining = Math.max(0, Math.floor((toleranceUs + incrementUs - usedUs) / incrementUs));
  return { allowed: true, remaining, retryAfterMs: 0, resetMs: Math.ceil(usedUs / 1000), nextTatUs };
}

/** Opens the shared table; all openers must hold the same `secret`, so that nobody can aim for a slot. */
export function openRateTable(memory: SharedArrayBuffer, secret: Uint8Array): RateLimiter {
  const words = new BigInt64Array(memory);
  const slots = words.length / slotWords;
  const find = (key: bigint, nowUs: number): number => {
    const start = Number(BigInt.asUintN(32, key)) % slots;
    let reusable = -1;
    for (let probe = 0; probe < probesMax; probe++) {
      const index = ((start + probe) % slots) * slotWords;
      const owner = Atomics.load(words, index);
      if (owner === key) return index;
      if (owner === 0n) return claim(words, reusable >= 0 ? reusable : index, key);
      // A slot whose time has passed is as good as empty: its limit is wholly unused again.
      if (reusable < 0 && Number(Atomics.load(words, index + 1)) <= nowUs) reusable = index;
    }
    return reusable >= 0 ? claim(words, reusable, key) : -1;
  };
  return {
    key(name) {
      return createHmac("sha256", secret).update(name).digest().readBigInt64LE(0) || 1n;
    },
    take(key, rule, nowMs) {
      const nowUs = Math.floor(nowMs * 1000);
      let index = find(key, nowUs);
      for (let tries = 1; index < 0 && tries < claimTriesMax; tries++) index = find(key, nowUs);
      if (index < 0) return null;
      for (;;) {
        const seen = Atomics.load(words, index + 1);
        const decision = decideRate(Number(seen), nowUs, rule);
        if (!decision.allowed) return decision;
        if (Atomics.compareExchange(words, index + 1, seen, BigInt(decision.nextTatUs)) === seen) return decision;
      }
    },
    charge(key, rule, nowMs) {
      const nowUs = Math.floor(nowMs * 1000);
      const index = find(key, nowUs);
      if (index < 0) return;
      const incrementUs = Math.ceil((rule.periodMs * 1000) / rule.rate);
      const fullUs = nowUs + Math.floor(incrementUs * rule.burst);
      for (;;) {
        const seen = Atomics.load(words, index + 1);
        const next = BigInt(Math.min(Math.max(Number(seen), nowUs) + incrementUs, fullUs));
        if (Atomics.compareExchange(words, index + 1, seen, next) === seen) return;
      }
    },
    refund(key, rule) {
      const index = find(key, 0);
      if (index >= 0) Atomics.sub(words, index + 1, BigInt(Math.ceil((rule.periodMs * 1000) / rule.rate)));
    },
  };
}

/**
 * A table that several threads use at once. Alone, the compare-and-swap of each slot is enough; together, a slot that one thread takes over for another
 * key while a second one counts in it could lose a permit, so each decision has the table to itself.
 */
export function lockedRateTable(table: RateLimiter, lock: { run<T>(act: () => T): T }): RateLimiter {
  return {
    key: (name) => table.key(name),
    take: (...asked) => lock.run(() => table.take(...asked)),
    charge: (...asked) => lock.run(() => table.charge(...asked)),
    refund: (...asked) => lock.run(() => table.refund(...asked)),
  };
}

/** Takes a slot for `key`, or -1 when another thread was faster. */
function claim(words: BigInt64Array, index: number, key: bigint): number {
  const before = Atomics.load(words, index);
  const seen = Atomics.compareExchange(words, index, before, key);
  return seen === before || seen === key ? index : -1;
}
