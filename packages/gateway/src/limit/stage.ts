// Promises that every limit of the integration holds before anything costly happens, and that one limit's refusal costs the others nothing.
// Trusts the shared rate table. Specified in docs/gateway.md (limit); fields: draft-ietf-httpapi-ratelimit-headers.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";

export function limit(exchange: Exchange, gate: Gate): Deny | null {
  const { grant, principal } = exchange;
  if (grant === null || principal === null) return deny("limit", "not-ready");
  if (grant.limits.length === 0) return null;
  const client = principal.client ?? principal.caller;
  const nowMs = gate.clock.monotonic();
  for (let i = 0; i < grant.limits.length; i++) {
    const one = grant.limits[i];
    if (one === undefined) continue;
    const state = gate.limiter.take(one.keyFor(client), one.rule, nowMs);
    if (state === null) {
      refund(exchange, gate, i);
      return deny("limit", "limit-table-full", { bound: "things counted at once" });
    }
    const quota = one.rule.burst;
    const windowS = Math.max(1, Math.round((one.rule.burst * one.rule.periodMs) / one.rule.rate / 1000));
    if (!state.allowed) {
      refund(exchange, gate, i);
      exchange.rate = { state, quota, windowS };
      const { id } = grant.integration;
      const rate = `${one.rule.rate} per ${one.rule.periodMs} ms, burst ${one.rule.burst}, per ${one.rule.per}`;
      return deny("limit", "rate-limited", {
        integration: id,
        limit: rate,
        detail: `Integration ${id} allows ${rate}`,
      });
    }
    if (exchange.rate === null || state.remaining < exchange.rate.state.remaining)
      exchange.rate = { state, quota, windowS };
  }
  return null;
}

function refund(exchange: Exchange, gate: Gate, taken: number): void {
  const client = exchange.principal?.client ?? exchange.principal?.caller ?? "";
  for (const one of exchange.grant?.limits.slice(0, taken) ?? []) gate.limiter.refund(one.keyFor(client), one.rule);
}
