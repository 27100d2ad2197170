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
