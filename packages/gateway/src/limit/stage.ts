// Promises that every limit of the integration holds before anything costly happens, and that one limit's refusal costs the others nothing.
// Trusts the shared rate table, the count of what is under way, the permits drawn of quotas and what gateways count together.
// Specified in docs/limits.md; fields: draft-ietf-httpapi-ratelimit-headers.
import type { Principal } from "@sallyport/protocol/principal.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import type { CompiledLimit } from "./compile-limits.ts";
import { type Bound, keepTightest, rateDenial } from "./rate-denial.ts";
import { beginQuotas, giveBackQuotas, takeQuotas } from "./take-quotas.ts";
import { takeShared } from "./take-shared.ts";

export function limit(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { grant, principal } = exchange;
  if (grant === null || principal === null) return deny("limit", "not-ready");
  const { concurrency, quotas, shared } = grant.limits;
  if (concurrency.length > 0) {
    const refusal = takePlaces(exchange, { grant, principal }, gate);
    if (refusal !== null) return refusal;
  }
  const refusal = takeRates(exchange, { grant, principal }, gate);
  if (refusal === null && (quotas.length > 0 || shared !== null))
    return askOutside(exchange, { grant, principal }, gate);
  // A crossing that ends here holds no place while it is recorded and answered.
  if (refusal !== null) leavePlaces(exchange);
  return refusal;
}

/** Gives back what the crossing holds; safe to call twice. */
export function leavePlaces(exchange: Exchange): void {
  if (exchange.places.length === 0) return;
  for (const place of exchange.places) place.giveBack();
  exchange.places = [];
}

function takePlaces(exchange: Exchange, { grant, principal }: Bound, gate: Gate): Deny | null {
  for (const one of grant.limits.concurrency) {
    const place = gate.admission.inFlightOf.take(one.nameFor(principal), one.rule.max);
    if (place === null) {
      leavePlaces(exchange);
      const { id } = grant.integration;
      const most = `${one.rule.max} at once per ${one.rule.per}`;
      return deny("limit", "concurrency-limited", {
        integration: id,
        limit: most,
        detail: `Integration ${id} allows ${most}`,
      });
    }
    exchange.places = [...exchange.places, place];
  }
  return null;
}

function takeRates(exchange: Exchange, { grant, principal }: Bound, gate: Gate): Deny | null {
  const { rates } = grant.limits;
  if (rates.length === 0) return null;
  const nowMs = gate.clock.monotonic();
  for (let i = 0; i < rates.length; i++) {
    const one = rates[i];
    if (one === undefined) continue;
    const state = gate.limiter.take(one.keyFor(principal), one.rule, nowMs);
    if (state === null) {
      refund(rates.slice(0, i), principal, gate);
      return deny("limit", "limit-table-full", { bound: "things counted at once" });
    }
    if (!state.allowed) {
      refund(rates.slice(0, i), principal, gate);
      return rateDenial(exchange, { id: grant.integration.id, rule: one.rule, state });
    }
    keepTightest(exchange, one.rule, state);
  }
  return null;
}

/** Last, because somebody else may have to be asked; what refuses there gives back what was taken here. */
function askOutside(exchange: Exchange, bound: Bound, gate: Gate): Deny | null | Promise<Deny | null> {
  const end = (refusal: Deny | null): Deny | null => {
    if (refusal !== null) {
      refund(bound.grant.limits.rates, bound.principal, gate);
      leavePlaces(exchange);
    }
    return refusal;
  };
  if (bound.grant.limits.shared !== null) return askBoth(exchange, bound, gate).then(end);
  const refusal = takeQuotas(beginQuotas(exchange, bound, gate));
  return refusal instanceof Promise ? refusal.then(end) : end(refusal);
}

async function askBoth(exchange: Exchange, bound: Bound, gate: Gate): Promise<Deny | null> {
  const quotas = beginQuotas(exchange, bound, gate);
  const refusal = await takeQuotas(quotas);
  if (refusal !== null) return refusal;
  const shared = await takeShared(exchange, bound, gate);
  if (shared !== null) giveBackQuotas(quotas);
  return shared;
}

function refund(taken: readonly CompiledLimit[], principal: Principal, gate: Gate): void {
  for (const one of taken) gate.limiter.refund(one.keyFor(principal), one.rule);
}
