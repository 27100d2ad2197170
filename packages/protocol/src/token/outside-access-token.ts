// Promises that an access token of an issuer outside, presented at a gateway, stands for exactly one of our systems, opens only providers that its
// audience was given here, and is alive, unrevoked and held by who presents it. Trusts keys, rules, clock and revocations it is given. Pure.
// Specified in docs/identity/outside-access-tokens.md and docs/formats/outside-token.md (RFC 8725, RFC 9068 §4, RFC 9449 §7, RFC 8705 §3).
import type { Proof } from "../principal.ts";
import { compared, type Deny, deny } from "../verdict.ts";
import { checkBinding, checkTimes, clockSkewMs, type TokenUse } from "./access-token.ts";
import { type Acr, isAcr } from "./acr.ts";
import type { TokenCrypto } from "./crypto.ts";
import type { OutsideAlgorithm } from "./outside-jwk.ts";
import { mapOutsideToken, type OutsidePins } from "./outside-mapping.ts";
import { outsideSubject, outsideTokenId } from "./outside-subject.ts";
import {
  type OutsideClaims,
  type OutsideKeys,
  type OutsideKind,
  readOutsideToken,
  type SignedOutsideToken,
  type UnverifiedOutsideToken,
} from "./outside-token.ts";

/** Part of every cache key over these tokens; raised whenever the rules of this file or of outside-token.ts change. */
export const outsideAccessValidatorVersion = "1";

/** Kinds that are access tokens; assertions, CI jobs' and pods' tokens are traded for one of ours instead. */
export const outsideAccessKinds: readonly OutsideKind[] = ["keycloak", "access-token"];

/** Which tokens of one issuer may be presented as which system. */
export interface OutsideAccessRule extends OutsidePins {
  /** The caller's system. */
  readonly system: string;
  /** The client the token was issued to: `azp`, else `client_id`, whole. */
  readonly party: string;
  /** `user`: `sub` is somebody the system acts for. `workload`: it is the system itself; such a rule pins `subject`. */
  readonly speaksFor: "user" | "workload";
  /** Values of `aud` to the providers they open, beside each provider's own audience. */
  readonly audiences: Readonly<Record<string, readonly string[]>>;
  /** Words of its scope to operations by full name. Absent: its scope says nothing here, the grant alone decides. */
  readonly carries?: Readonly<Record<string, readonly string[]>>;
  /** Its values of `acr` to ours. Absent: its log-ins are worth nothing here. */
  readonly acr?: Readonly<Record<string, Acr>>;
}

/** What a gateway believes of one issuer outside. */
export interface OutsideAccessIssuer {
  /** Id in the estate. */
  readonly id: string;
  /** `iss`, compared byte by byte. */
  readonly url: string;
  readonly kind: OutsideKind;
  readonly algorithms: readonly OutsideAlgorithm[];
  /** What may stand in `aud` beside what opens a provider. */
  readonly companions: readonly string[];
  readonly lifetimeSecondsMax: number;
  /** Milliseconds since the epoch: what was issued before is refused, because control was restored and does not know what was revoked until then. */
  readonly notBeforeMs?: number;
  readonly rules: readonly OutsideAccessRule[];
  /** Its opaque tokens may be presented, and it is asked about them. Absent: only its JWTs may. */
  readonly introspection?: IntrospectionRule;
}

/** Where tokens that say nothing by themselves are taken for this issuer's (RFC 7662). */
export interface IntrospectionRule {
  /** Ids of the providers they may be presented for; no provider is named by two issuers. */
  readonly providers: readonly string[];
  /** How long a yes of the issuer may be used again, in milliseconds; 0: it is asked each time. */
  readonly keepMs: number;
}

/** Signed, well-formed and mapped; says nothing yet about audience, clock, revocation or who presents it. Safe to cache under issuer, rules and keys. */
export interface SignedOutsideAccess {
  readonly kind: "signed-outside-access";
  readonly issuer: OutsideAccessIssuer;
  readonly rule: OutsideAccessRule;
  readonly claims: OutsideClaims;
  /** `ext_…` of issuer and `sub`. */
  readonly subject: string;
  /** What it is revoked by: 128 bits over issuer and `jti`. */
  readonly tokenId: string;
  /** Operations; null: the grant alone decides. */
  readonly scopes: readonly string[] | null;
}

/** One presentation; judged anew for each request. */
export interface OutsideAccessUse extends Pick<TokenUse, "now" | "scheme" | "jkt" | "x5t" | "revocations"> {
  /** Id of the routed provider; null where nothing is routed: then it must open any. */
  readonly provider: string | null;
  /** The provider whose own audience this is; undefined: nobody's. */
  readonly providerOf: (audience: string) => string | undefined;
  /** OAuth clients of the caller's system: who revokes them means these tokens too. */
  readonly clients: readonly string[];
}

export interface VerifiedOutsideAccess {
  readonly kind: "verified-outside";
  readonly proof: Proof;
  /** Milliseconds since the epoch, without skew. */
  readonly expiresAtMs: number;
  /** Our level of the user's log-in, where the rule gives its `acr` one. */
  readonly acr?: Acr;
  /** Seconds since the epoch; only together with `acr`. */
  readonly authTime?: number;
}

const no = (code: Parameters<typeof deny>[1], why: string, facts: Readonly<Record<string, string>> = {}): Deny =>
  deny("identify", code, { why, ...facts });

/** The costly part. `issuer` is the one whose `url` the token names. Codes: those of docs/formats/outside-token.md §3, and `token-unmapped`. */
export function readOutsideAccessToken(
  token: UnverifiedOutsideToken,
  issuer: OutsideAccessIssuer,
  by: { readonly keys: OutsideKeys; readonly crypto: Pick<TokenCrypto, "sha256"> },
): SignedOutsideAccess | Deny {
  const { url, kind, algorithms, companions, lifetimeSecondsMax, rules } = issuer;
  const signed = readOutsideToken(
    token,
    // Audience and party are the mapping's and judged with it.
    { issuer: url, algorithms, kind, audiences: null, companions, parties: null, lifetimeSecondsMax },
    by.keys,
  );
  if (signed.kind === "deny") return signed;
  const { jti } = signed.claims;
  if (jti === undefined) return no("token-claims", "claim jti is missing: the token could not be revoked");
  const tokenId = outsideTokenId({ issuer: url, jti, text: "" }, by.crypto);
  return mapOutsideAccess(signed, { issuer, rules: rulesFor(signed.claims, rules), tokenId, crypto: by.crypto });
}

/** Claims that were proven, mapped by the one rule that fits them. Codes: `token-claims`, `token-unmapped`. */
export function mapOutsideAccess(
  proven: Pick<SignedOutsideToken, "claims" | "members">,
  to: {
    readonly issuer: OutsideAccessIssuer;
    readonly rules: readonly OutsideAccessRule[];
    readonly tokenId: string;
    readonly crypto: Pick<TokenCrypto, "sha256">;
  },
): SignedOutsideAccess | Deny {
  const { claims, members } = proven;
  const { issuer, tokenId } = to;
  // Who acted on the way here would be lost: such a token has to be exchanged, not presented.
  if (members["act"] !== undefined) return no("token-claims", "claim act: a delegated token is not presented as it is");
  const mapped = mapOutsideToken(proven, to.rules);
  if (mapped.kind === "unmapped") return unmapped(issuer.id, mapped.why, claims);
  const rule = mapped.to;
  return {
    kind: "signed-outside-access",
    issuer,
    rule,
    claims,
    subject: outsideSubject(issuer.url, claims.sub, to.crypto),
    tokenId,
    scopes: scopesOf(claims, rule),
  };
}

/** A subject that stands for a workload is nobody's user, so rules for users do not fit it as well. */
export function rulesFor({ sub }: OutsideClaims, rules: readonly OutsideAccessRule[]): readonly OutsideAccessRule[] {
  const isWorkload = rules.some(({ speaksFor, subject }) => speaksFor === "workload" && subject === sub);
  return isWorkload ? rules.filter(({ speaksFor }) => speaksFor === "workload") : rules;
}

/** The subject stays out of it: it may be somebody's name. */
function unmapped(issuer: string, why: "no-rule" | "two-rules", { party }: OutsideClaims): Deny {
  return no(
    "token-unmapped",
    why === "no-rule" ? `no rule of issuer ${issuer} fits this token` : `two rules of issuer ${issuer} fit this token`,
    {
      ...compared(`exactly one rule under gateways in issuers/${issuer}.yaml`, `azp ${party ?? "none"}`),
      issuer,
    },
  );
}

/** Words are looked up by own name only: a scope called `constructor` carries nothing. */
function scopesOf({ scope }: OutsideClaims, { carries }: OutsideAccessRule): readonly string[] | null {
  if (carries === undefined) return null;
  const words = scope === undefined ? [] : scope.split(" ");
  return [...new Set(words.flatMap((word) => (Object.hasOwn(carries, word) ? (carries[word] ?? []) : [])))];
}

/** Audience, clock, revocation and binding of one presentation. */
export function acceptOutsideAccessToken(
  signed: SignedOutsideAccess,
  use: OutsideAccessUse,
): VerifiedOutsideAccess | Deny {
  const { claims } = signed;
  const refused = refuseAudience(signed, use) ?? checkTimes(claims, use.now) ?? refuseRevoked(signed, use);
  if (refused !== null) return refused;
  const proof = checkBinding(claims.jkt, claims.x5t, use);
  if (proof.kind === "deny") return proof;
  return { kind: "verified-outside", proof, expiresAtMs: claims.exp * 1000, ...loginOf(signed) };
}

/** The routed provider must be one that this token's audiences open, and every audience must be one that somebody here gave a meaning. */
function refuseAudience({ claims, rule, issuer }: SignedOutsideAccess, use: OutsideAccessUse): Deny | null {
  const opened = new Set<string>();
  for (const one of claims.aud) {
    const own = use.providerOf(one);
    if (Object.hasOwn(rule.audiences, one)) for (const provider of rule.audiences[one] ?? []) opened.add(provider);
    else if (own !== undefined) opened.add(own);
    else if (!issuer.companions.includes(one))
      return no("token-audience", "aud names somebody else as well", compared(wanted(rule), claims.aud.join(" ")));
  }
  if (use.provider === null ? opened.size > 0 : opened.has(use.provider)) return null;
  const expected = use.provider === null ? wanted(rule) : `an audience that opens ${use.provider}: ${wanted(rule)}`;
  return no("token-audience", "no audience of the token opens this provider", {
    ...compared(expected, claims.aud.join(" ")),
    issuer: issuer.id,
  });
}

function wanted({ audiences }: OutsideAccessRule): string {
  const named = Object.entries(audiences).map(([word, opens]) => `${word} (opens ${opens.join(", ")})`);
  return [...named, "the provider's own audience"].join(" or ");
}

function refuseRevoked({ claims, subject, tokenId, issuer }: SignedOutsideAccess, use: OutsideAccessUse): Deny | null {
  // Its clock is not ours: a token that says it is a few seconds younger than a revocation may well be older.
  const issuedAtMs = claims.iat * 1000 - clockSkewMs;
  const { revocations } = use;
  if (issuedAtMs < (issuer.notBeforeMs ?? 0))
    return no("token-revoked", "issued before control was restored: what was revoked until then is not known");
  if (revocations.isRevoked("jti", tokenId, issuedAtMs)) return no("token-revoked", "the token was revoked by its id");
  if (revocations.isRevoked("subject", subject, issuedAtMs))
    return no("token-revoked", "the tokens of this subject were revoked");
  if (use.clients.some((client) => revocations.isRevoked("client", client, issuedAtMs)))
    return no("token-revoked", "the tokens of a client of this system were revoked");
  return null;
}

/** An outsider's word about a log-in counts only where the rule gives it a level of ours. */
function loginOf({ claims, rule }: SignedOutsideAccess): Pick<VerifiedOutsideAccess, "acr" | "authTime"> {
  const said = claims.acr;
  if (rule.acr === undefined || said === undefined || !Object.hasOwn(rule.acr, said)) return {};
  const acr = rule.acr[said];
  if (acr === undefined || !isAcr(acr)) return {};
  return { acr, ...(claims.authTime === undefined ? {} : { authTime: claims.authTime }) };
}
