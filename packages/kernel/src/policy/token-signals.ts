// Promises what is known about a log-in and its place as policies about tokens see it, beside what every request for a token has: control makes each only where
// one of its policies reads it. Trusts nothing: these are names and types. Specified in docs/policy-signals.md "Where the token is issued".
import type { Signals } from "./signals.ts";
import type { Shape } from "./slice-schema.ts";

export type TokenSignals = Pick<Signals, "authAge" | "country" | "risk" | "riskFactors">;
export type TokenSignalName = keyof TokenSignals;

/** None is always known: a policy asks for each with `has` first. */
export const tokenSignalShape: Shape & Readonly<Record<TokenSignalName, Shape[string]>> = {
  authAge: { type: "long", required: false },
  country: { type: "string", required: false },
  risk: { type: "long", required: false },
  riskFactors: { type: "strings", required: false },
};

// The keys of the shape are exactly those names: its type says so.
export const tokenSignalNames = Object.keys(tokenSignalShape) as readonly TokenSignalName[];
