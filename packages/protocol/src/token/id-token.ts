// Promises how an ID token is printed; nothing here reads one, because nothing of ours is opened by it. Trusts the claims it is handed.
// Specified in docs/formats/token.md §9 (OpenID Connect Core §2).
import type { TokenSigner } from "./crypto.ts";
import { signCompactJws } from "./jws.ts";

/** Not `at+jwt`: no verifier of access tokens takes it. */
export const idTokenType = "JWT";

export interface IdTokenClaims {
  readonly iss: string;
  readonly sub: string;
  /** The client it was made for. */
  readonly aud: string;
  /** Seconds since the epoch. */
  readonly exp: number;
  readonly iat: number;
  readonly auth_time: number;
  readonly nonce?: string;
  readonly acr?: string;
  readonly amr?: readonly string[];
  readonly sid?: string;
}

/** Prints and signs with keys in the order of the format page. Claims are not judged here: that is `mint`'s duty. */
export function signIdTokenClaims(claims: IdTokenClaims, signer: TokenSigner): string {
  const { iss, sub, aud, exp, iat, auth_time, nonce, acr, amr, sid } = claims;
  const ordered = { iss, sub, aud, exp, iat, auth_time, nonce, acr, amr, sid };
  return signCompactJws({ alg: signer.alg, typ: idTokenType, kid: signer.kid }, ordered, signer);
}
