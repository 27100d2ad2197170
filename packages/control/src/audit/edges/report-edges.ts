// Promises figures of edges as dashboards draw them: one row per edge over the whole time, and a series in steps. Pure. Specified in docs/audit-edges.md.
import { addFigures, type Figures, noFigures } from "./edge-figures.ts";
import type { StoredFigures } from "./edge-store.ts";
import { quantile } from "./latency.ts";

export interface EdgeSums {
  readonly requests: number;
  /** Of which: the provider's or our own fault. */
  readonly errors: number;
  readonly denied: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Milliseconds of what was not denied; null: there was none. */
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export interface EdgeRow extends EdgeSums {
  readonly environment: string;
  /** Null: none was found (a stranger, a route or a grant that is not there). */
  readonly integration: string | null;
  readonly operation: string | null;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly series: readonly (EdgeSums & { readonly t: number })[];
}

export interface EdgeReport {
  readonly edges: readonly EdgeRow[];
}

const errorOutcomes: ReadonlySet<string> = new Set(["system-error", "unknown"]);

export function reportEdges(
  rows: readonly StoredFigures[],
  asked: { readonly environment: string | null; readonly integration: string | null },
): EdgeReport {
  const edges = new Map<string, StoredFigures[]>();
  for (const row of rows) {
    const { environment, integration, operation } = row.key;
    if (asked.environment !== null && environment !== asked.environment) continue;
    if (asked.integration !== null && integration !== asked.integration) continue;
    const name = `${environment}\n${integration}\n${operation}`;
    const list = edges.get(name);
    if (list === undefined) edges.set(name, [row]);
    else list.push(row);
  }
  const reported = [...edges.values()].map(reportEdge);
  return { edges: reported.sort((a, b) => b.requests - a.requests) };
}

function reportEdge(rows: readonly StoredFigures[]): EdgeRow {
  const byTime = Map.groupBy(rows, ({ t }) => t);
  const outcomes: Record<string, number> = {};
  for (const { key, figures } of rows) outcomes[key.outcome] = (outcomes[key.outcome] ?? 0) + figures.count;
  const { environment = "", integration = "", operation = "" } = rows[0]?.key ?? {};
  return {
    environment,
    integration: integration === "" ? null : integration,
    operation: operation === "" ? null : operation,
    outcomes,
    ...sumsOf(rows),
    series: [...byTime].map(([t, at]) => ({ t, ...sumsOf(at) })),
  };
}

function sumsOf(rows: readonly StoredFigures[]): EdgeSums {
  const all = noFigures();
  const passed: Figures = noFigures();
  let errors = 0;
  let denied = 0;
  for (const { key, figures } of rows) {
    addFigures(all, figures);
    if (key.outcome === "denied") denied += figures.count;
    else addFigures(passed, figures);
    if (errorOutcomes.has(key.outcome)) errors += figures.count;
  }
  const { count: requests, bytesIn, bytesOut } = all;
  const of = (share: number) => quantile(passed.latency, share);
  return { requests, errors, denied, bytesIn, bytesOut, p50: of(0.5), p95: of(0.95), p99: of(0.99) };
}
