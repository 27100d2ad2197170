// Promises the control plane's state as Prometheus metrics, without a label a stranger could choose. Trusts the parts it reads.
// Specified in docs/control.md "Metrics".
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Registry as MetricsRegistry } from "prom-client";
import { keptLogs } from "../admin/status.ts";
import type { Exports } from "../audit/export/exports.ts";
import type { FollowerStanding } from "../audit/follow/follower-messages.ts";
import type { MovedTotals, StoreStanding } from "../audit/keeping/mover.ts";
import type { Foundations } from "../foundations.ts";
import type { Hub } from "../gateways/hub.ts";
import type { InForce } from "../in-force.ts";
import { Counter, Gauge, Registry } from "./prometheus.ts";

export interface ControlMetricsSources extends Pick<Foundations, "store" | "log" | "follower" | "archive" | "mover"> {
  readonly exports: Pick<Exports, "expiring">;
  readonly clock: Pick<Clock, "now">;
  readonly hub: Hub;
  readonly inForce: InForce;
  readonly refusedConnections: () => number;
}

export function createControlMetrics({
  store,
  log,
  follower,
  archive,
  mover,
  exports,
  clock,
  hub,
  inForce,
  refusedConnections,
}: ControlMetricsSources): {
  text(): Promise<string>;
} {
  const registry = new Registry();
  const gauge = (name: string, help: string, read: () => number | Promise<number>) =>
    new Gauge({
      name: `sallyport_control_${name}`,
      help,
      registers: [registry],
      async collect() {
        this.set(await read());
      },
    });
  gauge("gateways_connected", "Gateways with an open channel", () => hub.connected().length);
  gauge("environments", "Environments with an issuer", () => inForce.identities.size);
  gauge("broken_objects", "Objects that are not served; sallyport status names file and line", () =>
    inForce.brokenObjects(),
  );
  gauge("connections_refused", "Connections turned away since the start: one network, or all, had too many", () =>
    refusedConnections(),
  );
  gauge("log_leaves", "Durable leaves in control's own log", () => log.size());
  gauge("archive_records_behind", "Signed records of gateways that are not in the archive yet", async () =>
    (await keptLogs({ store, archive })).reduce((sum, { archived }) => sum + archived.behind, 0),
  );
  gauge(
    "archive_refused",
    "Gateways whose log the archive refuses; sallyport status says why",
    () => archive.totals().refused,
  );
  gauge(
    "archive_troubled",
    "Gateways that cannot ship because control's disk is full or its archive damaged",
    () => archive.totals().troubled,
  );
  gauge(
    "audit_outbox_rows",
    "Recorded acts that are not in the log yet",
    async () => (await store.run("outboxBacklog", null)).count,
  );
  gauge(
    "audit_outbox_age_seconds",
    "Age of the oldest of them; over 5 s administrative acts are denied",
    async () => (await store.run("outboxBacklog", null)).ageMs / 1000,
  );
  addStore(registry, mover, clock);
  addFollowing(registry, follower);
  new Gauge({
    name: "sallyport_control_export_expiring_records",
    help: "Records that retention lets go within 30 days and this sink was not sent",
    labelNames: ["sink"],
    registers: [registry],
    async collect() {
      this.reset();
      const expiring = await exports.expiring(mover?.kept ?? null, clock.now());
      for (const { sink, records } of expiring) this.inc({ sink }, records);
    },
  });
  return { text: () => registry.metrics() };
}

/** The way of logs to the archive store; all 0 where none is configured. */
function addStore(registry: MetricsRegistry, mover: ControlMetricsSources["mover"], clock: Pick<Clock, "now">): void {
  const registers = [registry];
  const total = (name: string, help: string, read: (moved: MovedTotals) => number) =>
    new Counter({
      name: `sallyport_control_archive_store_${name}_total`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(mover === null ? 0 : read(mover.moved));
      },
    });
  const state = (name: string, help: string, read: (behind: StoreStanding["behind"]) => number) =>
    new Gauge({
      name: `sallyport_control_archive_store_${name}`,
      help,
      registers,
      collect() {
        this.set(mover === null ? 0 : read(mover.standing().behind));
      },
    });
  total("segments", "Segments that were written to the archive store", ({ segments }) => segments);
  total("bytes", "Bytes of them", ({ bytes }) => bytes);
  total("failures", "Runs over a log, and openings of the store, that failed", ({ failures }) => failures);
  state("behind_records", "Signed records that are not in the archive store yet", (behind) =>
    behind.reduce((sum, { leaves }) => sum + Math.max(0, leaves), 0),
  );
  state("behind_seconds", "How long the oldest of them has been waiting", (behind) =>
    behind.reduce((most, { since }) => Math.max(most, (clock.now() - since) / 1_000), 0),
  );
}

/** How far each thing is that is derived from records; `fold` is a name of ours or of a sink somebody set up. */
function addFollowing(registry: MetricsRegistry, follower: ControlMetricsSources["follower"]): void {
  const each = (name: string, help: string, of: (fold: FollowerStanding["folds"][number]) => number) =>
    new Gauge({
      name: `sallyport_control_fold_${name}`,
      help,
      labelNames: ["fold"],
      registers: [registry],
      async collect() {
        this.reset();
        const { folds } = await follower.standing().catch((): FollowerStanding => ({ folds: [], fault: null }));
        for (const fold of folds) this.set({ fold: fold.id }, of(fold));
      },
    });
  each("behind_records", "Records that may be read and were not taken", ({ behind }) => behind);
  each("behind_seconds", "How long the oldest of them has been waiting", ({ behindSince }) =>
    behindSince === null ? 0 : Math.max(0, (Date.now() - behindSince) / 1_000),
  );
  each("failing", "1 while the last try failed", ({ fault }) => (fault === null ? 0 : 1));
}
