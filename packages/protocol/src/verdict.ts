// Promises one shape for every decision of every stage. Trusts nothing: it is data. Codes are specified in problem.ts.
import type { ProblemCode } from "./problem.ts";

export type StageName =
  | "receive"
  | "admit"
  | "route"
  | "identify"
  | "bind"
  | "limit"
  | "authorize"
  | "inspect"
  | "idempotency"
  | "record"
  | "exchange"
  | "forward";

/** An expected no is a value, never an exception. `facts` are for operators and go to the sealed reference, never to a stranger. */
export interface Deny {
  readonly kind: "deny";
  readonly code: ProblemCode;
  readonly stage: StageName;
  readonly facts: Readonly<Record<string, string>>;
  /** Ids of the policies that decided; empty where no policy was asked. */
  readonly policies: readonly string[];
}

export interface Allow {
  readonly kind: "allow";
  readonly policies: readonly string[];
}

export type Verdict = Allow | Deny;

/** What a caller sent is kept for operators up to this length. */
const sentUnitsMax = 512;

/** Facts of a mismatch, for operators: what had to come and what came. Public values only: names, URLs, hashes; never a token or a key. */
export function compared(expected: string, sent: string): { readonly expected: string; readonly sent: string } {
  return { expected, sent: sent.length > sentUnitsMax ? `${sent.slice(0, sentUnitsMax)}…` : sent };
}

const dateMsMax = 8.64e15;

/** An instant as facts show it. */
export function instant(ms: number): string {
  return Math.abs(ms) <= dateMsMax ? new Date(ms).toISOString() : `${ms} ms`;
}

export function deny(
  stage: StageName,
  code: ProblemCode,
  facts: Readonly<Record<string, string>> = {},
  policies: readonly string[] = [],
): Deny {
  return { kind: "deny", stage, code, facts, policies };
}

export function allow(policies: readonly string[] = []): Allow {
  return { kind: "allow", policies };
}

/** How a crossing ended; `unknown` is only ever written at recovery. */
export type Outcome = "success" | "business-error" | "system-error" | "denied" | "aborted" | "unknown" | "unobserved";
