// Promises what came of tokens that providers are shown, in figures read at scrape time. Trusts next-hop-tokens.ts. Names and meanings: docs/metrics.md.
import type { Registry } from "prom-client";
import type { NextHopTokens } from "../exchange/next-hop-tokens.ts";
import { Counter, Gauge } from "./prometheus.ts";

export type NextHopFigures = Pick<NextHopTokens, "counts" | "size">;

export function defineNextHopMetrics(figures: () => NextHopFigures, registers: Registry[]): void {
  new Counter({
    name: "sallyport_next_hop_tokens_total",
    help: "Tokens that providers are shown, by what came of the wish: hits, misses, refreshed, refused, failed or dropped",
    labelNames: ["answer"],
    registers,
    collect() {
      this.reset();
      for (const [answer, count] of Object.entries(figures().counts)) this.inc({ answer }, count);
    },
  });
  new Gauge({
    name: "sallyport_next_hop_tokens_held",
    help: "Tokens that providers are shown, held now",
    registers,
    collect() {
      this.set(figures().size);
    },
  });
}
