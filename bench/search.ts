// Promises the figures of the search index as one JSON line: records indexed per second and per second of processor, what a stall of ten minutes at
// 20,000 records a second takes to catch up, edge figures beside it, and how long searches over a million records take.
// Trusts the disk it runs on. What is measured is described in RESULTS.md; one thread, as in control.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { EdgesFold } from "@sallyport/control/audit/edges/edges-fold.ts";
import { PostgresIndex } from "@sallyport/control/audit/search/postgres-index.ts";
import {
  idOf,
  originOf,
  pseudonymOf,
  recordsOf,
  seeded,
  startMs,
  trafficLeaf,
} from "@sallyport/control/audit/search/records.test-support.ts";
import { runSearch } from "@sallyport/control/audit/search/run-search.ts";
import { SearchIndex } from "@sallyport/control/audit/search/search-index.ts";
import type { Filter } from "@sallyport/control/audit/search/search-question.ts";
import { SqliteIndex } from "@sallyport/control/audit/search/sqlite-index.ts";
import { startPostgres } from "../tools/postgres.ts";

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "1048576" },
    seed: { type: "string", default: "1" },
    postgres: { type: "boolean", default: false },
  },
});
const batch = 2_048;
const records = Math.ceil(Number(values.records) / batch) * batch;
const queriesOfKind = 100;
const stalledRecords = 600 * 20_000;

const directory = mkdtempSync(join(tmpdir(), "bench-index-"));
const random = seeded(Number(values.seed));
const now = () => startMs + 86_400_000;
const bounds = { now, bytesMax: 1e12, keepMs: 1e12 };
const server = values.postgres ? await startPostgres() : null;
const store =
  server === null
    ? new SqliteIndex({ directory: join(directory, "search"), owner: "bench", ...bounds })
    : new PostgresIndex({ url: server.url, schema: "bench_search", ...bounds });
const index = await SearchIndex.open(store, now);
const edges = new EdgesFold({ directory: join(directory, "edges"), owner: "bench", now });

interface Spent {
  ms: number;
  cpuMs: number;
}

const spent = (): Spent => ({ ms: 0, cpuMs: 0 });

async function timed(on: Spent, work: () => unknown): Promise<void> {
  const cpu = process.cpuUsage();
  const began = performance.now();
  await work();
  on.ms += performance.now() - began;
  const used = process.cpuUsage(cpu);
  on.cpuMs += (used.user + used.system) / 1_000;
}

/** Of an index in files; what PostgreSQL adds to the blocks is not asked for. */
async function storedBytes(): Promise<number> {
  if (!(store instanceof SqliteIndex)) return Number.NaN;
  store.files.turn();
  return store.files.sealed.reduce((sum, file) => sum + file.bytes, 0);
}

const quantile = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;

async function searches(name: string, filtersOf: () => readonly Filter[]): Promise<number[]> {
  const times: number[] = [];
  const ports = { monotonic: () => performance.now(), turn: () => new Promise<void>((go) => setImmediate(go)) };
  for (let n = 0; n < queriesOfKind; n++) {
    const began = performance.now();
    await runSearch(index, { from: 0, to: 8.64e15, filters: filtersOf(), after: null, limit: 100 }, ports);
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  process.stdout.write(
    `${name.padEnd(34)} p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms\n`,
  );
  return times;
}

try {
  const indexing = spent();
  const counting = spent();
  for (let from = 0; from < records; from += batch) {
    const made = recordsOf(
      Array.from({ length: batch }, (_, n) => trafficLeaf(from + n, random, "gw-1")),
      from,
    );
    await timed(indexing, () => index.take(originOf("gw-1"), made));
    await timed(counting, () => edges.take({ origin: originOf("gw-1"), records: made }));
  }
  const perS = Math.round((records / indexing.ms) * 1_000);
  const both = records / (indexing.cpuMs + counting.cpuMs);
  process.stdout.write(`${records} records, ${perS} indexed per second\n`);
  const some = (top: number) => Math.floor(random() * top);
  const all = [
    ...(await searches("newest 100", () => [])),
    ...(await searches("one caller", () => [{ field: "caller", values: [pseudonymOf(`caller-${some(60)}`)] }])),
    ...(await searches("one address", () => [
      { field: "address", values: [pseudonymOf(`10.0.${some(8)}.${some(250)}`)] },
    ])),
    ...(await searches("one id", () => [{ field: "id", values: [idOf("gw-1", some(records))] }])),
    ...(await searches("denials of a caller on an operation", () => [
      { field: "caller", values: [pseudonymOf(`caller-${some(60)}`)] },
      { field: "outcome", values: ["denied"] },
      { field: "operation", values: ["billing:invoice.void"] },
    ])),
    ...(await searches("a caller that never was", () => [{ field: "caller", values: [pseudonymOf("nobody")] }])),
  ].sort((a, b) => a - b);
  const bytes = await storedBytes();
  const figures = {
    bench: "search",
    store: server === null ? "sqlite" : "postgres",
    records,
    indexed_per_s: perS,
    indexed_per_cpu_s: Math.round((records / indexing.cpuMs) * 1_000),
    edges_per_cpu_s: Math.round((records / counting.cpuMs) * 1_000),
    index_and_edges_per_cpu_s: Math.round(both * 1_000),
    catch_up_10_min_cpu_s: both * 1_000 > 20_000 ? Math.round(stalledRecords / (both * 1_000 - 20_000)) : null,
    bytes_per_record: Number.isNaN(bytes) ? null : Number((bytes / records).toFixed(1)),
    query_p50_ms: Number(quantile(all, 0.5).toFixed(1)),
    query_p99_ms: Number(quantile(all, 0.99).toFixed(1)),
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
} finally {
  await index.close();
  await server?.stop();
  await edges.close();
  rmSync(directory, { recursive: true, force: true });
}
