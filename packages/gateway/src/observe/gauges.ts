// Promises each gauge of a gateway read where its value lies, at scrape time. Trusts the parts. Names and meanings: metrics.ts, docs/metrics.md.
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { EstateLease } from "../exchange.ts";
import type { Limits } from "../limit/open-limits.ts";
import type { Crossings } from "../listen/crossings.ts";
import type { EarlyAnswers } from "../record/early-answers.ts";
import type { Recorder } from "../record/recorder.ts";
import type { SnapshotFollower } from "../snapshot/follower.ts";
import type { Gauges } from "./metrics.ts";
import type { Tracing } from "./tracing.ts";
import { unenforcedIn } from "./unenforced.ts";
import type { UpstreamFigures } from "./upstream-metrics.ts";

export interface GaugedParts {
  readonly clock: Clock;
  readonly log: Pick<LogHandle, "size">;
  readonly crossings: Pick<Crossings, "count">;
  readonly recorder: Pick<Recorder, "lost">;
  readonly pools: UpstreamFigures;
  readonly follower: Pick<SnapshotFollower, "stalenessMs" | "waiting">;
  readonly tracing: Pick<Tracing, "lost"> | null;
  lease(): EstateLease | null;
  shipping: Gauges["shipping"];
  early(): Pick<EarlyAnswers, "lost">;
  tokenCache: Gauges["tokenCache"];
  readonly limits: Limits;
  policySets: Gauges["policySets"];
  readonly nextHops: ReturnType<Gauges["nextHops"]>;
}

export function gaugesOf(parts: GaugedParts): Gauges {
  const { clock, crossings, follower, log, recorder } = parts;
  const estate = () => parts.lease()?.estate ?? null;
  return {
    inFlight: () => crossings.count,
    snapshotVersion: () => estate()?.manifest.version ?? 0,
    snapshotAgeSeconds: () => {
      const issuedAt = estate()?.manifest.issuedAt;
      return issuedAt === undefined ? 0 : (clock.now() - issuedAt) / 1000;
    },
    stalenessSeconds: () => follower.stalenessMs() / 1000,
    waitingSeconds: () => (follower.waiting()?.waitingMs ?? 0) / 1000,
    logLeaves: () => log.size(),
    shipping: () => parts.shipping(),
    now: () => clock.now(),
    brokenObjects: () => estate()?.broken.length ?? 0,
    unenforcedObjects: () => unenforcedIn(estate(), clock.now()).length,
    countedLeavesLost: () => recorder.lost,
    earlyAnswersLost: () => parts.early().lost,
    tokenCache: () => parts.tokenCache(),
    limits: () => parts.limits,
    nextHops: () => parts.nextHops,
    policySets: () => parts.policySets(),
    tracesLost: () => parts.tracing?.lost ?? 0,
    upstreams: () => parts.pools,
    monotonicMs: () => clock.monotonic(),
  };
}
