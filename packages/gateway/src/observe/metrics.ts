// Promises counters an operator can alert on, with declared names only as labels. Trusts its callers to pass codes, never text from outside.
// Format: Prometheus text exposition; names are listed in docs/gateway.md.
import type { EngineStanding, ShadowVerdict } from "@sallyport/kernel/policy/port.ts";
import type { CrossingMode } from "@sallyport/protocol/audit/leaf.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { BotRule } from "@sallyport/protocol/snapshot/bot-rule.ts";
import type { Registry as MetricsRegistry } from "prom-client";
import type { ShippingStanding } from "../archive/shipper.ts";
import type { RefusedConnection } from "../listen/refused-connection.ts";
import { defineLimitMetrics, type LimitFigures } from "./limit-metrics.ts";
import { defineNextHopMetrics, type NextHopFigures } from "./next-hop-metrics.ts";
import { Counter, Gauge, Registry } from "./prometheus.ts";
import { QuickHistogram } from "./quick-histogram.ts";
import { defineUpstreamMetrics, type UpstreamFigures } from "./upstream-metrics.ts";

/** What is read at scrape time. */
export interface Gauges {
  inFlight(): number;
  snapshotVersion(): number;
  snapshotAgeSeconds(): number;
  stalenessSeconds(): number;
  waitingSeconds(): number;
  logLeaves(): number;
  /** Null: nothing ships the log. */
  shipping(): ShippingStanding | null;
  /** Milliseconds since the epoch. */
  now(): number;
  brokenObjects(): number;
  policySets(): EngineStanding;
  unenforcedObjects(): number;
  countedLeavesLost(): number;
  earlyAnswersLost(): number;
  limits(): LimitFigures;
  nextHops(): NextHopFigures;
  tracesLost(): number;
  upstreams(): UpstreamFigures;
  /** Milliseconds, monotonic. */
  monotonicMs(): number;
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
  /** What a policy in shadow would have changed; its id is a declared one. */
  shadowPolicy(policy: string, would: ShadowVerdict["would"]): void;
  /** A rule about threats found something; its id is one of ours. */
  threat(rule: string, mode: "shadow" | "block"): void;
  /** A rule about bots found something. */
  bot(rule: BotRule, mode: "shadow" | "enforce"): void;
  /** An answer that does not match its schema and was let pass. */
  answerReported(operation: string, status: string): void;
  /** A TLS handshake or connection that never became a request. */
  connectionRefused(reason: RefusedConnection): void;
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
  const found = countFound(registers);
  const plain = plainCounters(registers);
  const histogram = (name: string, help: string) =>
    new QuickHistogram({ name: `sallyport_${name}_duration_seconds`, help, buckets: bucketsSeconds }, registers);
  const upstream = histogram("upstream", "From the start of forwarding to the provider's response fields");
  const duration = histogram("crossing", "From the first byte of a crossing to its recorded end");
  defineGauges(gauges, registers);
  defineShipping(gauges, registers);
  defineLimitMetrics(() => gauges.limits(), registers);
  defineNextHopMetrics(() => gauges.nextHops(), registers);
  definePolicySets(gauges, registers);
  defineUpstreamMetrics(
    () => gauges.upstreams(),
    () => gauges.monotonicMs(),
    registers,
  );
  return {
    crossing({ code, outcome, integration, totalMs, upstreamMs }) {
      byEnd(code ?? "ok", outcome);
      duration.count(totalMs / 1000);
      if (upstreamMs > 0) upstream.count(upstreamMs / 1000);
      if (integration !== null) byIntegration(integration, code === null ? "allow" : "deny");
    },
    wouldDeny: passed,
    ...found,
    connectionRefused: (reason) => plain.refusals.inc({ reason }),
    refusedSnapshot: (why) => plain.snapshots.inc({ why }),
    snapshotAttemptFailed: () => plain.attempts.inc(),
    text: () => registry.metrics(),
  };
}

/** What was found and changed nothing, or names the rule that refused. */
function countFound(registers: MetricsRegistry[]): Pick<Metrics, "shadowPolicy" | "threat" | "bot" | "answerReported"> {
  const shadowPolicy = counted(registers, {
    name: "sallyport_shadow_policy_total",
    help: "Crossings that a policy in shadow would have decided otherwise, by what it would have done",
    labels: ["policy", "would"],
  });
  const threat = counted(registers, {
    name: "sallyport_threats_total",
    help: "Requests in which a rule about threats found something, by rule and by whether it blocks or is in shadow",
    labels: ["rule", "mode"],
  });
  const bot = counted(registers, {
    name: "sallyport_bots_total",
    help: "Requests in which a rule about bots found something, by rule and mode",
    labels: ["rule", "mode"],
  });
  const answerReported = counted(registers, {
    name: "sallyport_response_mismatches_total",
    help: "Answers that do not match their schema and were let pass, by operation and status",
    labels: ["operation", "status"],
  });
  return { shadowPolicy, threat, bot, answerReported };
}

/** A counter of two labels, kept by hand and copied at scrape time: a label look-up per crossing would be a cost of its own. */
function counted(
  registers: MetricsRegistry[],
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

function plainCounters(registers: MetricsRegistry[]) {
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

function defineGauges(gauges: Gauges, registers: MetricsRegistry[]): void {
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

function definePolicySets({ policySets }: Gauges, registers: MetricsRegistry[]): void {
  new Gauge({
    name: "sallyport_policy_sets",
    help: "Sets of policies asked so far, by who decides over them; more than 0 disagreed is a bug of Sallyport",
    labelNames: ["by"],
    registers,
    collect() {
      const { compiled, evaluated, disagreed } = policySets();
      this.set({ by: "closures" }, compiled);
      this.set({ by: "evaluator" }, evaluated);
      this.set({ by: "evaluator-disagreed" }, disagreed);
    },
  });
}

/** The way of the log to control's archive. */
function defineShipping({ shipping, now }: Gauges, registers: MetricsRegistry[]): void {
  const total = (name: string, help: string, read: (standing: ShippingStanding) => number): void => {
    new Counter({
      name: `sallyport_shipping_${name}_total`,
      help,
      registers,
      collect() {
        const standing = shipping();
        this.reset();
        this.inc(standing === null ? 0 : read(standing));
      },
    });
  };
  const gauge = (name: string, help: string, read: (standing: ShippingStanding) => number): void => {
    new Gauge({
      name: `sallyport_shipping_${name}`,
      help,
      registers,
      collect() {
        const standing = shipping();
        this.set(standing === null ? 0 : read(standing));
      },
    });
  };
  total("shipments", "Shipments of records that control took", ({ shipments }) => shipments);
  total("records", "Records in them", ({ records }) => records);
  total("bytes", "Bytes of them", ({ bytes }) => bytes);
  total("failures", "Rounds of shipping that ended early, and are tried again", ({ failures }) => failures);
  gauge("behind_records", "Signed records control is not known to hold", ({ behind }) => behind);
  gauge("behind_seconds", "Age of the oldest of them", ({ oldestAt }) =>
    oldestAt === null ? 0 : Math.max(0, (now() - oldestAt) / 1_000),
  );
}
