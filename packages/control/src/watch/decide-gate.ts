// Promises whether a rule may tell people of what it finds, from what it would have found in the past. Pure. Trusts the backtest.
// Specified in docs/findings.md "Before a rule tells".
import type { BacktestReport } from "./backtest.ts";

/** How far back a rule is tried by itself. */
export const trialMs = 7 * 86_400_000;
/** Findings a day that people can look at; a rule that makes more is wrong about this installation, or something is wrong here. */
export const perDayMax = 20;

export interface RuleGate {
  readonly rule: string;
  readonly version: number;
  /** It tells: notifiers hear of its findings. */
  readonly tells: boolean;
  /** Milliseconds since the epoch: when it was tried, and from when on. */
  readonly testedAt: number;
  readonly sinceMs: number;
  readonly records: number;
  readonly findings: number;
  readonly whole: boolean;
  /** Who decided otherwise; null: the backtest did. */
  readonly change: { readonly actor: string; readonly at: number; readonly reason: string } | null;
}

/** A rule that could not be tried over the whole time, or that would have told too often, waits for an operator's word. */
export function decideTells({ whole, findings }: Pick<BacktestReport, "whole" | "findings">): boolean {
  return whole && findings <= (perDayMax * trialMs) / 86_400_000;
}
