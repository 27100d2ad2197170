// Promises how the two tokens are printed that control shows the token endpoint of somebody else: about a caller, and about itself. Trusts the claims it is handed.
// Neither opens anything here: no verifier of ours takes the type. Specified in docs/formats/token.md §13 (RFC 8693 §2.1, RFC 7523 §3).
import type { Actor } from "../principal.ts";
import type { TokenSigner } from "./crypto.ts";
import { signCompactJws } from "./jws.ts";

export const nextHopAssertionType = "JWT";
export const nextHopAssertionSeconds = 60;

export interface NextHopAssertionClaims {
  readonly iss: string;
  readonly sub: string;
  /** The issuer of the endpoint it is shown to. */
  readonly aud: string;
  /** Seconds since the epoch. */
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
  /** Absent where control speaks for itself. */
  readonly client_id?: string;
  readonly scope?: string;
  readonly act?: Actor;
}

/** Prints and signs with keys in the order of the format page. */
export function signNextHopAssertion(claims: NextHopAssertionClaims, signer: TokenSigner): string {
  const { iss, sub, aud, iat, exp, jti, client_id, scope, act } = claims;
  const ordered = { iss, sub, aud, iat, exp, jti, client_id, scope, act };
  return signCompactJws({ alg: signer.alg, typ: nextHopAssertionType, kid: signer.kid }, ordered, signer);
}
