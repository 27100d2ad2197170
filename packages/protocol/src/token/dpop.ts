// Promises that whoever sent this request holds the key the proof names, for this method, this URL and this token, recently.
// Trusts the clock; nonce and replay belong to the caller, who gets what its ports need. Specified in docs/formats/token.md §4 (RFC 9449).
import { compared, type Deny, deny, instant } from "../verdict.ts";
import { encodeBase64url } from "./base64url.ts";
import { claimId, claimText, numericDate } from "./claim-types.ts";
import type { TokenCrypto, TokenSigner } from "./crypto.ts";
import { isSameHtu } from "./htu.ts";
import { type JsonObject, parseJsonText, utf8 } from "./json.ts";
import { algorithmOf, parsePublicJwk } from "./jwk.ts";
import { isSignedBy, isSigningAlgorithm, parseCompactJws, signCompactJws } from "./jws.ts";

export const dpopType = "dpop+jwt";
export const dpopProofBytesMax = 4096;
/** How old a proof may be, and how far ahead of our clock. */
export const dpopAgeMsMax = 60_000;
export const dpopAheadMsMax = 5_000;
const nonceUnitsMax = 256;

export interface DpopRules {
  /** The method as received: `htm` is compared byte by byte. */
  readonly method: string;
  /** CanonicalRequest.clientUrl: the listener's configured URL and the canonical path. */
  readonly url: string;
  /** accessTokenHash of the token the proof comes with; null only at a token endpoint, where there is none yet. */
  readonly ath: string | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Default 60,000 and 5,000. */
  readonly ageMsMax?: number;
  readonly aheadMsMax?: number;
}

/** Judge `nonce` next, then insert (`jkt`, `jti`) into the replay set; only then is the proof good. */
export interface DpopProof {
  readonly kind: "proof";
  readonly jkt: string;
  readonly jti: string;
  readonly nonce: string;
  /** Milliseconds since the epoch. */
  readonly issuedAtMs: number;
}

const no = (code: Parameters<typeof deny>[1], why: string, facts: Readonly<Record<string, string>> = {}): Deny =>
  deny("identify", code, { why, ...facts });

/** base64url SHA-256 of an access token: the `ath` of RFC 9449 §4.1. */
export function accessTokenHash(token: string, crypto: Pick<TokenCrypto, "sha256">): string {
  return encodeBase64url(crypto.sha256(utf8(token)));
}

/** Codes and their order: docs/formats/token.md §4. The signature is checked last because it costs most. */
export function verifyDpopProof(proof: string, rules: DpopRules, crypto: TokenCrypto): DpopProof | Deny {
  const jws = parseCompactJws(proof, { bytesMax: dpopProofBytesMax, keyMember: "jwk" });
  if (jws.kind === "malformed") return no("dpop-malformed", jws.why);
  const { alg, typ } = jws.header;
  if (typ !== dpopType) return no("dpop-malformed", `typ is not ${dpopType}`);
  if (!isSigningAlgorithm(alg)) return no("dpop-algorithm", "alg is neither ES256 nor EdDSA");
  const jwk = parsePublicJwk(jws.header.jwk);
  if (jwk === null) return no("dpop-malformed", "jwk is not a public P-256 or Ed25519 key");
  if (alg !== algorithmOf(jwk)) return no("dpop-algorithm", "alg is not the algorithm of the key");
  const members = parseJsonText(jws.payload);
  if (members === null) return no("dpop-malformed", "the payload is not one JSON object");
  const claims = parseProofClaims(members);
  if (typeof claims === "string") return no("dpop-malformed", `claim ${claims} is missing or malformed`);
  const wrong = checkProofClaims(claims, rules);
  if (wrong !== null) return wrong;
  if (claims.nonce === undefined) return no("dpop-nonce", "the proof carries no nonce");
  const key = crypto.importKey(jwk);
  if (key === null) return no("dpop-malformed", "jwk is not a point on its curve");
  if (!isSignedBy(jws, key)) return no("dpop-signature", "the signature does not fit the embedded key");
  return { kind: "proof", jkt: key.kid, jti: claims.jti, nonce: claims.nonce, issuedAtMs: claims.iat * 1000 };
}

interface ProofClaims {
  readonly jti: string;
  readonly htm: string;
  readonly htu: string;
  readonly iat: number;
  readonly ath?: string;
  readonly nonce?: string;
}

function parseProofClaims(members: JsonObject): ProofClaims | string {
  const jti = claimId(members.jti);
  const htm = claimText(members.htm);
  const iat = numericDate(members.iat);
  const { htu, ath } = members;
  const nonce = members.nonce === undefined ? undefined : claimId(members.nonce, nonceUnitsMax);
  if (jti === undefined) return "jti";
  if (htm === undefined) return "htm";
  if (typeof htu !== "string") return "htu";
  if (iat === undefined) return "iat";
  if (ath !== undefined && typeof ath !== "string") return "ath";
  if (members.nonce !== undefined && nonce === undefined) return "nonce";
  return { jti, htm, htu, iat, ...(ath !== undefined ? { ath } : {}), ...(nonce !== undefined ? { nonce } : {}) };
}

/** A URL as operators may see it: what callers put into userinfo, query or fragment may be a secret of theirs. */
function shownUrl(url: string): string {
  const [place = ""] = url.split(/[?#]/, 1);
  const cut = place.length === url.length ? "" : `${url.charAt(place.length)}…`;
  return place.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, "$1…@") + cut;
}

function checkProofClaims(claims: ProofClaims, rules: DpopRules): Deny | null {
  if (claims.htm !== rules.method)
    return no("dpop-method", `htm is not ${rules.method}`, compared(rules.method, claims.htm));
  if (!isSameHtu(claims.htu, rules.url))
    return no("dpop-url", `htu is not ${rules.url}`, compared(rules.url, shownUrl(claims.htu)));
  const issuedAtMs = claims.iat * 1000;
  const old = rules.now - issuedAtMs > (rules.ageMsMax ?? dpopAgeMsMax);
  if (old || issuedAtMs - rules.now > (rules.aheadMsMax ?? dpopAheadMsMax)) {
    const facts = compared(`issued at about ${instant(rules.now)}`, `issued at ${instant(issuedAtMs)}`);
    return no("dpop-expired", old ? "iat is too old" : "iat lies in the future", facts);
  }
  if (rules.ath !== null && claims.ath !== rules.ath) {
    return no(
      "dpop-token-hash",
      claims.ath === undefined ? "ath is missing" : "ath is not the hash of the presented token",
      compared(rules.ath, claims.ath ?? "none"),
    );
  }
  return null;
}

export interface NewDpopProof {
  /** At least 96 random bits, base64url. */
  readonly jti: string;
  readonly method: string;
  /** Query and fragment are cut off. */
  readonly url: string;
  /** Seconds since the epoch. */
  readonly iat: number;
  readonly ath?: string;
  readonly nonce?: string;
}

/** Header and claims of a proof (RFC 9449 §4.2), for whoever signs it. */
export function dpopProofParts(
  proof: NewDpopProof,
  key: Pick<TokenSigner, "alg" | "jwk">,
): { readonly header: JsonObject; readonly claims: JsonObject } {
  const htu = proof.url.split(/[?#]/, 1)[0];
  const { jti, method: htm, iat, ath, nonce } = proof;
  return { header: { alg: key.alg, typ: dpopType, jwk: key.jwk }, claims: { jti, htm, htu, iat, ath, nonce } };
}

/** Makes a proof (RFC 9449 §4.2). */
export function signDpopProof(proof: NewDpopProof, signer: TokenSigner): string {
  const { header, claims } = dpopProofParts(proof, signer);
  return signCompactJws(header, claims, signer);
}
