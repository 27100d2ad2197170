// Promises what is known of providers as metrics, read where it lies at scrape time, so that a crossing pays nothing for it. Labels are ids and origins of the
// estate. Trusts forward/upstream-pools.ts for the figures. Listed in docs/metrics.md; explained in docs/resilience.md.
import type { Registry } from "prom-client";
import type { Endpoint, SystemTraffic } from "../forward/endpoint.ts";
import type { UpstreamPools } from "../forward/upstream-pools.ts";
import { Counter, Gauge } from "./prometheus.ts";

export type UpstreamFigures = Pick<UpstreamPools, "systems" | "endpoints">;

export function defineUpstreamMetrics(
  figures: () => UpstreamFigures,
  nowMs: () => number,
  registers: Registry[],
): void {
  const on = { figures, registers };
  ofEndpoints(on, [Counter, "attempts_total", "Attempts at an endpoint"], (one) => one.attempts);
  ofEndpoints(on, [Counter, "failures_total", "Attempts that failed"], (one) => one.failures);
  ofEndpoints(on, [Counter, "opened_total", "Times an endpoint was left alone"], (one) => one.breaker.opened);
  ofEndpoints(on, [Gauge, "left_alone", "1 while an endpoint is left alone or tried by one request"], (one) =>
    one.breaker.state(nowMs()) === "closed" ? 0 : 1,
  );
  ofEndpoints(on, [Gauge, "unwell", "1 while health checks speak against an endpoint"], (one) =>
    one.health.isWell ? 0 : 1,
  );
  ofEndpoints(on, [Counter, "checks_total", "Health checks of an endpoint"], (one) => one.health.checks);
  ofEndpoints(on, [Gauge, "in_flight", "Attempts under way at an endpoint"], (one) => one.inFlight);
  ofSystems(on, [Gauge, "waiting", "Crossings that wait for room at a system"], (one) => one.line.length);
  ofSystems(on, [Counter, "retries_total", "Attempts after a failed one"], (one) => one.retries);
  const refused = "Attempts not made because the budget was used up";
  ofSystems(on, [Counter, "retries_refused_total", refused], (one) => one.budget.refused);
  ofSystems(on, [Counter, "hedges_total", "Second attempts beside a slow first"], (one) => one.hedges.made);
  ofSystems(on, [Counter, "hedges_won_total", "Second attempts that answered first"], (one) => one.hedges.won);
  const kept = "Second attempts not made for want of budget or room";
  ofSystems(on, [Counter, "hedges_refused_total", kept], (one) => one.hedges.refused);
  ofSystems(on, [Counter, "refused_open_total", "Crossings refused as upstream-open"], (one) => one.refusedOpen);
  ofSystems(on, [Counter, "shed_total", "Crossings refused under load so that others come first"], (one) => one.shed);
  ofSystems(on, [Counter, "refused_full_total", "Crossings refused as upstream-overloaded"], (one) => one.refusedFull);
}

interface Registered {
  readonly registers: Registry[];
  figures(): UpstreamFigures;
}

type Described = readonly [kind: typeof Counter | typeof Gauge, name: string, help: string];

function ofEndpoints(on: Registered, [Kind, name, help]: Described, read: (endpoint: Endpoint) => number): void {
  new Kind({
    name: `sallyport_upstream_${name}`,
    help,
    labelNames: ["system", "endpoint"],
    registers: on.registers,
    collect() {
      this.reset();
      for (const { system, endpoint } of on.figures().endpoints())
        this.inc({ system, endpoint: endpoint.origin }, read(endpoint));
    },
  });
}

function ofSystems(on: Registered, [Kind, name, help]: Described, read: (traffic: SystemTraffic) => number): void {
  new Kind({
    name: `sallyport_upstream_${name}`,
    help,
    labelNames: ["system"],
    registers: on.registers,
    collect() {
      this.reset();
      for (const { system, traffic } of on.figures().systems()) this.inc({ system }, read(traffic));
    },
  });
}
