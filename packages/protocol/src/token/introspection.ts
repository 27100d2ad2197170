// Promises the signed answer about a token: a kind of its own, that no verifier of access tokens takes for one.
// Trusts its caller for the claims. Specified in docs/formats/token.md §10 (RFC 9701 §5).
import type { TokenSigner } from "./crypto.ts";
import type { JsonObject } from "./json.ts";
import { signCompactJws } from "./jws.ts";

export const introspectionType = "token-introspection+jwt";

export interface IntrospectionClaims {
  readonly iss: string;
  /** The client that asked. */
  readonly aud: string;
  /** Seconds since the epoch: when it was so. */
  readonly iat: number;
  /** The members of RFC 7662 §2.2. */
  readonly token_introspection: JsonObject;
}

/** Prints and signs, members in the order of the format page. */
export function signIntrospection(claims: IntrospectionClaims, signer: TokenSigner): string {
  const { iss, aud, iat, token_introspection } = claims;
  const header = { alg: signer.alg, typ: introspectionType, kid: signer.kid };
  return signCompactJws(header, { iss, aud, iat, token_introspection }, signer);
}
