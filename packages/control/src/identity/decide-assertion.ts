// Promises that a client assertion is what RFC 7523 says and nothing looser: one audience, our issuer, short, fresh, with an id.
// Trusts that the signature was verified with a key of the client. Rules: RFC 7523 §3, draft-ietf-oauth-rfc7523bis, docs/identity.md.

/** Clocks of clients may be this far off, in seconds. */
export const clockSkewSeconds = 10;
/** An assertion may live this long: its id is remembered as long. */
export const assertionLifetimeSecondsMax = 300;
export const assertionBytesMax = 8192;
export const jtiBytesMax = 128;

export interface AssertionFacts {
  readonly claims: Readonly<Record<string, unknown>>;
  readonly header: Readonly<Record<string, unknown>>;
  /** The only audience we accept: the issuer, as a string. */
  readonly issuer: string;
  readonly client: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export type AssertionCode =
  | "assertion-header"
  | "assertion-audience"
  | "assertion-issuer"
  | "assertion-expired"
  | "assertion-too-long"
  | "assertion-future"
  | "assertion-id";

export type AssertionVerdict =
  | {
      readonly kind: "accept";
      readonly jti: string;
      readonly until: number;
      /** Milliseconds since the epoch; null when it does not say. */
      readonly issuedAt: number | null;
    }
  | { readonly kind: "refuse"; readonly code: AssertionCode };

const refuse = (code: AssertionCode): AssertionVerdict => ({ kind: "refuse", code });
const headerNames = new Set(["alg", "kid", "typ"]);
const headerTypes = new Set([undefined, "JWT", "client-authentication+jwt"]);

/** Are these verified claims a client assertion for us, now? Pure. `until` (milliseconds) is how long its id must be remembered. */
export function decideAssertion(facts: AssertionFacts): AssertionVerdict {
  const { claims, header } = facts;
  const now = facts.now / 1000;
  if (
    Object.keys(header).some((name) => !headerNames.has(name)) ||
    !headerTypes.has(header["typ"] as string | undefined)
  )
    return refuse("assertion-header");
  // The token endpoint URL, or our issuer among others, is what an attacker's server would have asked the client to sign.
  if (claims["aud"] !== facts.issuer) return refuse("assertion-audience");
  if (claims["iss"] !== facts.client || claims["sub"] !== facts.client) return refuse("assertion-issuer");
  const { exp, iat, nbf, jti } = claims;
  if (!isTime(exp) || exp <= now - clockSkewSeconds) return refuse("assertion-expired");
  if (exp > now + assertionLifetimeSecondsMax + clockSkewSeconds) return refuse("assertion-too-long");
  for (const time of [iat, nbf])
    if (time !== undefined && (!isTime(time) || time > now + clockSkewSeconds)) return refuse("assertion-future");
  if (typeof jti !== "string" || jti.length === 0 || jti.length > jtiBytesMax) return refuse("assertion-id");
  const issuedAt = isTime(iat) ? iat * 1000 : null;
  return { kind: "accept", jti, until: Math.ceil((exp + clockSkewSeconds) * 1000), issuedAt };
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
