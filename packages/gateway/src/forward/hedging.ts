// Promises when a second attempt is due beside the first of one crossing, and where it goes; what that costs stays inside its budgets. Trusts forwarding.ts to
// send it and to end the one that is overtaken. Specified in docs/resilience.md "Hedging".
import type { HedgeRule } from "@sallyport/protocol/snapshot/hedge-rule.ts";
import type { Exchange } from "../exchange.ts";
import { decideHedge, mayHedge } from "./decide-hedge.ts";
import type { Endpoint } from "./endpoint.ts";
import { findEndpoint } from "./find-endpoint.ts";
import type { Forwarded } from "./forwarded.ts";
import type { Latencies } from "./latencies.ts";
import { mayRepeat } from "./may-repeat.ts";
import { uniform } from "./uniform.ts";
import type { PlacedEndpoint, Upstream } from "./upstream-pools.ts";

/** What ten seconds always have: a share of very few requests would be none. */
const least = 1;

/** Of one crossing. */
export class Hedging {
  readonly #on: Forwarded;
  readonly #rule: HedgeRule;
  readonly #latencies: Latencies;
  #timer: NodeJS.Timeout | null = null;

  constructor(on: Forwarded, rule: HedgeRule, operation: string) {
    this.#on = on;
    this.#rule = rule;
    this.#latencies = on.upstream.traffic.hedges.latenciesOf(operation);
  }

  /** The first attempt is under way; `due`: it still is after its time. */
  begin(isTrial: boolean, nowMs: number, due: () => void): void {
    const { exchange, content, upstream } = this.#on;
    const isHeld = content === null || content instanceof Uint8Array;
    const attemptsMax = upstream.rules.retries?.attempts ?? 0;
    if (!mayHedge({ repeatable: mayRepeat(exchange), isHeld, isTrial, attemptsMax })) return;
    upstream.traffic.hedges.budget.request(nowMs);
    const afterMs = this.#afterMs(nowMs);
    if (afterMs !== null) this.#timer = setTimeout(due, afterMs);
  }

  #afterMs(nowMs: number): number | null {
    const { after } = this.#rule;
    if ("ms" in after) return after.ms;
    const latencies = this.#latencies;
    const ms = latencies.quantile(after.share, nowMs);
    return ms === null ? null : Math.ceil(ms);
  }

  /** Where the second attempt goes; null: there is none. */
  place(first: Endpoint, endsMs: number, nowMs: number): PlacedEndpoint | null {
    this.#timer = null;
    const { exchange, upstream, gate } = this.#on;
    const { traffic } = upstream;
    const found = findEndpoint(upstream, { nowMs, tried: [first], random: () => uniform(gate.random) });
    const decided = decideHedge({
      isGone: exchange.aborted,
      leftMs: endsMs - nowMs,
      isRoomWanted: traffic.line.length > 0 || traffic.room.isWanted(nowMs),
      place: placeOf(found, { first, upstream, nowMs }),
      takeBudget: () => this.#takeBudget(nowMs),
    });
    if (decided === "budget" || decided === "room") traffic.hedges.refused++;
    if (decided !== "hedge" || typeof found === "string") return null;
    return found;
  }

  made(): void {
    this.#on.upstream.traffic.hedges.made++;
  }

  #takeBudget(nowMs: number): boolean {
    const { retries } = this.#on.upstream.rules;
    const { budget, hedges } = this.#on.upstream.traffic;
    const rule = this.#rule;
    if (retries === undefined || !budget.has(retries, nowMs)) return false;
    return hedges.budget.take({ budget: rule.budget, least }, nowMs) && budget.take(retries, nowMs);
  }

  /** The first attempt ended, by itself or overtaken. */
  firstTook(ms: number, nowMs: number): void {
    this.#latencies.add(ms, nowMs);
  }

  won(): void {
    this.#on.upstream.traffic.hedges.won++;
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** Null: the operation has none. */
export function hedgingFor(on: Forwarded, { operation }: Pick<Exchange, "operation">): Hedging | null {
  const rule = operation?.object.hedge;
  return rule === undefined || operation === null ? null : new Hedging(on, rule, operation.fullName);
}

function placeOf(
  found: PlacedEndpoint | "open" | "full",
  { first, upstream, nowMs }: { readonly first: Endpoint; readonly upstream: Upstream; readonly nowMs: number },
): "other" | "only" | "full" | "none" {
  if (found === "full") return found;
  // What tries whether an endpoint is back has to be judged, and what is overtaken is not.
  if (found === "open" || found.endpoint.breaker.state(nowMs) !== "closed") return "none";
  if (found.endpoint !== first) return "other";
  return upstream.endpoints.length === 1 ? "only" : "none";
}
