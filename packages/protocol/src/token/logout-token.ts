// Promises how a logout token is printed. Trusts the claims it is handed; `mint` judges them.
// Specified in docs/formats/token.md §11 (OpenID Connect Back-Channel Logout 1.0 §2.4).
import type { TokenSigner } from "./crypto.ts";
import { signCompactJws } from "./jws.ts";

/** No verifier of access tokens, ID tokens or assertions takes it. */
export const logoutTokenType = "logout+jwt";
export const backchannelLogoutEvent = "http://schemas.openid.net/event/backchannel-logout";

export interface LogoutTokenClaims {
  readonly iss: string;
  readonly sub: string;
  /** The client that is told. */
  readonly aud: string;
  /** Seconds since the epoch. */
  readonly iat: number;
  readonly exp: number;
  /** The same for every try to tell of one end. */
  readonly jti: string;
  readonly sid: string;
}

/** Prints and signs with keys in the order of the format page; there is never a `nonce`. */
export function signLogoutTokenClaims(claims: LogoutTokenClaims, signer: TokenSigner): string {
  const { iss, sub, aud, iat, exp, jti, sid } = claims;
  const ordered = { iss, sub, aud, iat, exp, jti, events: { [backchannelLogoutEvent]: {} }, sid };
  return signCompactJws({ alg: signer.alg, typ: logoutTokenType, kid: signer.kid }, ordered, signer);
}
