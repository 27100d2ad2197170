// Promises one permit of every quota of a crossing, or of none and the quota that refused, with when it renews. Trusts quotas.ts for the count.
// Specified in docs/limits.md "Quotas".
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import type { Counted, QuotaState } from "./quotas.ts";
import type { Bound } from "./rate-denial.ts";

export function beginQuotas(exchange: Exchange, { grant, principal }: Bound, gate: Gate): TakingQuotas {
  const counted = grant.limits.quotas.map(({ rule, nameFor }) => ({ rule, name: nameFor(principal) }));
  return { exchange, gate, counted, integration: grant.integration.id, taken: [] };
}

export interface TakingQuotas {
  readonly exchange: Exchange;
  readonly gate: Gate;
  readonly counted: readonly Counted[];
  readonly integration: string;
  /** What the first of `counted` gave. */
  readonly taken: QuotaState[];
}

/** At once where enough was drawn before; a store that cannot be asked is a denial. */
export function takeQuotas(taking: TakingQuotas): Deny | null | Promise<Deny | null> {
  const { counted, gate, taken } = taking;
  for (let one = counted[taken.length]; one !== undefined; one = counted[taken.length]) {
    try {
      const state = gate.quotas.take(one);
      if (state instanceof Promise)
        return state.then(
          (late) => judge(taking, one, late) ?? takeQuotas(taking),
          (cause: unknown) => unavailable(taking, cause),
        );
      const refusal = judge(taking, one, state);
      if (refusal !== null) return refusal;
    } catch (cause) {
      return unavailable(taking, cause);
    }
  }
  return null;
}

function judge(taking: TakingQuotas, { rule }: Counted, state: QuotaState | null): Deny | null {
  const { exchange, taken, integration } = taking;
  if (state === null) {
    giveBackQuotas(taking);
    return deny("limit", "limit-table-full", { bound: "things counted at once" });
  }
  if (state.allowed) {
    taken.push(state);
    if (exchange.quota === null || state.remaining < exchange.quota.remaining) exchange.quota = state;
    return null;
  }
  giveBackQuotas(taking);
  exchange.quota = state;
  const most = `${state.max} a ${state.period} per ${rule.per}`;
  const renewsAt = new Date(state.renewsAtMs).toISOString();
  return deny("limit", "quota-exhausted", {
    integration,
    limit: most,
    renewsAt,
    retryAfterS: String(Math.max(1, Math.ceil(state.renewsInMs / 1000))),
    detail: `Integration ${integration} allows ${most}; that renews at ${renewsAt}`,
  });
}

/** What another limit refused uses nothing. */
export function giveBackQuotas({ counted, gate, taken }: TakingQuotas): void {
  for (const [n, state] of taken.entries()) {
    const one = counted[n];
    if (one !== undefined) gate.quotas.refund(one, state);
  }
}

function unavailable(taking: TakingQuotas, cause: unknown): Deny {
  giveBackQuotas(taking);
  const code = cause instanceof Error && "code" in cause ? `${String(cause.code)}: ` : "";
  return deny("limit", "limit-unavailable", {
    why: code + (cause instanceof Error ? cause.message : String(cause)),
    detail: "What is left of a quota cannot be found out now, so it did not pass",
  });
}
