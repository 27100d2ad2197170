// Promises what a finding is: something a rule noticed of one subject, counted, with the records that show it and what became of it. Trusts nothing.
// Described in docs/findings.md.
import type { Evidence, Severity, Subject } from "./detector.ts";

export type FindingState = "open" | "acknowledged" | "resolved";

export interface Finding {
  /** `fnd-` and a ULID. */
  readonly id: string;
  readonly environment: string;
  readonly rule: string;
  readonly version: number;
  readonly severity: Severity;
  readonly subject: Subject;
  /** Milliseconds since the epoch. */
  readonly firstAt: number;
  readonly lastAt: number;
  readonly count: number;
  /** The first ones, at most `evidenceMax`. */
  readonly evidence: readonly Evidence[];
  readonly facts: Readonly<Record<string, string | number>>;
  readonly state: FindingState;
  /** Notifiers hear of it; false: its rule was on trial, or held, when it was raised. */
  readonly tells: boolean;
  /** Who changed the state last, when and why; null while it is open. */
  readonly change: { readonly actor: string; readonly at: number; readonly reason: string } | null;
}

export const evidenceMax = 20;
/** What is noticed of the same subject by the same rule within this time of the last is the same finding, unless it was resolved. */
export const sameFindingMs = 24 * 3_600_000;
/** Unresolved findings of one rule in one environment; beyond, one more counts for all others. */
export const openPerRuleMax = 200;
