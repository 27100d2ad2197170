// Promises what is counted outside the memory of a gateway, in figures read at scrape time. Trusts the parts. Names and meanings: docs/metrics.md.
import type { Registry } from "prom-client";
import type { Quotas } from "../limit/quotas.ts";
import type { SharedLimits } from "../limit/shared-limits.ts";
import { Counter, Gauge } from "./prometheus.ts";

export interface LimitFigures {
  readonly quotas: Pick<Quotas, "draws" | "held">;
  readonly shared: Pick<SharedLimits, "counts" | "status">;
}

export function defineLimitMetrics(figures: () => LimitFigures, registers: Registry[]): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name: `sallyport_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge(
    "quota_permits_held",
    "Permits of quotas drawn from the data-plane store and not used yet",
    () => figures().quotas.held,
  );
  gauge(
    "quota_draws",
    "Draws of permits of quotas from the data-plane store since the start",
    () => figures().quotas.draws,
  );
  gauge("shared_limits_up", "1 while limits across gateways are counted together", () =>
    figures().shared.status().state === "shared" ? 1 : 0,
  );
  gauge(
    "shared_limits_gateways",
    "Gateways that count together, as last heard",
    () => figures().shared.status().gateways,
  );
  new Counter({
    name: "sallyport_shared_limits_total",
    help: "Crossings with limits across gateways, by what was heard: shared, late or lost",
    labelNames: ["answer"],
    registers,
    collect() {
      this.reset();
      for (const [answer, count] of Object.entries(figures().shared.counts)) this.inc({ answer }, count);
    },
  });
}
