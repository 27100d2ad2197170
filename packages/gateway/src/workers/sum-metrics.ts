// Promises one page of metrics for a node from those of its workers: what is counted is summed, what is the same or the worst of all is told once.
// Trusts prom-client for the text. Specified in docs/metrics.md and docs/workers.md.

import type { ShippingStanding } from "../archive/shipper.ts";

/** Gauges of which the largest counts: ages, waits, and what is the same in all. */
const largest: ReadonlySet<string> = new Set([
  "sallyport_snapshot_age_seconds",
  "sallyport_snapshot_waiting_seconds",
  "sallyport_staleness_seconds",
  "sallyport_log_leaves",
  "sallyport_broken_objects",
  "sallyport_unenforced_objects",
  "sallyport_policy_sets",
  "sallyport_shared_limits_gateways",
  "sallyport_upstream_left_alone",
  "sallyport_upstream_unwell",
]);
/** Of which the smallest does: what holds in all. */
const smallest: ReadonlySet<string> = new Set(["sallyport_snapshot_version", "sallyport_shared_limits_up"]);

/** `given`: samples that only this thread knows, by name; they stand in place of the workers'. */
export function sumMetrics(pages: readonly string[], given: ReadonlyMap<string, number> = new Map()): string {
  const order: string[] = [];
  const values = new Map<string, number>();
  for (const [at, page] of pages.entries()) {
    for (const line of page.split("\n")) {
      const sample = sampleOf(line);
      if (sample === null) {
        // What is said of a metric is the same in all; one that only a later worker has is told where it comes.
        if (line !== "" && (at === 0 || !order.includes(line))) order.push(line);
        continue;
      }
      const known = values.get(sample.key);
      if (known === undefined) order.push(sample.key);
      values.set(sample.key, known === undefined ? sample.value : together(sample, known));
    }
  }
  const lines = order.map((line) => {
    const value = given.get(line) ?? values.get(line);
    return value === undefined ? line : `${line} ${value}`;
  });
  return `${inBlocks(lines).join("\n")}\n`;
}

/** What only the thread that started the workers knows: how long the log is, and how far it is shipped. */
export function givenOf(of: {
  readonly logLeaves: number;
  readonly shipping: ShippingStanding | null;
  readonly nowMs: number;
}): ReadonlyMap<string, number> {
  const given = new Map([["sallyport_log_leaves", of.logLeaves]]);
  if (of.shipping === null) return given;
  const { shipments, records, bytes, failures, behind, oldestAt } = of.shipping;
  for (const [name, value] of Object.entries({ shipments, records, bytes, failures }))
    given.set(`sallyport_shipping_${name}_total`, value);
  given.set("sallyport_shipping_behind_records", behind);
  given.set("sallyport_shipping_behind_seconds", oldestAt === null ? 0 : Math.max(0, (of.nowMs - oldestAt) / 1_000));
  return given;
}

interface Sample {
  /** Name and labels. */
  readonly key: string;
  readonly name: string;
  readonly value: number;
}

function sampleOf(line: string): Sample | null {
  const split = line.lastIndexOf(" ");
  if (line.startsWith("#") || split < 1) return null;
  const key = line.slice(0, split);
  return { key, name: key.replace(/\{.*$/s, ""), value: Number(line.slice(split + 1)) };
}

function together({ name, value }: Sample, known: number): number {
  if (largest.has(name)) return Math.max(value, known);
  return smallest.has(name) ? Math.min(value, known) : value + known;
}

/** The samples of one metric stand together, under what is said of it (Prometheus text exposition). */
function inBlocks(lines: readonly string[]): string[] {
  const blocks = new Map<string, string[]>();
  let block = "";
  for (const line of lines) {
    const declared = /^# (?:HELP|TYPE) (\S+)/.exec(line)?.[1];
    if (declared !== undefined) block = declared;
    else block = blockOf(line, blocks) ?? block;
    const known = blocks.get(block);
    if (known === undefined) blocks.set(block, [line]);
    else known.push(line);
  }
  return [...blocks.values()].flat();
}

function blockOf(line: string, blocks: ReadonlyMap<string, unknown>): string | undefined {
  const name = line.replace(/[{ ].*$/s, "");
  return [name, name.replace(/_(?:bucket|sum|count)$/, "")].find((one) => blocks.has(one));
}
