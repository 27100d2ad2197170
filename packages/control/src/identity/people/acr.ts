// Promises what a log-in is worth: methods in, authentication context (acr) and method references (amr) out, and whether that is enough for a demand.
// Trusts nothing. Pure. Specified in OpenID Connect Core 1.0 §2, RFC 8176 (amr), RFC 9470 (step-up); levels: docs/identity/step-up.md.

import { type Acr, acrLevels, isAcr } from "@sallyport/protocol/token/acr.ts";

/** How somebody has proven who they are. `passkey-synced`: its private key may be on several devices. */
export type Method = "password" | "totp" | "recovery-code" | "passkey-bound" | "passkey-synced";

export interface Authentication {
  readonly acr: Acr;
  readonly amr: readonly string[];
}

/** null: these methods prove nobody (a second factor alone). */
export function authenticationOf(methods: readonly Method[]): Authentication | null {
  const bound = methods.includes("passkey-bound");
  if (bound || methods.includes("passkey-synced")) {
    // A passkey with user verification is two factors by itself: the device and what unlocks it (RFC 8176 §2 "mfa").
    return { acr: "urn:sallyport:acr:phishing-resistant", amr: [bound ? "hwk" : "swk", "user", "mfa"] };
  }
  if (!methods.includes("password")) return null;
  const second = methods.includes("totp") || methods.includes("recovery-code");
  return second
    ? { acr: "urn:sallyport:acr:mfa", amr: ["pwd", "otp", "mfa"] }
    : { acr: "urn:sallyport:acr:password", amr: ["pwd"] };
}

/** What a client or a gateway asks of a log-in. */
export interface Demand {
  /** `acr_values` in the order of preference; any one of them is enough. Unknown ones can never be met. Empty: no demand. */
  readonly acr: readonly string[];
  /** Seconds since the last log-in; null: no demand. */
  readonly maxAgeSeconds: number | null;
}

export const noDemand: Demand = { acr: [], maxAgeSeconds: null };

export type DemandVerdict =
  | { readonly kind: "met" }
  /** `least`: the lowest level that would be enough. */
  | { readonly kind: "step-up"; readonly least: Acr }
  | { readonly kind: "too-old" }
  /** No level of ours is asked for. */
  | { readonly kind: "unknown-acr" };

/** Is a log-in (level, milliseconds since the epoch) enough now? A log-in from the future is none. */
export function decideDemand(
  login: { readonly acr: Acr; readonly authTime: number },
  demand: Demand,
  now: number,
): DemandVerdict {
  const wanted = demand.acr.filter(isAcr);
  if (demand.acr.length > 0 && wanted.length === 0) return { kind: "unknown-acr" };
  const least = wanted.toSorted((a, b) => acrLevels.indexOf(a) - acrLevels.indexOf(b))[0];
  if (least !== undefined && acrLevels.indexOf(login.acr) < acrLevels.indexOf(least)) return { kind: "step-up", least };
  const ageMs = now - login.authTime;
  // OIDC Core §3.1.2.1: max_age=0 asks for a fresh log-in; a second is what it takes to come back from one.
  if (demand.maxAgeSeconds !== null && (ageMs < 0 || ageMs >= Math.max(1_000, demand.maxAgeSeconds * 1_000)))
    return { kind: "too-old" };
  return { kind: "met" };
}
