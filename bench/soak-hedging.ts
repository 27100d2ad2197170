// Promises what reads take, and how many requests their providers get for them, with and without second attempts, while one of three providers is slow and while
// one answer in fifty of each is. Trusts the callers' clock and the gateway's count of attempts. Specified in docs/resilience.md "What hedging costs".
import { Agent } from "node:http";
import { startTestGateway, type TestGateway } from "@sallyport/gateway/testing/start-test-gateway.ts";
import { TestCaller } from "@sallyport/gateway/testing/test-caller.ts";
import type { HedgeRule } from "@sallyport/protocol/snapshot/hedge-rule.ts";
import { chaosEstate } from "./chaos/estate.ts";
import { Provider } from "./chaos/providers.ts";
import type { Fault } from "./chaos/words.ts";
import { percentile, rounded } from "./figures.ts";
import { openRealLog } from "./soak-chaos.ts";
import type { SoakOptions } from "./soak-installation.ts";

export interface HedgingRow {
  readonly slow: string;
  readonly hedge: string;
  readonly reads: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  /** Attempts beyond one for each read, in percent of the reads. */
  readonly extraPercent: number;
}

export interface HedgingReport {
  readonly soak: "hedging";
  readonly seed: number;
  readonly rows: readonly HedgingRow[];
  readonly ok: boolean;
}

const workers = 6;
const providersCount = 3;
const rules: Readonly<Record<string, HedgeRule | undefined>> = {
  none: undefined,
  p95: { after: { share: 0.95 }, budget: 0.1 },
  "50ms": { after: { ms: 50 }, budget: 0.1 },
};
/** Attempts beyond one for each read: what `budget` says, and what a budget of ten seconds may be ahead. */
const extraPercentMax = 12;

export async function runHedging({ seed, minutes, rounds }: SoakOptions): Promise<HedgingReport> {
  const providers = Array.from({ length: providersCount }, () => new Provider(new Map()));
  for (const provider of providers) await provider.start();
  const urls = providers.map(({ url }) => url);
  const bed = await startTestGateway({ estate: chaosEstate(urls, true), openLog: openRealLog });
  const windowMs = rounds ?? (minutes * 60_000) / (2 * Object.keys(rules).length);
  const rows: HedgingRow[] = [];
  try {
    // The first requests of a process say nothing about the others.
    await window(bed, Math.min(windowMs, 3_000));
    for (const [fault, failing, slow] of [
      ["slow", 1, "one of three takes 400 ms"],
      ["tail", providersCount, "one answer in fifty takes 400 ms"],
    ] as const)
      for (const [hedge, rule] of Object.entries(rules)) {
        for (const provider of providers) await provider.fail("none");
        await bed.publish(chaosEstate(urls, true, rule));
        for (const provider of providers.slice(0, failing)) await provider.fail(fault satisfies Fault);
        rows.push({ slow, hedge, ...(await window(bed, windowMs)) });
      }
  } finally {
    await bed.close();
    for (const provider of providers) await provider.stop();
  }
  for (const row of rows) process.stdout.write(`${line(row)}\n`);
  const ok = rows.every(({ failed, extraPercent }) => failed === 0 && extraPercent <= extraPercentMax);
  return { soak: "hedging", seed, rows, ok };
}

async function window(bed: TestGateway, windowMs: number): Promise<Omit<HedgingRow, "slow" | "hedge">> {
  // What the window before has taught about budgets and times is over.
  bed.clock.shiftMs += 120_000;
  bed.feed.heartbeat();
  const before = await attemptsOf(bed);
  const times: number[] = [];
  let failed = 0;
  const endMs = performance.now() + windowMs;
  const work = async (): Promise<void> => {
    const url = `${bed.addresses[0]?.url}/billing/v1/invoices/1`;
    const caller = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (performance.now() < endMs) {
      const startedMs = performance.now();
      const { status } = await caller.send(url, { agent });
      times.push(performance.now() - startedMs);
      if (status !== 200) failed++;
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: workers }, work));
  const attempts = (await attemptsOf(bed)) - before;
  times.sort((a, b) => a - b);
  const at = (share: number): number => rounded(percentile(times, share), 1);
  const extraPercent = rounded(((attempts - times.length) * 100) / Math.max(1, times.length), 1);
  return { reads: times.length, failed, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), extraPercent };
}

async function attemptsOf(bed: TestGateway): Promise<number> {
  const text = await bed.gateway.metricsText();
  const counts = text.matchAll(/^sallyport_upstream_attempts_total\{[^}]*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

function line({ slow, hedge, reads, failed, p50Ms, p95Ms, p99Ms, extraPercent }: HedgingRow): string {
  return `${slow.padEnd(34)} hedge ${hedge.padEnd(5)} reads ${String(reads).padStart(6)} (${failed} failed)  p50 ${p50Ms} p95 ${p95Ms} p99 ${p99Ms} ms  ${extraPercent}% more attempts`;
}
