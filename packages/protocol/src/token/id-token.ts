// Promises how an ID token is printed, and what one says when a client shows it again as a hint; nothing of ours is opened by it.
// Trusts the claims it is handed and the ring. Specified in docs/formats/token.md §9 (OpenID Connect Core §2, RP-Initiated Logout 1.0 §2).
import type { TokenKeys, TokenSigner } from "./crypto.ts";
import { parseJsonText } from "./json.ts";
import { checkSignature, parseCompactJws, signCompactJws } from "./jws.ts";

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

export const idTokenHintBytesMax = 4_096;

export type IdTokenHint =
  | { readonly kind: "ours"; readonly client: string; readonly session: string | null }
  /** Signed by a key that is not in the ring (any more): it proves nothing for or against who shows it. */
  | { readonly kind: "unknown" }
  | { readonly kind: "refused" };

/** What an ID token of this issuer says of the log-in it was made for, also when its time is over: never a reason to let anybody in. */
export function readIdTokenHint(
  text: string,
  { issuer, keys }: { readonly issuer: string; readonly keys: TokenKeys },
): IdTokenHint {
  const jws = parseCompactJws(text, { bytesMax: idTokenHintBytesMax, keyMember: "kid" });
  if (jws.kind === "malformed" || jws.header.typ !== idTokenType || jws.header.kid === undefined)
    return { kind: "refused" };
  const key = keys.find(jws.header.kid);
  if (key === undefined) return { kind: "unknown" };
  if (checkSignature(jws, key) !== null) return { kind: "refused" };
  const { iss, aud, sid } = parseJsonText(jws.payload) ?? {};
  if (iss !== issuer || typeof aud !== "string") return { kind: "refused" };
  return { kind: "ours", client: aud, session: typeof sid === "string" ? sid : null };
}
