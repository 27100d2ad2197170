// Promises that a logout token of a provider outside is what that provider signed, for us, now, about one end of a log-in there, and no other kind of JWT.
// Trusts the keys and rules it is given; that each counts once is the caller's. OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6, RFC 8725 §2.8.
import { type Deny, deny } from "../verdict.ts";
import { checkTimes } from "./access-token.ts";
import { claimId, claimText, numericDate } from "./claim-types.ts";
import { isJsonObject, type JsonObject } from "./json.ts";
import { backchannelLogoutEvent, logoutTokenType } from "./logout-token.ts";
import type { OutsideAlgorithm } from "./outside-jwk.ts";
import { type OutsideKeys, refuseLife, refuseSignature, type UnverifiedOutsideToken } from "./outside-token.ts";

/** Seconds from `iat` to `exp`; the specification recommends two minutes. */
export const outsideLogoutLifetimeSecondsMax = 3_600;

export interface OutsideLogoutRules {
  /** Compared byte by byte. */
  readonly issuer: string;
  /** Our name there: the one audience. */
  readonly client: string;
  readonly algorithms: readonly OutsideAlgorithm[];
}

/** One of `subject` and `session` is there at least: whose log-ins have ended, or which one. */
export interface OutsideLogout {
  readonly kind: "outside-logout";
  /** `sub` there. */
  readonly subject: string | null;
  /** `sid` there. */
  readonly session: string | null;
  readonly jti: string;
  /** Seconds since the epoch. */
  readonly exp: number;
}

const no = (code: Parameters<typeof deny>[1], why: string): Deny => deny("identify", code, { why });

/** Everything about one but whether it was seen before. `now`: milliseconds since the epoch. Never throws. */
export function readOutsideLogout(
  token: UnverifiedOutsideToken,
  rules: OutsideLogoutRules & { readonly now: number; readonly skewMs: number },
  keys: OutsideKeys,
): OutsideLogout | Deny {
  const { jws, members } = token;
  const refusal = refuseSignature(token, rules, keys);
  if (refusal !== null) return refusal;
  const wrongKind = refuseKind(jws.header.typ, members);
  if (wrongKind !== null) return no("token-type", wrongKind);
  // Somebody else who is named as well could send it on, here.
  const { aud } = members;
  if (aud !== rules.client && !(Array.isArray(aud) && aud.length === 1 && aud[0] === rules.client))
    return no("token-audience", "aud is not our name there and nobody else's");
  const [exp, iat, jti] = [numericDate(members.exp), numericDate(members.iat), claimId(members.jti, 256)];
  if (exp === undefined || iat === undefined || jti === undefined)
    return no("token-claims", "exp, iat or jti is missing or malformed");
  const late = refuseLife({ exp, iat }, { lifetimeSecondsMax: outsideLogoutLifetimeSecondsMax });
  if (late !== null) return late;
  const untimely = checkTimes({ exp, iat }, rules.now, rules.skewMs);
  if (untimely !== null) return untimely;
  const [subject, session] = [members.sub, members.sid].map((value) => (value === undefined ? null : claimText(value)));
  if (subject === undefined || session === undefined || (subject === null && session === null))
    return no("token-claims", "sub and sid are missing, or one is malformed");
  return { kind: "outside-logout", subject, session, jti, exp };
}

/** Why this is no logout token; null when it is one. Providers that are older than its `typ` write `JWT` or nothing, so the event decides. */
function refuseKind(typ: string | undefined, members: JsonObject): string | null {
  if (typ !== undefined && typ !== "JWT" && typ !== logoutTokenType && typ !== `application/${logoutTokenType}`)
    return "typ is not that of a logout token";
  const { events, nonce } = members;
  if (!isJsonObject(events) || !isJsonObject(events[backchannelLogoutEvent])) return "it is not about a logout";
  // §2.4: forbidden there, so that no ID token passes.
  return nonce === undefined ? null : "a logout token has no nonce";
}
