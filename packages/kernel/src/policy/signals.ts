// Promises what is known about a log-in and its place as policies see it: each signal is in an operation's schema, and made at a gateway, only where
// a policy of that operation reads it. Trusts nothing: these are names and types. Specified in docs/policy-signals.md.
import type { Shape } from "./slice-schema.ts";

export interface Signals {
  /** Methods of the user's log-in (RFC 8176), as the token says. */
  readonly amr?: readonly string[];
  /** Seconds since the user's log-in; 0 where the issuer's clock is ahead. */
  readonly authAge?: number;
  /** 0 no user or a level that is none of ours, 1 password, 2 mfa, 3 phishing-resistant. */
  readonly acrLevel?: number;
  /** What kind of network the address is of. */
  readonly addressClass?: string;
  /** ISO 3166-1 alpha-2, from the gateway's own file. */
  readonly country?: string;
  /** 0 to 100: the sum of the factors. Only where somebody is acted for. */
  readonly risk?: number;
  readonly riskFactors?: readonly string[];
}

/** What is required is always known, and needs no `has` in a policy. */
export const signalShape: Shape & Readonly<Record<keyof Signals, Shape[string]>> = {
  amr: { type: "strings", required: false },
  authAge: { type: "long", required: false },
  acrLevel: { type: "long", required: true },
  addressClass: { type: "string", required: true },
  country: { type: "string", required: false },
  risk: { type: "long", required: false },
  riskFactors: { type: "strings", required: false },
};

export type SignalName = keyof Signals;

// The keys of the shape are exactly those names: its type says so.
export const signalNames = Object.keys(signalShape) as readonly SignalName[];
