// Promises the shapes of what an integration limits: over time, at once, in each calendar period, and who counts it.
// Trusts the manifest's signature, as objects.ts. Specified in docs/formats/snapshot.md, docs/limits.md.

/** Who shares what a limit counts. `subject`: the user that is acted for; a caller that acts for itself counts as its client. */
export type LimitPer = "client" | "subject" | "integration";

/** Who comes first where a provider has as much as it is given. */
export type Priority = "low" | "normal" | "high";

/** Counted once for all gateways of a tenant, environment and region; `onLoss`: what holds while nobody can be asked. */
export interface AcrossGateways {
  readonly onLoss: "local" | "deny";
}

/** GCRA limit: `rate` permits per `periodMs`, at most `burst` at once. */
export interface RateLimit {
  readonly per: LimitPer;
  readonly rate: number;
  readonly periodMs: number;
  readonly burst: number;
  /** Names of the granted operations it counts; absent: all of them. */
  readonly operations?: readonly string[];
  /** Absent: each gateway counts for itself. */
  readonly across?: AcrossGateways;
}

/** At most `max` crossings under way at once. */
export interface ConcurrencyLimit {
  readonly per: LimitPer;
  readonly max: number;
  /** As of a rate. */
  readonly operations?: readonly string[];
  readonly across?: AcrossGateways;
}

/** At most `max` crossings in each calendar period. */
export interface QuotaLimit {
  readonly per: LimitPer;
  readonly max: number;
  readonly period: "day" | "month";
  /** IANA name of the zone whose calendar says when a period ends: `UTC`, `Europe/Berlin`. */
  readonly timeZone: string;
  /** As of a rate. */
  readonly operations?: readonly string[];
}
