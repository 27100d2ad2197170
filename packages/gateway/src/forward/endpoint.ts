// Promises what is known of one place where a system is served, across snapshots: its connections, what is under way, and whether it is left alone.
// Trusts forwarding.ts to say when attempts begin and end. Specified in docs/resilience.md.
import type { UpstreamPool } from "@sallyport/kernel/dial/upstream-port.ts";
import { Breaker, type BreakerRules } from "./breaker.ts";
import { FairRoom } from "./fair-room.ts";
import { Health } from "./health.ts";
import { HedgeTraffic } from "./hedge-traffic.ts";
import { RetryBudget } from "./retry-budget.ts";
import { WaitingLine } from "./waiting-line.ts";

export class Endpoint {
  readonly origin: string;
  /** Where it is and who vouches for it, whatever else its connections are made with: what goes on with it may go on where this is the same. */
  readonly place: string;
  readonly pool: UpstreamPool;
  readonly breaker: Breaker;
  readonly health = new Health();
  /** Attempts under way. */
  inFlight = 0;
  /** Attempts begun, and those that failed. */
  attempts = 0;
  failures = 0;
  /** Code of the last failure; empty: none yet. */
  lastFailure = "";

  constructor(at: Pick<Endpoint, "origin" | "place">, pool: UpstreamPool, rules: BreakerRules | null) {
    this.origin = at.origin;
    this.place = at.place;
    this.pool = pool;
    this.breaker = new Breaker(rules);
  }
}

/** What the endpoints of one system share, across snapshots. */
export class SystemTraffic {
  readonly budget = new RetryBudget();
  readonly hedges = new HedgeTraffic();
  readonly room = new FairRoom();
  readonly line = new WaitingLine(this.room);
  inFlight = 0;
  retries = 0;
  /** When a crossing last used it, monotonic milliseconds. */
  usedMs = Number.NEGATIVE_INFINITY;
  /** Crossings that were refused because every endpoint was shut out, or had too much to do. */
  refusedOpen = 0;
  refusedFull = 0;
  shed = 0;
}
