// Promises that a signed authorization request was made for us, lately, and to be one. Trusts that its signature was verified with a key of the client.
// Rules: RFC 9101 §4 and §10.8, FAPI 2.0 Message Signing §5.3.1, docs/identity/authorization-code.md.
import { clockSkewSeconds } from "../decide-assertion.ts";

/** A request object may be valid this long in all. */
export const requestObjectSecondsMax = 600;
const headerNames = new Set(["alg", "kid", "typ"]);

export interface RequestObjectFacts {
  readonly claims: Readonly<Record<string, unknown>>;
  readonly header: Readonly<Record<string, unknown>>;
  readonly issuer: string;
  readonly client: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The record's word for what is wrong, or null. Pure. */
export function decideRequestObject({ claims, header, issuer, client, now: nowMs }: RequestObjectFacts): string | null {
  const now = nowMs / 1000;
  // Its own type (RFC 9101 §10.8): a client assertion of the same key is no request, and the other way round.
  if (header["typ"] !== "oauth-authz-req+jwt" || Object.keys(header).some((name) => !headerNames.has(name)))
    return "request-object-header";
  if (claims["iss"] !== client || claims["client_id"] !== client) return "request-object-issuer";
  if (claims["aud"] !== issuer) return "request-object-audience";
  // `sub` would make it look like a client assertion (RFC 9101 §10.8).
  if (claims["sub"] !== undefined) return "request-object-subject";
  const { exp, nbf, iat = nbf } = claims;
  if (typeof exp !== "number" || exp <= now - clockSkewSeconds) return "request-object-expired";
  if (typeof nbf !== "number" || typeof iat !== "number" || Math.max(nbf, iat) > now + clockSkewSeconds)
    return "request-object-future";
  return exp - Math.min(nbf, iat) > requestObjectSecondsMax ? "request-object-too-long" : null;
}
