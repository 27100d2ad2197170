// Promises whether a failed attempt is followed by another, and after which pause: only where repeating cannot act twice, inside the deadline and the
// budget. Pure. Specified in docs/resilience.md "Retries"; full jitter, Retry-After: RFC 9110 §10.2.3.
import type { Repeatable } from "./may-repeat.ts";

export const pauseBaseMs = 25;
export const pauseMsMax = 1_000;
/** Less than this is no time for another attempt. */
export const attemptMsMin = 5;

/** Answers by which a provider, or what stands before it, says that it could not serve now (RFC 9110 §15.6.3-5). */
export const failingStatuses: ReadonlySet<number> = new Set([502, 503, 504]);

/** What no other attempt at the same endpoint mends. */
const lastingFaults: ReadonlySet<string> = new Set([
  "address-refused",
  "name-not-found",
  "tls-untrusted",
  "pin-mismatch",
]);

export interface FailedAttempt {
  /** Code of a fault (kernel/dial/dial-fault.ts), or `status-503`. */
  readonly code: string;
  /** May a byte of the request have left? */
  readonly wasSent: boolean;
  /** What the provider asked for; null: nothing. */
  readonly retryAfterMs: number | null;
}

export interface RetryQuestion {
  readonly failed: FailedAttempt;
  /** Attempts so far, at least 1. */
  readonly made: number;
  readonly attemptsMax: number;
  readonly repeatable: Repeatable;
  /** Its content, if any, is at hand. */
  readonly isHeld: boolean;
  /** Is there an endpoint that was not tried? */
  readonly hasOther: boolean;
  /** Of the whole crossing. */
  readonly leftMs: number;
  /** 0 up to and without 1. */
  readonly random: number;
  /** Takes one retry out of the budget; asked last. */
  takeBudget(): boolean;
}

export type RetryVerdict =
  | { readonly kind: "again"; readonly afterMs: number }
  | { readonly kind: "enough"; readonly why: "attempts" | "effect" | "content" | "lasting" | "deadline" | "budget" };

export function decideRetry(question: RetryQuestion): RetryVerdict {
  const { failed, made, repeatable, leftMs, hasOther } = question;
  const enough = (why: Extract<RetryVerdict, { kind: "enough" }>["why"]): RetryVerdict => ({ kind: "enough", why });
  if (made >= question.attemptsMax) return enough("attempts");
  if (repeatable === "never" || (repeatable === "not-begun" && failed.wasSent)) return enough("effect");
  if (!question.isHeld) return enough("content");
  if (lastingFaults.has(failed.code) && !hasOther) return enough("lasting");
  const jitterMs = question.random * Math.min(pauseMsMax, pauseBaseMs * 2 ** (made - 1));
  // What one endpoint asks for does not bind another.
  const afterMs = hasOther ? jitterMs : Math.max(jitterMs, failed.retryAfterMs ?? 0);
  if (afterMs + attemptMsMin > leftMs) return enough("deadline");
  return question.takeBudget() ? { kind: "again", afterMs } : enough("budget");
}

/** `Retry-After` in milliseconds: seconds, or an HTTP date seen from `nowMs`; null where it is neither. */
export function retryAfterOf(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null;
  if (/^[0-9]{1,9}$/.test(value)) return Number(value) * 1_000;
  // Date.parse reads far more than an HTTP date (RFC 9110 §5.6.7).
  if (!/^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$/.test(value)) return null;
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}
