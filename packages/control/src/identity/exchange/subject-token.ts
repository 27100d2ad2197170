// Promises that a subject token is one of ours or of a trusted issuer outside, verified, in time and not revoked, and reads both into one shape.
// Trusts the shared verifiers. docs/identity/token-exchange.md "Who may exchange what", RFC 8693 §2.1, §3.
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import type { RingKey } from "@sallyport/protocol/channel/messages.ts";
import type { Actor } from "@sallyport/protocol/principal.ts";
import { checkTimes, readAccessToken, type SignedAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { claimActor } from "@sallyport/protocol/token/claim-types.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { outsideSubject, outsideTokenId } from "@sallyport/protocol/token/outside-subject.ts";
import { type OutsideKind, parseOutsideToken } from "@sallyport/protocol/token/outside-token.ts";
import { userLifetimeSecondsMax } from "../decide-issuance.ts";
import type { LegacyJudge } from "../ring-keys.ts";
import type { OutsideReading, TrustedIssuers } from "../trust/trusted-issuers.ts";
import type { SubjectToken } from "./decide-exchange.ts";
import type { OutsideRevocable } from "./revoked.ts";

export const accessTokenUrn = "urn:ietf:params:oauth:token-type:access_token";
export const jwtUrn = "urn:ietf:params:oauth:token-type:jwt";

export interface SubjectPorts {
  readonly issuer: string;
  /** Keys of this issuer that may have signed a token that is still alive. */
  readonly keys: () => readonly RingKey[];
  /** Those for audiences that know only RSA, and which of them an audience has now; absent: none. */
  readonly legacy?: LegacyJudge;
  readonly trusted: Pick<TrustedIssuers, "read">;
  readonly crypto: TokenCrypto;
  /** The token a presented text stands for; null: a handle that leads nowhere. */
  readonly read: (text: string) => Promise<string | null>;
  /** Is this token revoked, by itself, its subject or anything it descends from? */
  readonly isRevoked: (token: SignedAccessToken | OutsideRevocable) => Promise<boolean>;
}

export type SubjectReading =
  | { readonly kind: "subject"; readonly subject: SubjectToken }
  | { readonly kind: "refused"; readonly code: string };

const refused = (code: string): SubjectReading => ({ kind: "refused", code });

/** Outside kinds that are access tokens; the rest are JWTs of another purpose and have to be called so. */
const accessKinds: ReadonlySet<OutsideKind> = new Set(["keycloak", "access-token"]);

/** Reads one subject token at `now` (milliseconds). Rejects only when the store fails. */
export async function readSubjectToken(
  sent: { readonly token: string; readonly type: string },
  now: number,
  ports: SubjectPorts,
): Promise<SubjectReading> {
  if (sent.type !== accessTokenUrn && sent.type !== jwtUrn) return refused("subject-token-type");
  const token = await ports.read(sent.token);
  if (token === null) return refused("subject-token-unknown");
  // A handle is an access token and no JWT, whatever stands behind it.
  if (token !== sent.token && sent.type !== accessTokenUrn) return refused("subject-token-type");
  const parsed = parseOutsideToken(token);
  if (parsed.kind === "deny") return refused(`subject-${parsed.code}`);
  // `iss` only chooses the verifier; each of them checks it again.
  if (parsed.issuer === ports.issuer) return readOwn(token, now, ports);
  const read = await ports.trusted.read(sent.token, now);
  if (read.kind === "refused") return refused(`subject-${read.code}`);
  if (sent.type === accessTokenUrn && !accessKinds.has(read.issuer.rules.kind)) return refused("subject-token-type");
  const subject = outsideOf(read, sent.token);
  if (subject === null) return refused("subject-actor");
  const { iat } = read.token.claims;
  // Else whoever was revoked would go on with the token of before, exchanged for one that is younger than the revocation.
  if (await ports.isRevoked({ kind: "outside", subject: subject.sub, id: subject.id, iat }))
    return refused("subject-revoked");
  return { kind: "subject", subject };
}

async function readOwn(token: string, now: number, ports: SubjectPorts): Promise<SubjectReading> {
  const find = (kid: string) => {
    const key = ports.keys().find((one) => one.kid === kid);
    const jwk = key === undefined ? null : parsePublicJwk(key.jwk);
    return jwk === null ? undefined : (ports.crypto.importKey(jwk) ?? undefined);
  };
  const { issuer, legacy } = ports;
  const signed = readAccessToken(token, {
    issuer,
    keys: { find },
    ...(legacy === undefined ? {} : { legacy: legacy.keys }),
    lifetimeSecondsMax: userLifetimeSecondsMax,
  });
  if (signed.kind === "deny") return refused(`subject-${signed.code}`);
  if ((signed.legacy ?? null) !== (legacy?.algorithmOf(signed.claims.aud, now) ?? null))
    return refused("subject-token-algorithm");
  // No skew: what has ended is not prolonged by an exchange.
  const late = checkTimes(signed.claims, now, 0);
  if (late !== null) return refused(`subject-${late.code}`);
  if (await ports.isRevoked(signed)) return refused("subject-revoked");
  return { kind: "subject", subject: ownOf(signed) };
}

function ownOf({ claims }: SignedAccessToken): SubjectToken {
  const { cnf, act, sid, acr, amr, auth_time: authTime } = claims;
  return {
    from: "own",
    sub: claims.sub,
    client: claims.client_id,
    audience: claims.aud,
    scopes: claims.scope === undefined ? null : claims.scope.split(" "),
    expiresAtMs: claims.exp * 1000,
    id: claims.jti,
    gid: claims.gid ?? [],
    ...(act === undefined ? {} : { act }),
    ...(cnf?.jkt === undefined ? {} : { jkt: cnf.jkt }),
    ...(cnf?.["x5t#S256"] === undefined ? {} : { x5t: cnf["x5t#S256"] }),
    ...(sid === undefined ? {} : { sid }),
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
    ...(authTime === undefined ? {} : { authTime }),
  };
}

/** null: it says who acts in a form that we could not pass on, so whoever acts would be lost. */
function outsideOf({ issuer, token }: Extract<OutsideReading, { kind: "read" }>, text: string): SubjectToken | null {
  const { iss, sub, jti, scope, exp, jkt, x5t, mayAct } = token.claims;
  const said = token.members["act"];
  const actor = claimActor(said);
  if (said !== undefined && actor === undefined) return null;
  return {
    from: issuer.config.id,
    sub: outsideSubject(iss, sub, { sha256 }),
    client: null,
    audience: null,
    scopes: scope === undefined ? null : scope.split(" "),
    expiresAtMs: exp * 1000,
    id: outsideTokenId({ issuer: iss, jti, text }, { sha256 }),
    gid: [],
    ...(actor === undefined ? {} : { act: actorOutside(iss, actor) }),
    ...(jkt === undefined ? {} : { jkt }),
    ...(x5t === undefined ? {} : { x5t }),
    ...(mayAct === undefined ? {} : { mayAct }),
  };
}

/** Under names of ours, as its subject: an actor there is nobody's client here. */
function actorOutside(issuer: string, { sub, act }: Actor): Actor {
  const name = outsideSubject(issuer, sub, { sha256 });
  return { sub: name, ...(act === undefined ? {} : { act: actorOutside(issuer, act) }) };
}
