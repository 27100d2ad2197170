// Promises what callers see while one of three providers fails in each way that providers fail, and while all are killed, with and without what the gateway
// does about it; and that no effect reached a provider twice. Trusts the callers' answers and the providers' own word. Specified in docs/resilience.md "Chaos".
import { mkdirSync } from "node:fs";
import { Agent } from "node:http";
import { startTestGateway, type TestGateway } from "@sallyport/gateway/testing/start-test-gateway.ts";
import { TestCaller } from "@sallyport/gateway/testing/test-caller.ts";
import { environment, region, tenant } from "@sallyport/gateway/testing/test-estate.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { chaosEstate } from "./chaos/estate.ts";
import { Provider } from "./chaos/providers.ts";
import type { Fault } from "./chaos/words.ts";
import { percentile, rounded } from "./figures.ts";
import type { SoakOptions } from "./soak-installation.ts";

export interface ChaosRow {
  readonly fault: string;
  readonly controls: boolean;
  /** Reads, those that were answered 200, and the time of all of them. */
  readonly reads: number;
  readonly readsOk: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly effects: number;
  readonly effectsOk: number;
  /** Other answers by status and code. */
  readonly others: Readonly<Record<string, number>>;
}

export interface ChaosReport {
  readonly soak: "chaos";
  readonly seed: number;
  readonly rows: readonly ChaosRow[];
  /** Effects that more than one provider, or one more than once, was given. */
  readonly twice: number;
  readonly ok: boolean;
}

const workers = 12;
const providersCount = 3;
const oneFails: readonly Fault[] = ["none", "kill", "hang", "reset", "status", "slow"];
/** Share of reads that must be answered while one of three fails, with the controls. */
const readsOkMin = 0.97;
/** Of all workers' requests one in so many is an effect. */
const effectEvery = 4;

interface Chaos {
  readonly bed: TestGateway;
  readonly providers: readonly Provider[];
  readonly windowMs: number;
  nextEffect: number;
}

export async function runChaos({ seed, minutes, rounds }: SoakOptions): Promise<ChaosReport> {
  const effects = new Map<string, number>();
  const providers = Array.from({ length: providersCount }, () => new Provider(effects));
  for (const provider of providers) await provider.start();
  const urls = providers.map(({ url }) => url);
  const bed = await startTestGateway({ estate: chaosEstate(urls, false), openLog: openRealLog });
  const windows = (oneFails.length + 1) * 2;
  const chaos: Chaos = { bed, providers, windowMs: rounds ?? (minutes * 60_000) / windows, nextEffect: 0 };
  const rows: ChaosRow[] = [];
  try {
    for (const controls of [false, true]) {
      await bed.publish(chaosEstate(urls, controls));
      for (const fault of oneFails) rows.push(await window(chaos, { fault, failing: 1, controls }));
      rows.push(await window(chaos, { fault: "kill", failing: providersCount, controls }));
    }
  } finally {
    await bed.close();
    for (const provider of providers) await provider.stop();
  }
  const twice = [...effects.values()].filter((times) => times > 1).length;
  for (const row of rows) process.stdout.write(`${line(row)}\n`);
  const isServed = rows.every(
    ({ fault, controls, reads, readsOk }) => !controls || fault === "kill of all" || readsOk >= reads * readsOkMin,
  );
  return { soak: "chaos", seed, rows, twice, ok: twice === 0 && isServed };
}

export function openRealLog(directory: string) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identity = { tenant, environment, region, node: "gw-test", role: "gateway" as const, version: "0.1.0" };
  return openLog({ directory, identity });
}

interface Seen {
  readonly isEffect: boolean;
  readonly end: string;
  readonly ms: number;
}

/** Load for one window, the fault coming a fifth into it. */
async function window(
  chaos: Chaos,
  { fault, failing, controls }: { readonly fault: Fault; readonly failing: number; readonly controls: boolean },
): Promise<ChaosRow> {
  const { bed, providers, windowMs } = chaos;
  // What the window before has taught about endpoints and budgets is over.
  bed.clock.shiftMs += 20_000;
  bed.feed.heartbeat();
  for (const provider of providers) await provider.fail("none");
  const seen: Seen[] = [];
  const endMs = performance.now() + windowMs;
  const load = Array.from({ length: workers }, (_, n) => work(chaos, { n, endMs, seen }));
  await new Promise((resolve) => setTimeout(resolve, windowMs / 5));
  for (const provider of providers.slice(0, failing)) await provider.fail(fault);
  await Promise.all(load);
  return rowOf(failing > 1 ? `${fault} of all` : fault, controls, seen);
}

async function work(
  chaos: Chaos,
  { n, endMs, seen }: { readonly n: number; readonly endMs: number; readonly seen: Seen[] },
): Promise<void> {
  const { bed } = chaos;
  const url = `${bed.addresses[0]?.url}/billing/v1/invoices`;
  const caller = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = n; performance.now() < endMs; i++) {
    const isEffect = i % effectEvery === 0;
    const body = JSON.stringify({ amount: 1, customer: `e-${chaos.nextEffect++}` });
    const headers = { "content-type": "application/json" };
    const startedMs = performance.now();
    const end = await caller
      .send(isEffect ? url : `${url}/1`, isEffect ? { method: "POST", headers, body, agent } : { agent })
      .then(
        ({ status, code }) => (status === 200 ? "ok" : `${status} ${code ?? "of the provider"}`),
        () => "cut",
      );
    seen.push({ isEffect, end, ms: performance.now() - startedMs });
  }
  agent.destroy();
}

function rowOf(fault: string, controls: boolean, seen: readonly Seen[]): ChaosRow {
  const reads = seen.filter(({ isEffect }) => !isEffect);
  const effects = seen.filter(({ isEffect }) => isEffect);
  const ok = (all: readonly Seen[]): number => all.filter(({ end }) => end === "ok").length;
  const times = reads.map(({ ms }) => ms).sort((a, b) => a - b);
  const others: Record<string, number> = {};
  for (const { end } of seen) if (end !== "ok") others[end] = (others[end] ?? 0) + 1;
  return {
    fault,
    controls,
    reads: reads.length,
    readsOk: ok(reads),
    p50Ms: rounded(percentile(times, 0.5), 1),
    p99Ms: rounded(percentile(times, 0.99), 1),
    effects: effects.length,
    effectsOk: ok(effects),
    others,
  };
}

function line({ fault, controls, reads, readsOk, p50Ms, p99Ms, effects, effectsOk, others }: ChaosRow): string {
  const share = (ok: number, all: number): string => `${((ok * 100) / Math.max(1, all)).toFixed(1)}%`.padStart(6);
  const said = Object.entries(others).map(([end, count]) => `${count} x ${end}`);
  return `${fault.padEnd(12)} ${controls ? "with   " : "without"} reads ${String(reads).padStart(5)} ${share(readsOk, reads)} p50 ${p50Ms} ms p99 ${p99Ms} ms  effects ${String(effects).padStart(4)} ${share(effectsOk, effects)}  ${said.join(", ")}`;
}
