// Promises that an access token is what `mint` signed, for this audience, now, and presented by who holds its key.
// Trusts the ring of public keys, the clock and the revocation port it is given. Specified in docs/formats/token.md §3 (RFC 9068, RFC 7800, RFC 8725).
import type { Proof } from "../principal.ts";
import { compared, type Deny, deny, instant } from "../verdict.ts";
import { isBase64urlOf32 } from "./base64url.ts";
import {
  claimActor,
  claimGrants,
  claimId,
  claimScope,
  claimText,
  clientLineagePrefix,
  numericDate,
} from "./claim-types.ts";
import type { AccessTokenClaims, LegacyAlgorithm } from "./claims.ts";
import type { AccessTokenSigner, LegacyTokenKeys, TokenKeys } from "./crypto.ts";
import { isJsonObject, type JsonObject, parseJsonText } from "./json.ts";
import { checkSignature, isLegacyAlgorithm, isSigningAlgorithm, parseCompactJws, signCompactJws } from "./jws.ts";

/** Part of every cache key over verified tokens; raised whenever these rules change. */
export const tokenValidatorVersion = "3";
export const accessTokenType = "at+jwt";
export const accessTokenBytesMax = 8192;
/** Clock skew allowed unless a rule says otherwise, and the most any rule can allow. */
export const clockSkewMs = 5_000;
export const clockSkewMsMax = 60_000;

export interface AccessTokenRules {
  /** Compared byte by byte. */
  readonly issuer: string;
  /** The ring of this issuer and of nobody else. */
  readonly keys: TokenKeys;
  /** RSA keys of the same ring; absent: no token of RSA is read. */
  readonly legacy?: LegacyTokenKeys;
  /** `exp` - `iat` may be at most this many seconds. */
  readonly lifetimeSecondsMax: number;
}

/** Signed by the ring and well-formed; says nothing yet about audience, clock, revocation or who presents it. Safe to cache. */
export interface SignedAccessToken {
  readonly kind: "signed";
  readonly claims: AccessTokenClaims;
  readonly kid: string;
  /** Signed with RSA: good for audiences of that algorithm and for no other. */
  readonly legacy?: LegacyAlgorithm;
}

/** What a token can be revoked by. */
export type TokenRevocationKind = "jti" | "client" | "kid" | "grant" | "session" | "subject";

export interface Revocable {
  readonly kind: TokenRevocationKind;
  readonly value: string;
}

export interface TokenRevocations {
  /** Was a token of this id, client, key, grant, session or subject, issued at `issuedAtMs`, revoked? */
  isRevoked(kind: TokenRevocationKind, value: string, issuedAtMs: number): boolean;
}

/** One presentation of a token; judged anew for each request. */
export interface TokenUse {
  /** The one audience the request is for: that of the routed system. */
  readonly audience: string;
  /** What tokens of that audience are signed with now; absent: ES256 or EdDSA. */
  readonly legacy?: LegacyAlgorithm;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Default 5,000, at most 60,000. */
  readonly skewMs?: number;
  readonly scheme: "Bearer" | "DPoP";
  /** Thumbprint of a proof that verifyDpopProof has just accepted for this very token. */
  readonly jkt?: string;
  /** RFC 8705 thumbprint of the client certificate of this very connection. */
  readonly x5t?: string;
  readonly revocations: TokenRevocations;
}

/** `expiresAtMs` is `exp` without skew. */
export interface VerifiedAccessToken {
  readonly kind: "verified";
  readonly claims: AccessTokenClaims;
  readonly kid: string;
  readonly proof: Proof;
  /** null: the token carries no scope, so the grant alone decides. */
  readonly scopes: readonly string[] | null;
  readonly expiresAtMs: number;
}

const no = (code: Parameters<typeof deny>[1], why: string, facts: Readonly<Record<string, string>> = {}): Deny =>
  deny("identify", code, { why, ...facts });

/**
 * Form, key, signature, issuer and types of claims: the costly part, which depends on nothing but its arguments.
 * Cache its result under (issuer, tokenValidatorVersion, SHA-256 of `token`), drop the cache when the ring changes,
 * and still call acceptAccessToken on every hit. Codes: docs/formats/token.md §3, checks 1-8.
 */
export function readAccessToken(token: string, rules: AccessTokenRules): SignedAccessToken | Deny {
  const jws = parseCompactJws(token, { bytesMax: accessTokenBytesMax, keyMember: "kid" });
  if (jws.kind === "malformed") return no("token-malformed", jws.why);
  const { alg, typ, kid } = jws.header;
  const legacy = rules.legacy !== undefined && isLegacyAlgorithm(alg) ? alg : undefined;
  if (legacy === undefined && !isSigningAlgorithm(alg))
    return no("token-algorithm", "alg is not one that this issuer signs with");
  if (typ !== accessTokenType) return no("token-type", `typ is not ${accessTokenType}`);
  if (kid === undefined) return no("token-malformed", "kid is missing");
  // One list or the other: no RSA key is ever looked for by a token of another algorithm, nor the other way round.
  const key = legacy === undefined ? rules.keys.find(kid) : rules.legacy?.find(kid);
  if (key === undefined) return no("token-key-unknown", "kid is not in the ring of this environment");
  const wrong = checkSignature(jws, key);
  if (wrong === "algorithm") return no("token-algorithm", "alg is not the algorithm of the key");
  if (wrong === "signature") return no("token-signature", "the signature does not fit");
  const members = parseJsonText(jws.payload);
  if (members === null) return no("token-malformed", "the payload is not one JSON object");
  if (members.iss !== rules.issuer)
    return no(
      "token-issuer",
      `iss is not ${rules.issuer}`,
      compared(rules.issuer, claimText(members.iss) ?? "no text"),
    );
  const claims = parseAccessTokenClaims(members);
  if (typeof claims === "string") return no("token-claims", `claim ${claims} is missing or malformed`);
  if (claims.exp <= claims.iat) return no("token-claims", "exp is not after iat");
  if (claims.exp - claims.iat > rules.lifetimeSecondsMax) {
    return no("token-claims", `the lifetime exceeds ${rules.lifetimeSecondsMax} s`);
  }
  return { kind: "signed", claims, kid, ...(legacy === undefined ? {} : { legacy }) };
}

/** Audience, clock, revocation and binding of one presentation. Codes: docs/formats/token.md §3, checks 9-13. */
export function acceptAccessToken(signed: SignedAccessToken, use: TokenUse): VerifiedAccessToken | Deny {
  const { claims, kid } = signed;
  if (claims.aud !== use.audience)
    return no("token-audience", `aud is not ${use.audience}`, compared(use.audience, claims.aud));
  if (signed.legacy !== use.legacy) {
    const facts = compared(use.legacy ?? "ES256 or EdDSA", signed.legacy ?? "ES256 or EdDSA");
    return no("token-algorithm", "tokens of this audience are signed with another algorithm", facts);
  }
  const clock = checkTimes(claims, use.now, use.skewMs);
  if (clock !== null) return clock;
  const revoked = checkRevocations(signed, use.revocations);
  if (revoked !== null) return revoked;
  const proof = checkBinding(claims.cnf?.jkt, claims.cnf?.["x5t#S256"], use);
  if (proof.kind === "deny") return proof;
  return {
    kind: "verified",
    claims,
    kid,
    proof,
    scopes: claims.scope === undefined ? null : claims.scope.split(" "),
    expiresAtMs: claims.exp * 1000,
  };
}

/** readAccessToken and acceptAccessToken in one go, for whoever keeps no cache. */
export function verifyAccessToken(token: string, rules: AccessTokenRules, use: TokenUse): VerifiedAccessToken | Deny {
  const signed = readAccessToken(token, rules);
  return signed.kind === "deny" ? signed : acceptAccessToken(signed, use);
}

/** Prints and signs with keys in the order of the format page. Claims are not judged here: that is `mint`'s duty. */
export function signAccessToken(claims: AccessTokenClaims, signer: AccessTokenSigner): string {
  const { iss, sub, aud, exp, iat, nbf, jti, client_id, scope, cnf, act, gid, sid, acr, amr, auth_time } = claims;
  const ordered = { iss, sub, aud, exp, iat, nbf, jti, client_id, scope, cnf, act, gid, sid, acr, amr, auth_time };
  return signCompactJws({ alg: signer.alg, typ: accessTokenType, kid: signer.kid }, ordered, signer);
}

/** Expired or not yet valid at `now` (milliseconds); null when in time. Shared by access and hop tokens. */
export function checkTimes(
  claims: { readonly exp: number; readonly iat: number; readonly nbf?: number },
  now: number,
  skewMs: number = clockSkewMs,
): Deny | null {
  const skew = Math.min(skewMs, clockSkewMsMax);
  if (!(now < claims.exp * 1000 + skew))
    return no(
      "token-expired",
      "exp has passed",
      compared(`exp after ${instant(now)}`, `exp ${instant(claims.exp * 1000)}`),
    );
  const fromMs = Math.max(claims.iat, claims.nbf ?? 0) * 1000;
  if (!(fromMs <= now + skew)) {
    const facts = compared(`iat and nbf up to ${instant(now)}`, `from ${instant(fromMs)}`);
    return no("token-not-yet-valid", "iat or nbf lies in the future", facts);
  }
  return null;
}

/** Lineage included: the grant a token came from and every exchange after it, its session, and whom it speaks for. */
function checkRevocations({ claims, kid }: SignedAccessToken, revocations: TokenRevocations): Deny | null {
  const issuedAtMs = claims.iat * 1000;
  const isRevoked = (kind: TokenRevocationKind, value: string): boolean =>
    revocations.isRevoked(kind, value, issuedAtMs);
  if (isRevoked("jti", claims.jti)) return no("token-revoked", "the token was revoked by its id");
  if (isRevoked("client", claims.client_id)) return no("token-revoked", "the tokens of this client were revoked");
  if (isRevoked("kid", kid)) return no("token-revoked", "the signing key was revoked");
  if (isRevoked("subject", claims.sub)) return no("token-revoked", "the tokens of this subject were revoked");
  if (claims.sid !== undefined && isRevoked("session", claims.sid))
    return no("token-revoked", "the login session has ended");
  for (const grant of claims.gid ?? []) {
    if (isRevoked("grant", grant)) return no("token-revoked", "a grant this token descends from was revoked");
    if (grant.startsWith(clientLineagePrefix) && isRevoked("client", grant.slice(clientLineagePrefix.length)))
      return no("token-revoked", "the tokens of a client this token descends from were revoked");
  }
  return null;
}

/** All by which a token could have been revoked, for who asks a table: at most 30. */
export function revocablesOf(
  { jti, client_id, sub, sid, gid = [] }: AccessTokenClaims,
  kid: string,
): readonly Revocable[] {
  return [
    { kind: "jti", value: jti },
    { kind: "client", value: client_id },
    { kind: "kid", value: kid },
    { kind: "subject", value: sub },
    ...(sid === undefined ? [] : [{ kind: "session" as const, value: sid }]),
    ...gid.map((value) => ({ kind: "grant" as const, value })),
    ...gid.flatMap((value): Revocable[] =>
      value.startsWith(clientLineagePrefix) ? [{ kind: "client", value: value.slice(clientLineagePrefix.length) }] : [],
    ),
  ];
}

/** Is the token presented by who holds the key (`jkt`) or certificate (`x5t`) it is bound to? RFC 9449 §7.1, RFC 8705 §3. Shared with tokens of issuers outside. */
export function checkBinding(
  jkt: string | undefined,
  x5t: string | undefined,
  use: Pick<TokenUse, "scheme" | "jkt" | "x5t">,
): Proof | Deny {
  if (use.scheme === "DPoP") {
    if (jkt === undefined) return no("token-unbound", "presented with DPoP but the token is bound to no key");
    if (jkt !== use.jkt) {
      const facts = compared(`a proof by key ${jkt}`, `a proof by key ${use.jkt ?? "none"}`);
      return no("dpop-key-mismatch", "the token is bound to another key than the proof's", facts);
    }
  } else if (jkt !== undefined) {
    const facts = compared("Authorization: DPoP and a DPoP field", "Authorization: Bearer");
    return no("token-bound-as-bearer", "a DPoP-bound token was presented as Bearer", facts);
  }
  if (x5t !== undefined && use.x5t === undefined) {
    const facts = compared(`client certificate ${x5t}`, "no client certificate reached the gateway");
    return no("token-bound-as-bearer", "a certificate-bound token was presented without a client certificate", facts);
  }
  if (x5t !== undefined && x5t !== use.x5t) {
    const facts = compared(`client certificate ${x5t}`, `client certificate ${use.x5t ?? "none"}`);
    return no("certificate-mismatch", "the token is bound to another certificate", facts);
  }
  const certificate = use.x5t === undefined ? {} : { x5t: use.x5t };
  if (jkt !== undefined) return { kind: "dpop", jkt, ...certificate };
  return { kind: x5t === undefined ? "bearer" : "mtls", ...certificate };
}

type Confirmation = NonNullable<AccessTokenClaims["cnf"]>;

function parseConfirmation(value: unknown): Confirmation | undefined {
  if (!isJsonObject(value)) return undefined;
  const names = Object.keys(value);
  const { jkt, "x5t#S256": x5t } = value;
  if (names.length === 0 || !names.every((name) => name === "jkt" || name === "x5t#S256")) return undefined;
  if (jkt !== undefined && !(typeof jkt === "string" && isBase64urlOf32(jkt))) return undefined;
  if (x5t !== undefined && !(typeof x5t === "string" && isBase64urlOf32(x5t))) return undefined;
  return { ...(jkt !== undefined ? { jkt } : {}), ...(x5t !== undefined ? { "x5t#S256": x5t } : {}) };
}

function parseMethods(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length > 16) return undefined;
  return value.every((one): one is string => claimText(one) !== undefined) ? value : undefined;
}

/** The known claims, typed; or the name of the first one that is missing or malformed. */
function parseAccessTokenClaims(members: JsonObject): AccessTokenClaims | string {
  const iss = claimText(members.iss);
  const sub = claimText(members.sub);
  const aud = claimText(members.aud);
  const exp = numericDate(members.exp);
  const iat = numericDate(members.iat);
  const jti = claimId(members.jti);
  const client_id = claimText(members.client_id);
  if (iss === undefined) return "iss";
  if (sub === undefined) return "sub";
  if (aud === undefined) return "aud";
  if (exp === undefined) return "exp";
  if (iat === undefined) return "iat";
  if (jti === undefined) return "jti";
  if (client_id === undefined) return "client_id";
  const optional: Record<string, unknown> = {};
  for (const [name, parse] of optionalClaims) {
    const value = members[name];
    if (value === undefined) continue;
    const parsed = parse(value);
    if (parsed === undefined) return name;
    optional[name] = parsed;
  }
  return { iss, sub, aud, exp, iat, jti, client_id, ...optional };
}

const optionalClaims: readonly (readonly [keyof AccessTokenClaims, (value: unknown) => unknown])[] = [
  ["nbf", numericDate],
  ["scope", claimScope],
  ["cnf", parseConfirmation],
  ["act", (value) => claimActor(value)],
  ["gid", claimGrants],
  ["sid", (value) => claimId(value)],
  ["acr", claimText],
  ["amr", parseMethods],
  ["auth_time", numericDate],
];
