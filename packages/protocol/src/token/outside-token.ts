// Promises that a JWT of an issuer outside is what that issuer signed, under a pinned algorithm, for us, now, and of the kind its preset says.
// Trusts the keys and rules it is given; whoever presents the token is judged by the caller. docs/formats/outside-token.md, RFC 8725, RFC 7523 §3, RFC 9068 §4.
import { compared, type Deny, deny } from "../verdict.ts";
import { checkTimes } from "./access-token.ts";
import { claimActor, claimId, claimScope, claimText, numericDate } from "./claim-types.ts";
import { isJsonObject, type JsonObject, parseJsonText } from "./json.ts";
import { type CompactJws, isSignedBy, parseCompactJws } from "./jws.ts";
import type { OutsideAlgorithm } from "./outside-jwk.ts";

/** Part of every cache key over outside tokens; raised whenever these rules change. */
export const outsideValidatorVersion = "2";
/** Keycloak's tokens with roles of many clients are the longest seen; a header section bears 16 KiB. */
export const outsideTokenBytesMax = 12_288;
export const outsideLifetimeSecondsMax = 86_400;
const audiencesMax = 16;

/** A public key of an issuer outside, ready to verify. It knows its algorithm; nothing a token says can change it. */
export interface OutsideKey {
  readonly kid: string;
  readonly alg: OutsideAlgorithm;
  /** False for any signature that is wrong or of the wrong length; never throws. */
  verify(data: Uint8Array, signature: Uint8Array): boolean;
}

export interface OutsideKeys {
  get(kid: string): OutsideKey | undefined;
}

/**
 * What tells the issuer's tokens of the wanted kind from its other ones.
 * `assertion`: for us alone and for nothing else. `kubernetes`: a projected service account token. `keycloak`: an access token with the
 * claim `typ: Bearer`. `access-token`: RFC 9068, header `at+jwt`.
 */
export type OutsideKind = "assertion" | "kubernetes" | "keycloak" | "access-token";

export interface OutsideRules {
  /** Compared byte by byte. */
  readonly issuer: string;
  readonly algorithms: readonly OutsideAlgorithm[];
  readonly kind: OutsideKind;
  /** One of these must be in `aud`; null: judged by whoever maps the token (outside-access-token.ts). */
  readonly audiences: readonly string[] | null;
  /** What else may stand in `aud` beside it; anything else is refused, because that resource could replay the token here. */
  readonly companions: readonly string[];
  /** When given, `azp` (or `client_id`) must be one of these. */
  readonly parties: readonly string[] | null;
  /** `exp` - `iat` may be at most this many seconds; at most 86,400. */
  readonly lifetimeSecondsMax: number;
}

export interface OutsideClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly nbf?: number;
  readonly jti?: string;
  /** The client it was issued to: `azp`, else `client_id`. */
  readonly party?: string;
  readonly scope?: string;
  readonly jkt?: string;
  readonly x5t?: string;
  /** RFC 8693 §4.4: the only party that may act for the subject. */
  readonly mayAct?: { readonly sub: string; readonly iss?: string };
  readonly acr?: string;
  readonly authTime?: number;
}

/** Signed by the issuer and well-formed; says nothing yet about the clock or who presents it. Safe to cache. */
export interface SignedOutsideToken {
  readonly kind: "signed-outside";
  readonly claims: OutsideClaims;
  /** All members, for mapping rules that pin exact values. */
  readonly members: JsonObject;
  readonly kid: string;
}

const no = (code: Parameters<typeof deny>[1], why: string, facts: Readonly<Record<string, string>> = {}): Deny =>
  deny("identify", code, { why, ...facts });

/** `x5t` names a certificate of the signer (RFC 7515 §4.1.7): GitHub and Entra send it, and we never look at it. */
const form = { bytesMax: outsideTokenBytesMax, keyMember: "kid", unread: ["x5t", "x5t#S256"] } as const;

/** Header and payload of a token before anything about it is believed: to find the issuer that must have signed it, and for nothing else. */
export interface UnverifiedOutsideToken {
  readonly kind: "unverified";
  readonly issuer: string;
  readonly kid: string;
  readonly jws: CompactJws;
  readonly members: JsonObject;
}

/** Strict parse. Codes: `token-malformed`, `token-claims`. */
export function parseOutsideToken(token: string): UnverifiedOutsideToken | Deny {
  const jws = parseCompactJws(token, form);
  if (jws.kind === "malformed") return no("token-malformed", jws.why);
  const kid = claimId(jws.header.kid, 256);
  if (kid === undefined) return no("token-malformed", "kid is missing or malformed");
  const members = parseJsonText(jws.payload);
  if (members === null) return no("token-malformed", "the payload is not one JSON object");
  const issuer = claimText(members.iss);
  if (issuer === undefined) return no("token-claims", "claim iss is missing or malformed");
  return { kind: "unverified", issuer, kid, jws, members };
}

/** Algorithm, key, signature, issuer, kind, audience and types of claims. Depends on nothing but its arguments. Codes: docs/formats/outside-token.md §3. */
export function readOutsideToken(
  token: UnverifiedOutsideToken,
  rules: OutsideRules,
  keys: OutsideKeys,
): SignedOutsideToken | Deny {
  const { jws, kid, members } = token;
  const refusal = refuseSignature(token, rules, keys);
  if (refusal !== null) return refusal;
  const wrongKind = refuseKind(jws.header.typ, members, rules.kind);
  if (wrongKind !== null) return no("token-type", wrongKind);
  const claims = parseOutsideClaims(members);
  if (typeof claims === "string") return no("token-claims", `claim ${claims} is missing or malformed`);
  return refuseAudience(claims, rules) ?? refuseLife(claims, rules) ?? { kind: "signed-outside", claims, members, kid };
}

/** Issuer, algorithm, key and signature; null when the issuer signed this. */
export function refuseSignature(
  { jws, kid, members }: UnverifiedOutsideToken,
  rules: Pick<OutsideRules, "issuer" | "algorithms">,
  keys: OutsideKeys,
): Deny | null {
  if (members.iss !== rules.issuer) return no("token-issuer", `iss is not ${rules.issuer}`);
  if (!rules.algorithms.some((alg) => alg === jws.header.alg))
    return no("token-algorithm", "alg is not one that is accepted of this issuer", {
      ...compared(rules.algorithms.join(", "), jws.header.alg),
    });
  const key = keys.get(kid);
  if (key === undefined) return no("token-key-unknown", "kid is not among the keys of this issuer");
  if (key.alg !== jws.header.alg) return no("token-algorithm", "alg is not the algorithm of the key");
  return isSignedBy(jws, key) ? null : no("token-signature", "the signature does not fit");
}

/** Expired or not yet valid at `now` (milliseconds since the epoch), with a skew of 5 s unless told otherwise; null when in time. */
export function checkOutsideTimes(signed: SignedOutsideToken, now: number, skewMs?: number): Deny | null {
  return checkTimes(signed.claims, now, skewMs);
}

/** Members that only other kinds of JWT have: logout tokens and security events, ID tokens (OIDC Core §2, §3.3.2.11; RFC 8417 §2.2). */
const foreignMarks = ["events", "nonce", "at_hash", "c_hash", "s_hash", "sub_id"];

/** Why this is not a token of the wanted kind; null when it is. A signature alone does not tell an ID token from an assertion (RFC 8725 §2.8). */
function refuseKind(typ: string | undefined, members: JsonObject, kind: OutsideKind): string | null {
  if (kind === "access-token")
    return typ === "at+jwt" || typ === "application/at+jwt" ? null : "typ is not at+jwt (RFC 9068)";
  if (typ !== undefined && typ !== "JWT") return "typ is neither JWT nor absent";
  if (kind === "keycloak")
    // Header and audience are the same for all its tokens: only this claim tells access tokens from ID, refresh and logout tokens.
    return typ === "JWT" && (members.typ === "Bearer" || members.typ === "DPoP")
      ? null
      : "the claim typ is not that of a Keycloak access token";
  const mark = foreignMarks.find((name) => members[name] !== undefined);
  if (mark !== undefined) return `the claim ${mark} belongs to another kind of token`;
  if (kind === "kubernetes" && !isJsonObject(members["kubernetes.io"])) return "not a service account token";
  return null;
}

function refuseAudience(claims: OutsideClaims, rules: OutsideRules): Deny | null {
  const { audiences } = rules;
  if (audiences !== null) {
    const facts = compared(audiences.join(" or "), claims.aud.join(" "));
    if (!claims.aud.some((one) => audiences.includes(one)))
      return no("token-audience", "no accepted audience is in aud", facts);
    if (claims.aud.some((one) => !audiences.includes(one) && !rules.companions.includes(one)))
      return no("token-audience", "aud names somebody else as well", facts);
  }
  if (rules.parties !== null && (claims.party === undefined || !rules.parties.includes(claims.party)))
    return no(
      "token-audience",
      "azp is not one of the named clients",
      compared(rules.parties.join(" or "), claims.party ?? "none"),
    );
  return null;
}

/** Too long a life, or none. */
export function refuseLife(
  claims: Pick<OutsideClaims, "exp" | "iat">,
  rules: Pick<OutsideRules, "lifetimeSecondsMax">,
): Deny | null {
  if (claims.exp <= claims.iat) return no("token-claims", "exp is not after iat");
  const most = Math.min(rules.lifetimeSecondsMax, outsideLifetimeSecondsMax);
  return claims.exp - claims.iat > most ? no("token-claims", `the lifetime exceeds ${most} s`) : null;
}

function audienceOf(value: unknown): readonly string[] | undefined {
  if (typeof value === "string") return claimText(value) === undefined ? undefined : [value];
  if (!Array.isArray(value) || value.length === 0 || value.length > audiencesMax) return undefined;
  return value.every((one): one is string => claimText(one) !== undefined) ? value : undefined;
}

/** The claims we read, typed; or the name of the first one that is missing or malformed. */
export function parseOutsideClaims(members: JsonObject): OutsideClaims | string {
  const iss = claimText(members.iss);
  const sub = claimText(members.sub);
  const aud = audienceOf(members.aud);
  const exp = numericDate(members.exp);
  const iat = numericDate(members.iat);
  if (iss === undefined) return "iss";
  if (sub === undefined) return "sub";
  if (aud === undefined) return "aud";
  if (exp === undefined) return "exp";
  if (iat === undefined) return "iat";
  const optional: Record<string, unknown> = {};
  for (const [name, as, parse] of optionalClaims) {
    const value = members[name];
    // Keycloak writes an empty scope where there is none.
    if (value === undefined || (name === "scope" && value === "")) continue;
    const parsed = parse(value);
    if (parsed === undefined) return name;
    optional[as] = parsed;
  }
  const bound = confirmationOf(members.cnf);
  if (bound === undefined) return "cnf";
  const { azp, client_id: client } = members;
  const party = claimText(azp ?? client);
  if (party === undefined && (azp ?? client) !== undefined) return "azp";
  // Two words about one thing: whoever reads the other one would believe in another party.
  if (azp !== undefined && client !== undefined && azp !== client) return "client_id";
  return { iss, sub, aud, exp, iat, ...optional, ...bound, ...(party === undefined ? {} : { party }) };
}

const optionalClaims: readonly (readonly [string, keyof OutsideClaims, (value: unknown) => unknown])[] = [
  ["nbf", "nbf", numericDate],
  ["jti", "jti", (value) => claimId(value, 256)],
  ["scope", "scope", claimScope],
  ["may_act", "mayAct", actorAllowed],
  ["acr", "acr", claimText],
  ["auth_time", "authTime", numericDate],
];

/** A binding we do not know is not ignored: the token would be weaker here than where it comes from (RFC 7800 §3). */
function confirmationOf(value: unknown): { jkt?: string; x5t?: string } | undefined {
  if (value === undefined) return {};
  if (!isJsonObject(value)) return undefined;
  const { jkt, "x5t#S256": x5t, ...others } = value;
  if (Object.keys(others).length > 0 || (jkt === undefined && x5t === undefined)) return undefined;
  const thumbprint = /^[A-Za-z0-9_-]{43}$/;
  for (const one of [jkt, x5t])
    if (one !== undefined && !(typeof one === "string" && thumbprint.test(one))) return undefined;
  return {
    ...(typeof jkt === "string" ? { jkt } : {}),
    ...(typeof x5t === "string" ? { x5t } : {}),
  };
}

function actorAllowed(value: unknown): { sub: string; iss?: string } | undefined {
  if (!isJsonObject(value)) return undefined;
  const { sub, iss, ...others } = value;
  // A restriction that we do not understand cannot be kept, so it is a refusal.
  if (Object.keys(others).length > 0) return undefined;
  const name = claimActor({ sub })?.sub;
  const from = iss === undefined ? undefined : claimText(iss);
  if (name === undefined || (iss !== undefined && from === undefined)) return undefined;
  return { sub: name, ...(from === undefined ? {} : { iss: from }) };
}
