// Promises what a caller is told of a rate, in a denial and in the RateLimit fields, whoever counted it. Trusts the state that it is given.
// Specified in docs/limits.md; fields: draft-ietf-httpapi-ratelimit-headers.
import type { Principal } from "@sallyport/protocol/principal.ts";
import type { RateLimit } from "@sallyport/protocol/snapshot/limit-objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Grant } from "../snapshot/estate.ts";
import type { RateState } from "./gcra.ts";

/** A crossing whose integration and principal are known. */
export interface Bound {
  readonly grant: Grant;
  readonly principal: Principal;
}

interface Refusing {
  readonly id: string;
  readonly rule: RateLimit;
  readonly state: RateState;
}

/** Periods as an estate says them (`200/s`, `5/m`, `10/h`). */
const periods: ReadonlyMap<number, string> = new Map([
  [1_000, "a second"],
  [60_000, "a minute"],
  [3_600_000, "an hour"],
]);

export function rateDenial(exchange: Exchange, { id, rule, state }: Refusing): Deny {
  exchange.rate = { state, ...policyOf(rule) };
  const where = rule.across === undefined ? "" : ", across gateways";
  const pace = `${Number(rule.rate.toFixed(3))} ${periods.get(rule.periodMs) ?? `per ${rule.periodMs} ms`}`;
  const rate = `${pace}, burst ${rule.burst}, per ${rule.per}${where}`;
  return deny("limit", "rate-limited", { integration: id, limit: rate, detail: `Integration ${id} allows ${rate}` });
}

/** Of all limits the caller is told of the one that leaves it least. */
export function keepTightest(exchange: Exchange, rule: RateLimit, state: RateState): void {
  if (exchange.rate === null || state.remaining < exchange.rate.state.remaining)
    exchange.rate = { state, ...policyOf(rule) };
}

function policyOf({ rate, periodMs, burst }: RateLimit): { readonly quota: number; readonly windowS: number } {
  return { quota: burst, windowS: Math.max(1, Math.round((burst * periodMs) / rate / 1000)) };
}
