// Promises what is asked of the place where gateways count together: two scripts, each atomic, and what their arguments and answers mean. Pure.
// Trusts that place's clock, so that those of gateways need not agree. Specified in docs/limits.md "Across gateways".
import { createHash } from "node:crypto";
import type { ConcurrencyLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type { RateRule, RateState } from "./gcra.ts";

export interface StoreScript {
  readonly text: string;
  /** Lower-case hex of SHA-1, by which Redis knows it. */
  readonly sha: string;
}

/** One connection, logged in. */
export interface LimitsConnection {
  /** Rejects with the store's own error, or when the connection ends first. */
  run(script: StoreScript, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  /** Lets go of a place; nobody waits for it. */
  release(key: string, member: string): void;
  /** Called once, when it has ended. */
  onEnd(told: (why: string) => void): void;
  destroy(): void;
}

export interface LimitsStorePort {
  /** Longest wait of a crossing, milliseconds. */
  readonly waitMs: number;
  /** Host and port, without credentials. */
  readonly place: string;
  /** Rejects where it cannot be reached or does not let us in. */
  connect(): Promise<LimitsConnection>;
}

const script = (text: string): StoreScript => ({ text, sha: createHash("sha1").update(text).digest("hex") });

/**
 * All or nothing: KEYS are those of the rates, then those of what is under way. ARGV: number of rates, member, milliseconds a place is held; increment
 * and tolerance of each rate in microseconds; most of each that is under way. Answer: 0 or the place of the key that refuses, then of each rate how
 * far its time of arrival is ahead, in microseconds. A time that no rule could have made (the clock was set back) counts as just used up.
 */
export const takeScript = script(`local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local nowMs = math.floor(now / 1000)
local rates = tonumber(ARGV[1])
local leaseMs = tonumber(ARGV[3])
local reply, next, refused = { 0 }, {}, 0
for i = 1, rates do
  local increment, tolerance = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
  local arrival = math.min(tonumber(redis.call('GET', KEYS[i]) or '0'), now + tolerance + increment)
  arrival = math.max(arrival, now)
  if arrival - now > tolerance then
    if refused == 0 then refused = i end
  else
    arrival = arrival + increment
  end
  next[i] = arrival
  reply[i + 1] = arrival - now
end
for i = rates + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', nowMs)
  if refused == 0 and redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[3 + rates + i]) then refused = i end
end
reply[1] = refused
if refused > 0 then return reply end
for i = 1, rates do
  redis.call('SET', KEYS[i], string.format('%.0f', next[i]), 'PX', math.ceil((next[i] - now) / 1000) + 1000)
end
for i = rates + 1, #KEYS do
  redis.call('ZADD', KEYS[i], nowMs + leaseMs, ARGV[2])
  redis.call('PEXPIRE', KEYS[i], leaseMs)
end
return reply`);

/**
 * Says that this gateway is there and holds its places for longer: KEYS[1] are the gateways, the others places. ARGV: this gateway, how long it counts
 * as there, how long a place is held, then the member of each place. Answer: how many gateways there are.
 */
export const renewScript = script(`local t = redis.call('TIME')
local nowMs = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', nowMs)
redis.call('ZADD', KEYS[1], nowMs + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], nowMs + ARGV[3], ARGV[2 + i])
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return redis.call('ZCARD', KEYS[1])`);

export interface TakeInput {
  readonly rates: readonly RateRule[];
  readonly concurrency: readonly Pick<ConcurrencyLimit, "max">[];
  readonly member: string;
  readonly leaseMs: number;
}

const incrementOf = ({ rate, periodMs }: RateRule): number => Math.ceil((periodMs * 1000) / rate);
const toleranceOf = (rule: RateRule): number => Math.floor(((rule.periodMs * 1000) / rule.rate) * (rule.burst - 1));

export function takeArguments({ rates, concurrency, member, leaseMs }: TakeInput): readonly string[] {
  return [
    String(rates.length),
    member,
    String(leaseMs),
    ...rates.flatMap((rule) => [String(incrementOf(rule)), String(toleranceOf(rule))]),
    ...concurrency.map(({ max }) => String(max)),
  ];
}

/** Null: that is no answer of `renewScript`. */
export function readRenewAnswer(reply: unknown): number | null {
  return Number.isSafeInteger(reply) && Number(reply) >= 1 ? Number(reply) : null;
}

export interface TakeAnswer {
  /** Index in the keys of what refused; -1: all passed. */
  readonly refused: number;
  /** Of each rate. */
  readonly states: readonly RateState[];
}

/** Null: that is no answer of `takeScript`. `keys`: of rates and of what is under way. */
export function readTakeAnswer(reply: unknown, rules: readonly RateRule[], keys: number): TakeAnswer | null {
  if (!Array.isArray(reply) || reply.length !== rules.length + 1) return null;
  if (!reply.every((one) => Number.isSafeInteger(one) && one >= 0)) return null;
  const [refused = 0, ...ahead] = reply.map(Number);
  if (refused > keys) return null;
  return {
    refused: refused - 1,
    states: rules.map((rule, n) => stateOf(rule, ahead[n] ?? 0)),
  };
}

function stateOf(rule: RateRule, aheadUs: number): RateState {
  const roomUs = toleranceOf(rule) + incrementOf(rule) - aheadUs;
  const resetMs = Math.ceil(aheadUs / 1000);
  const earlyUs = aheadUs - toleranceOf(rule);
  const remaining = Math.max(0, Math.floor(roomUs / incrementOf(rule)));
  return { allowed: true, remaining, retryAfterMs: Math.max(0, Math.ceil(earlyUs / 1000)), resetMs };
}

/** What one of `gateways` may let through on its own, so that together they let through no more than the rule. */
export function shareOf<T extends RateRule>(rule: T, gateways: number): T {
  return { ...rule, rate: rule.rate / gateways, burst: Math.max(1, Math.floor(rule.burst / gateways)) };
}
