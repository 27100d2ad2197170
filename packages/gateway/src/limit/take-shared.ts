// Promises one permit of every limit that gateways share, of all or of none; where nobody can say, what each limit says of a loss. Trusts shared-limits.ts for
// the answer and the node's own tables for its share. Specified in docs/limits.md "Across gateways".
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import type { CompiledShared } from "./compile-limits.ts";
import { shareOf, type TakeAnswer } from "./limits-store.ts";
import { type Bound, keepTightest, rateDenial } from "./rate-denial.ts";

export async function takeShared(exchange: Exchange, bound: Bound, gate: Gate): Promise<Deny | null> {
  const { shared } = bound.grant.limits;
  if (shared === null) return null;
  const { rates, concurrency } = shared;
  const nameOf = ({ nameFor }: Pick<CompiledShared["concurrency"][number], "nameFor">) => nameFor(bound.principal);
  const underWay = concurrency.map(nameOf);
  const answer = await gate.shared.take({
    names: [...rates.map(nameOf), ...underWay],
    rates: rates.map(({ rule }) => rule),
    concurrency: concurrency.map(({ rule }) => rule),
    member: exchange.id,
  });
  const refusal = answer === null ? takeShare(exchange, bound, gate) : judge(exchange, bound, answer);
  if (refusal !== null) return refusal;
  if (underWay.length > 0) exchange.places = [...exchange.places, gate.shared.hold(exchange.id, underWay)];
  if (answer !== null) keepWarm(shared, bound, gate);
  // It went while we asked: what it holds is not given back by its end any more.
  if (exchange.aborted) return deny("limit", "client-aborted");
  return null;
}

function judge(exchange: Exchange, { grant }: Bound, { refused, states }: TakeAnswer): Deny | null {
  const { rates, concurrency } = grant.limits.shared ?? { rates: [], concurrency: [] };
  const { id } = grant.integration;
  for (const [n, { rule }] of rates.entries()) {
    const state = states[n];
    if (state === undefined) continue;
    if (n === refused) return rateDenial(exchange, { id, rule, state: { ...state, allowed: false, remaining: 0 } });
    keepTightest(exchange, rule, state);
  }
  const full = concurrency[refused - rates.length]?.rule;
  if (refused < 0 || full === undefined) return null;
  const most = `${full.max} at once per ${full.per}, across gateways`;
  return deny("limit", "concurrency-limited", {
    integration: id,
    limit: most,
    detail: `Integration ${id} allows ${most}`,
  });
}

/** What this gateway may let through by itself, while nobody can say what the others do. */
function takeShare(exchange: Exchange, { grant, principal }: Bound, gate: Gate): Deny | null {
  const { rates, concurrency } = grant.limits.shared ?? { rates: [], concurrency: [] };
  const { id } = grant.integration;
  if ([...rates, ...concurrency].some(({ rule }) => rule.across?.onLoss === "deny"))
    return deny("limit", "limit-unavailable", {
      integration: id,
      why: gate.shared.status().why ?? "no --limits-store is named at this gateway",
      detail: "What other gateways have let through cannot be found out now, so it did not pass",
    });
  const { gateways } = gate.shared;
  for (const { rule, nameFor } of concurrency) {
    const max = Math.max(1, Math.floor(rule.max / gateways));
    // This crossing is counted already.
    if (gate.admission.inFlightOf.countOf(nameFor(principal)) <= max) continue;
    const most = `${max} at once per ${rule.per} at this gateway, its share of ${rule.max}`;
    return deny("limit", "concurrency-limited", {
      integration: id,
      limit: most,
      detail: `Integration ${id} allows ${most} while gateways cannot count together`,
    });
  }
  const nowMs = gate.clock.monotonic();
  for (const [n, one] of rates.entries()) {
    const rule = shareOf(one.rule, gateways);
    const state = gate.limiter.take(one.keyFor(principal), rule, nowMs);
    if (state?.allowed === true) {
      keepTightest(exchange, rule, state);
      continue;
    }
    for (const taken of rates.slice(0, n)) gate.limiter.refund(taken.keyFor(principal), shareOf(taken.rule, gateways));
    if (state === null) return deny("limit", "limit-table-full", { bound: "things counted at once" });
    return rateDenial(exchange, { id, rule, state });
  }
  return null;
}

/** What all let through, this gateway counts by its share too: when the others are lost, it has not its whole burst before it. */
function keepWarm({ rates }: CompiledShared, { principal }: Bound, gate: Gate): void {
  const nowMs = gate.clock.monotonic();
  for (const one of rates) gate.limiter.charge(one.keyFor(principal), shareOf(one.rule, gate.shared.gateways), nowMs);
}
