// Promises counters an operator can alert on, with declared names only as labels. Trusts its callers to pass codes, never text from outside.
// Format: Prometheus text exposition; names are listed in docs/gateway.md.
import type { CrossingMode } from "@sallyport/protocol/audit/leaf.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { Counter, Gauge, Registry } from "prom-client";
import { QuickHistogram } from "./quick-histogram.ts";

/** What is read at scrape time. */
export interface Gauges {
  inFlight(): number;
  snapshotVersion(): number;
  snapshotAgeSeconds(): number;
  stalenessSeconds(): number;
  waitingSeconds(): number;
  logLeaves(): number;
  brokenObjects(): number;
  unenforcedObjects(): number;
  countedLeavesLost(): number;
  earlyAnswersLost(): number;
  tracesLost(): number;
  tokenCache(): { readonly hits: number; readonly misses: number; readonly size: number };
}

export interface CountedCrossing {
  /** null for an allowed one. */
  readonly code: ProblemCode | null;
  readonly outcome: string;
  /** null where none was bound; else a declared id, never text from outside. */
  readonly integration: string | null;
  /** From its first byte to its recorded end. */
  readonly totalMs: number;
  /** Until the provider's response fields came; 0 where it was not asked. */
  readonly upstreamMs: number;
}

export interface Metrics {
  /** One finished crossing. */
  crossing(ended: CountedCrossing): void;
  /** A denial that passed, under `observe` or `passthrough`. */
  wouldDeny(code: ProblemCode, mode: CrossingMode): void;
  /** A TLS handshake or connection that never became a request. */
  connectionRefused(reason: "tls" | "connections" | "requests-per-socket"): void;
  refusedSnapshot(why: string): void;
  /** An accepted snapshot could not be fetched or put in force, and is tried again. */
  snapshotAttemptFailed(): void;
  text(): Promise<string>;
}

const bucketsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createMetrics(gauges: Gauges): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const byEnd = counted(registers, {
    name: "sallyport_crossings_total",
    help: "Crossings by code (ok where allowed) and outcome",
    labels: ["code", "outcome"],
  });
  const byIntegration = counted(registers, {
    name: "sallyport_integration_crossings_total",
    help: "Crossings bound to an integration, by whether they were let through",
    labels: ["integration", "verdict"],
  });
  const passed = counted(registers, {
    name: "sallyport_would_deny_total",
    help: "Denials that were recorded and not enforced, by code and mode",
    labels: ["code", "mode"],
  });
  const plain = plainCounters(registers);
  const histogram = (name: string, help: string) =>
    new QuickHistogram({ name: `sallyport_${name}_duration_seconds`, help, buckets: bucketsSeconds }, registers);
  const upstream = histogram("upstream", "From the start of forwarding to the provider's response fields");
  const duration = histogram("crossing", "From the first byte of a crossing to its recorded end");
  defineGauges(gauges, registers);
  return {
    crossing({ code, outcome, integration, totalMs, upstreamMs }) {
      byEnd(code ?? "ok", outcome);
      duration.count(totalMs / 1000);
      if (upstreamMs > 0) upstream.count(upstreamMs / 1000);
      if (integration !== null) byIntegration(integration, code === null ? "allow" : "deny");
    },
    wouldDeny: passed,
    connectionRefused: (reason) => plain.refusals.inc({ reason }),
    refusedSnapshot: (why) => plain.snapshots.inc({ why }),
    snapshotAttemptFailed: () => plain.attempts.inc(),
    text: () => registry.metrics(),
  };
}

/** A counter of two labels, kept by hand and copied at scrape time: a label look-up per crossing would be a cost of its own. */
function counted(
  registers: Registry[],
  on: { readonly name: string; readonly help: string; readonly labels: readonly [string, string] },
): (first: string, second: string) => void {
  const counts = new Map<string, number>();
  new Counter({
    name: on.name,
    help: on.help,
    labelNames: [...on.labels],
    registers,
    collect() {
      this.reset();
      for (const [key, count] of counts) {
        const [first = "", second = ""] = key.split(" ");
        this.inc({ [on.labels[0]]: first, [on.labels[1]]: second }, count);
      }
    },
  });
  return (first, second) => {
    const key = `${first} ${second}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };
}

function plainCounters(registers: Registry[]) {
  return {
    refusals: new Counter({
      name: "sallyport_connections_refused_total",
      help: "Connections that never became a request",
      labelNames: ["reason"],
      registers,
    }),
    snapshots: new Counter({
      name: "sallyport_snapshots_refused_total",
      help: "Snapshots refused, by reason",
      labelNames: ["why"],
      registers,
    }),
    attempts: new Counter({
      name: "sallyport_snapshot_attempts_failed_total",
      help: "Attempts to fetch or put in force an accepted snapshot that failed and are made again",
      registers,
    }),
  };
}

function defineGauges(gauges: Gauges, registers: Registry[]): void {
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
  gauge("crossings_in_flight", "Crossings that have begun and not ended", gauges.inFlight);
  gauge("snapshot_version", "Version of the snapshot in force; 0 without one", gauges.snapshotVersion);
  gauge("snapshot_age_seconds", "Age of the snapshot in force", gauges.snapshotAgeSeconds);
  gauge(
    "staleness_seconds",
    "Time since the last heartbeat that left no gap, or since a newer snapshot was offered that could not be taken",
    gauges.stalenessSeconds,
  );
  gauge("snapshot_waiting_seconds", "Time a newer snapshot has been waiting; 0 without one", gauges.waitingSeconds);
  gauge("log_leaves", "Durable leaves of the audit log", gauges.logLeaves);
  gauge("broken_objects", "Objects of the snapshot that are not served", gauges.brokenObjects);
  gauge("unenforced_objects", "Systems and integrations under observe or passthrough now", gauges.unenforcedObjects);
  gauge("token_cache_hits", "Verified tokens found in the cache", () => gauges.tokenCache().hits);
  gauge("token_cache_misses", "Tokens verified anew", () => gauges.tokenCache().misses);
  gauge("token_cache_entries", "Verified tokens held", () => gauges.tokenCache().size);
  gauge("traces_lost", "Crossings whose spans the collector did not take", gauges.tracesLost);
  gauge("log_counted_leaves_lost", "Counted denial leaves that could not be appended", gauges.countedLeavesLost);
  gauge("log_early_answers_lost", "Answered crossings whose record could not be appended", gauges.earlyAnswersLost);
}
