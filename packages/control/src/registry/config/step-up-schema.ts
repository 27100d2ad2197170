// Promises the two keys by which an operation, or a grant of it, asks for a stronger or a newer log-in. Trusts nothing.
// What they do: docs/identity/step-up.md, RFC 9470.
import type { Acr, StepUp } from "@sallyport/protocol/token/acr.ts";
import { z } from "zod";
import { duration } from "./words.ts";

/** Levels as the configuration writes them. */
export const levels = ["password", "mfa", "phishing-resistant"] as const;

/** The level as tokens carry it. */
export function acrOf(level: (typeof levels)[number]): Acr {
  // as: the levels of the configuration are the last words of those of tokens.
  return `urn:sallyport:acr:${level}` as Acr;
}

export const stepUpKeys = {
  acr: z
    .enum(levels)
    .optional()
    .describe(
      "What the user's log-in must be worth at least: `password`, `mfa` or `phishing-resistant` (a passkey); a caller that acts for no user is refused.",
    ),
  maxAge: duration({ minMs: 1_000, maxMs: 86_400_000, says: "`1s` to `24h`" })
    .optional()
    .describe("How long ago the user's log-in may have been; `1s` to `24h`."),
};

export function stepUpOf(source: {
  readonly acr?: (typeof levels)[number] | undefined;
  readonly maxAge?: number | undefined;
}): { readonly stepUp?: StepUp } {
  const { acr, maxAge } = source;
  if (acr === undefined && maxAge === undefined) return {};
  const level = acr === undefined ? {} : { acr: acrOf(acr) };
  return { stepUp: { ...level, ...(maxAge === undefined ? {} : { maxAgeSeconds: Math.ceil(maxAge / 1_000) }) } };
}
