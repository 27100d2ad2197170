// Promises a provider that a gateway let this crossing through: who called, what for, under which integration, within the last minute.
// Trusts the hop keys that control certified and published. Specified in docs/formats/token.md §6-7.
import { type Deny, deny } from "../verdict.ts";
import { checkTimes } from "./access-token.ts";
import { claimActor, claimId, claimText, numericDate } from "./claim-types.ts";
import type { HopTokenClaims } from "./claims.ts";
import type { TokenCrypto, TokenKeys, TokenSigner, VerifyKey } from "./crypto.ts";
import { type JsonObject, parseJsonText } from "./json.ts";
import { type PublicJwk, parsePublicJwk, thumbprint } from "./jwk.ts";
import { checkSignature, jwsPart, parseCompactJws, signCompactJws, signJwsBehind } from "./jws.ts";

export const hopTokenType = "sallyport-hop+jwt";
export const hopKeyType = "sallyport-hop-key+jwt";
export const hopTokenLifetimeSecondsMax = 60;
export const hopTokenBytesMax = 4096;

export interface HopTokenRules {
  readonly issuer: string;
  /** The provider's own audience. */
  readonly audience: string;
  /** The published hop keys of this issuer and no others. */
  readonly keys: TokenKeys;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly skewMs?: number;
}

export interface VerifiedHopToken {
  readonly kind: "verified";
  readonly claims: HopTokenClaims;
  readonly kid: string;
}

const no = (code: Parameters<typeof deny>[1], why: string): Deny => deny("identify", code, { why });

/** The header that all hop tokens of one signer have. */
const headersBySigner = new WeakMap<TokenSigner, string>();

function headerOf(signer: TokenSigner): string {
  const known = headersBySigner.get(signer);
  if (known !== undefined) return known;
  const header = jwsPart({ alg: signer.alg, typ: hopTokenType, kid: signer.kid });
  headersBySigner.set(signer, header);
  return header;
}

/** Prints and signs with keys in the order of the format page. */
export function signHopToken(claims: HopTokenClaims, signer: TokenSigner): string {
  const { iss, aud, sub, iat, exp, jti, op, int, subject, act, idp } = claims;
  const ordered = { iss, aud, sub, iat, exp, jti, op, int, subject, act, idp };
  return signJwsBehind(headerOf(signer), ordered, signer);
}

/** Codes: docs/formats/token.md §3, checks 1-11, with the claims of §6. */
export function verifyHopToken(token: string, rules: HopTokenRules): VerifiedHopToken | Deny {
  const jws = parseCompactJws(token, { bytesMax: hopTokenBytesMax, keyMember: "kid" });
  if (jws.kind === "malformed") return no("token-malformed", jws.why);
  const { alg, typ, kid } = jws.header;
  if (alg !== "ES256") return no("token-algorithm", "hop tokens are ES256");
  if (typ !== hopTokenType) return no("token-type", `typ is not ${hopTokenType}`);
  const key = kid === undefined ? undefined : rules.keys.find(kid);
  if (key === undefined) return no("token-key-unknown", "kid is not a published hop key");
  const wrong = checkSignature(jws, key);
  if (wrong !== null) return no(wrong === "algorithm" ? "token-algorithm" : "token-signature", `wrong ${wrong}`);
  const members = parseJsonText(jws.payload);
  if (members === null) return no("token-malformed", "the payload is not one JSON object");
  if (members.iss !== rules.issuer) return no("token-issuer", `iss is not ${rules.issuer}`);
  const claims = parseHopTokenClaims(members);
  if (typeof claims === "string") return no("token-claims", `claim ${claims} is missing or malformed`);
  const lifetime = claims.exp - claims.iat;
  if (lifetime < 1 || lifetime > hopTokenLifetimeSecondsMax) return no("token-claims", "the lifetime is not 1 to 60 s");
  if (claims.aud !== rules.audience) return no("token-audience", `aud is not ${rules.audience}`);
  return checkTimes(claims, rules.now, rules.skewMs) ?? { kind: "verified", claims, kid: key.kid };
}

function parseHopTokenClaims(members: JsonObject): HopTokenClaims | string {
  const iss = claimText(members.iss);
  const aud = claimText(members.aud);
  const sub = claimText(members.sub);
  const iat = numericDate(members.iat);
  const exp = numericDate(members.exp);
  const jti = claimId(members.jti);
  const op = claimText(members.op);
  const int = claimText(members.int);
  if (iss === undefined) return "iss";
  if (aud === undefined) return "aud";
  if (sub === undefined) return "sub";
  if (iat === undefined) return "iat";
  if (exp === undefined) return "exp";
  if (jti === undefined) return "jti";
  if (op === undefined) return "op";
  if (int === undefined) return "int";
  const subject = members.subject === undefined ? undefined : claimText(members.subject);
  const act = members.act === undefined ? undefined : claimActor(members.act);
  if (members.subject !== undefined && subject === undefined) return "subject";
  const idp = members.idp === undefined ? undefined : claimText(members.idp);
  if (members.act !== undefined && act === undefined) return "act";
  if (members.idp !== undefined && idp === undefined) return "idp";
  const optional = {
    ...(subject !== undefined ? { subject } : {}),
    ...(act !== undefined ? { act } : {}),
    ...(idp !== undefined ? { idp } : {}),
  };
  return { iss, aud, sub, iat, exp, jti, op, int, ...optional };
}

export interface HopKeyClaims {
  readonly iss: string;
  /** Node id. */
  readonly sub: string;
  /** Seconds since the epoch. */
  readonly exp: number;
  readonly jwk: PublicJwk;
}

/** What a gateway signs with its hop key to show control that it holds it; `kid` is the key's thumbprint. docs/formats/join.md "Hop keys". */
export function hopKeyProofText(node: string, kid: string): string {
  return `sallyport-hop-key/v1\n${node}\n${kid}`;
}

/** Control's certificate for a gateway's hop key; `signer` is the snapshot key. */
export function signHopKey(claims: HopKeyClaims, signer: TokenSigner): string {
  const { iss, sub, exp, jwk } = claims;
  return signCompactJws({ alg: signer.alg, typ: hopKeyType, kid: signer.kid }, { iss, sub, exp, jwk }, signer);
}

export interface HopKeyRules {
  readonly issuer: string;
  /** The snapshot key fixed at joining. */
  readonly key: VerifyKey;
  /** Milliseconds since the epoch. No skew: a certificate is renewed long before its end. */
  readonly now: number;
  readonly crypto: Pick<TokenCrypto, "sha256">;
}

export interface CertifiedHopKey {
  readonly kind: "verified";
  readonly claims: HopKeyClaims;
  /** Thumbprint of `claims.jwk`. */
  readonly kid: string;
}

/** The caller compares `claims.sub` and `kid` with its own node and key. Codes as for hop tokens. */
export function verifyHopKey(certificate: string, rules: HopKeyRules): CertifiedHopKey | Deny {
  const jws = parseCompactJws(certificate, { bytesMax: hopTokenBytesMax, keyMember: "kid" });
  if (jws.kind === "malformed") return no("token-malformed", jws.why);
  if (jws.header.alg !== rules.key.alg) return no("token-algorithm", "alg is not the algorithm of the snapshot key");
  if (jws.header.typ !== hopKeyType) return no("token-type", `typ is not ${hopKeyType}`);
  if (jws.header.kid !== rules.key.kid) return no("token-key-unknown", "kid is not the snapshot key");
  if (checkSignature(jws, rules.key) !== null) return no("token-signature", "the signature does not fit");
  const members = parseJsonText(jws.payload);
  if (members === null) return no("token-malformed", "the payload is not one JSON object");
  if (members.iss !== rules.issuer) return no("token-issuer", `iss is not ${rules.issuer}`);
  const sub = claimText(members.sub);
  const exp = numericDate(members.exp);
  const jwk = parsePublicJwk(members.jwk);
  if (sub === undefined || exp === undefined || jwk?.kty !== "EC")
    return no("token-claims", "sub, exp or jwk is malformed");
  if (rules.now >= exp * 1000) return no("token-expired", "exp has passed");
  return { kind: "verified", claims: { iss: rules.issuer, sub, exp, jwk }, kid: thumbprint(jwk, rules.crypto) };
}
