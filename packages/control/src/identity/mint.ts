// Promises that every access token of this issuer is made here: one audience, short, bound, within its ceiling, recorded before it leaves.
// Trusts the decision it is handed only after asserting it again, and the active key of the ring. Format: docs/formats/token.md (RFC 9068, RFC 7800).
import assert from "node:assert/strict";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Actor } from "@sallyport/protocol/principal.ts";
import { signAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import type { AccessTokenSigner, TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";
import { signIdTokenClaims } from "@sallyport/protocol/token/id-token.ts";
import { signLogoutTokenClaims } from "@sallyport/protocol/token/logout-token.ts";
import {
  type NextHopAssertionClaims,
  nextHopAssertionSeconds,
  signNextHopAssertion,
} from "@sallyport/protocol/token/next-hop-assertion.ts";
import { type Binding, machineLifetimeSecondsMax, userLifetimeSecondsMax } from "./decide-issuance.ts";
import type { IssuanceRecorder } from "./issuance-record.ts";

/** Everything about a token that was decided; mint adds time, id and signature. */
export interface MintDecision {
  readonly issuer: string;
  readonly client: string;
  /** RFC 8707 resource of one provider. */
  readonly audience: string;
  /** null: no scope claim, the grant alone decides. */
  readonly scopes: readonly string[] | null;
  readonly ceiling: ReadonlySet<string>;
  /** Ids of the integrations that would honour it; never empty. */
  readonly integrations: readonly string[];
  readonly binding: Binding;
  readonly lifetimeSeconds: number;
  /** Milliseconds since the epoch; must be there, and later than the token's end, for an unbound token. */
  readonly bearerUntilMs?: number;
  /** Absent: the client acts for itself, and the token lives at most five minutes instead of ten. */
  readonly subject?: SubjectFacts;
  /** Who acts for the subject (RFC 8693 §4.1), the newest outermost. */
  readonly act?: Actor;
  /** Ids of the grants it descends from, the root first, 1 to 9; every token for a subject has one. */
  readonly grants?: readonly string[];
}

/** That the policies were asked, and which permits held; only policy/clear-token.ts makes one. */
export interface Clearance {
  readonly grantType: GrantWord;
  readonly policies: readonly string[];
}

export interface ClearedDecision extends MintDecision {
  readonly clearance: Clearance;
}

/** Whom a token speaks for and how that was established. */
export interface SubjectFacts {
  /** The subject's id at this issuer, never an e-mail address. */
  readonly id: string;
  /** The login session, where there was one. */
  readonly session?: string;
  readonly acr?: string;
  readonly amr?: readonly string[];
  /** Seconds since the epoch. */
  readonly authTime?: number;
  /** Was the user's browser seen before this log-in? For policies; in no token. */
  readonly device?: "known" | "new";
}

export interface MintedToken {
  readonly token: string;
  readonly claims: AccessTokenClaims;
}

/** What the record of an issuance is made of. */
export interface Issued {
  readonly claims: AccessTokenClaims;
  readonly clearance: Clearance;
}

export interface MintPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly record: IssuanceRecorder;
  /** The text a signed token leaves as (tokens/handles.ts); absent: as it is. */
  readonly present?: (token: string, claims: AccessTokenClaims) => Promise<string>;
}

/**
 * Signs one machine access token and resolves once its issuance is durable in the log. Writes nothing to the store but what its form needs.
 * Throws AssertionError for a decision that breaks a promise of this file (a bug), and whatever the recorder throws: then no token leaves.
 */
export async function mint(
  decision: ClearedDecision,
  signer: AccessTokenSigner,
  ports: MintPorts,
): Promise<MintedToken> {
  const { token, claims } = await prepare(decision, signer, ports);
  await recordMinted({ claims, clearance: decision.clearance }, ports);
  return { token, claims };
}

/**
 * Signs without recording, for a caller that has to store the answer before it may leave: nothing leaves before `recordMinted` has resolved.
 * Throws AssertionError as `mint` does.
 */
export async function prepare(
  decision: ClearedDecision,
  signer: AccessTokenSigner,
  ports: MintPorts,
): Promise<MintedToken> {
  const claims = claimsOf(decision, ports);
  const token = signAccessToken(claims, signer);
  return { token: (await ports.present?.(token, claims)) ?? token, claims };
}

/** Resolves once the issuance of a token is durable in the log; rejects when it cannot be: then the token must not leave. */
export async function recordMinted({ claims, clearance }: Issued, ports: MintPorts): Promise<void> {
  const { cnf } = claims;
  await ports.record.issued({
    client: claims.client_id,
    audience: claims.aud,
    tokenId: claims.jti,
    proof: cnf?.jkt !== undefined ? "dpop" : cnf === undefined ? "bearer" : "mtls",
    expiresAt: claims.exp * 1000,
    grantType: clearance.grantType,
    subject: claims.sub === claims.client_id ? null : claims.sub,
    grants: claims.gid ?? [],
    operations: claims.scope?.split(" ") ?? null,
    policies: clearance.policies,
  });
}

/** The claims of a decision, with every promise of this file asserted. */
function claimsOf(decision: MintDecision, ports: MintPorts): AccessTokenClaims {
  const now = ports.clock.now();
  const iat = Math.floor(now / 1000);
  const exp = iat + decision.lifetimeSeconds;
  assert.ok(Number.isInteger(decision.lifetimeSeconds) && decision.lifetimeSeconds >= 1, "a token lives whole seconds");
  const { subject, act, grants } = decision;
  const most = subject === undefined ? machineLifetimeSecondsMax : userLifetimeSecondsMax;
  assert.ok(decision.lifetimeSeconds <= most, "a machine token lives at most five minutes, a user's ten");
  assert.ok(subject === undefined || grants !== undefined, "a token for a subject names its grant");
  assert.ok(decision.audience.startsWith(`${decision.issuer}/systems/`), "the audience is a system of this issuer");
  assert.ok(decision.client.length > 0 && decision.ceiling.size > 0, "a token has a client and a grant");
  for (const scope of decision.scopes ?? []) assert.ok(decision.ceiling.has(scope), "no scope beyond the grant");
  const cnf = confirmationOf(decision, exp);
  return {
    iss: decision.issuer,
    sub: subject?.id ?? decision.client,
    aud: decision.audience,
    exp,
    iat,
    jti: Buffer.from(ports.random.bytes(16)).toString("base64url"),
    client_id: decision.client,
    ...(decision.scopes === null ? {} : { scope: decision.scopes.join(" ") }),
    ...(cnf === null ? {} : { cnf }),
    ...(act === undefined ? {} : { act }),
    ...(grants === undefined ? {} : { gid: grants }),
    ...(subject?.session === undefined ? {} : { sid: subject.session }),
    ...(subject?.acr === undefined ? {} : { acr: subject.acr }),
    ...(subject?.amr === undefined ? {} : { amr: subject.amr }),
    ...(subject?.authTime === undefined ? {} : { auth_time: subject.authTime }),
  };
}

function confirmationOf(decision: MintDecision, exp: number): NonNullable<AccessTokenClaims["cnf"]> | null {
  const { binding } = decision;
  const thumbprint = /^[A-Za-z0-9_-]{43}$/;
  if (binding.kind === "dpop") {
    assert.match(binding.jkt, thumbprint);
    return { jkt: binding.jkt };
  }
  if (binding.kind === "mtls") {
    assert.match(binding.x5t, thumbprint);
    return { "x5t#S256": binding.x5t };
  }
  assert.ok(
    decision.bearerUntilMs !== undefined && exp * 1000 <= decision.bearerUntilMs,
    "an unbound token needs an explicit bearer exception that outlives it",
  );
  return null;
}

export const idTokenLifetimeSeconds = 600;

export interface IdTokenDecision {
  readonly issuer: string;
  /** Its audience. */
  readonly client: string;
  readonly subject: SubjectFacts & { readonly authTime: number };
  readonly nonce?: string;
}

/**
 * Signs an ID token (OpenID Connect Core §2), `typ: JWT`: it says who logged in and how, and opens nothing, because no verifier of access tokens
 * takes that type or a client as audience. Its record is that of the access token it goes with.
 */
export function signIdToken(
  { issuer, client, subject, nonce }: IdTokenDecision,
  signer: TokenSigner,
  ports: Pick<MintPorts, "clock">,
): string {
  const iat = Math.floor(ports.clock.now() / 1000);
  const { id: sub, session, acr, amr, authTime: auth_time } = subject;
  const claims = {
    iss: issuer,
    sub,
    aud: client,
    exp: iat + idTokenLifetimeSeconds,
    iat,
    auth_time,
    ...(nonce === undefined ? {} : { nonce }),
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
    ...(session === undefined ? {} : { sid: session }),
  };
  return signIdTokenClaims(claims, signer);
}

export const logoutTokenLifetimeSeconds = 120;

export interface LogoutDecision {
  readonly issuer: string;
  /** Its audience. */
  readonly client: string;
  readonly subject: string;
  readonly session: string;
  /** Of this end and this client: a try that is repeated is the same token to whoever counts ids. */
  readonly id: string;
}

/** Signs a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4). It opens nothing; its record is the delivery's. */
export function signLogoutToken(
  { issuer, client, subject, session, id }: LogoutDecision,
  signer: TokenSigner,
  ports: Pick<MintPorts, "clock">,
): string {
  const iat = Math.floor(ports.clock.now() / 1000);
  const times = { iat, exp: iat + logoutTokenLifetimeSeconds };
  return signLogoutTokenClaims({ iss: issuer, sub: subject, aud: client, ...times, jti: id, sid: session }, signer);
}

export interface OperatorDecision {
  /** `<admin url>/operators` */
  readonly issuer: string;
  /** The admin origin: the only audience operators' tokens have. */
  readonly audience: string;
  readonly operator: string;
  /** Of the registered key the operator signed with: the token ends with that key. */
  readonly kid: string;
  /** Thumbprint of the DPoP key: an operator's token is always bound. */
  readonly jkt: string;
  readonly lifetimeSeconds: number;
  /** Where the request came from. */
  readonly address: string;
}

/** Signs one operator token and resolves once its issuance is durable. Bugs and log failures throw as in `mint`. */
export async function mintOperator(
  decision: OperatorDecision,
  signer: TokenSigner,
  ports: MintPorts,
): Promise<MintedToken> {
  assert.ok(
    Number.isInteger(decision.lifetimeSeconds) &&
      decision.lifetimeSeconds >= 1 &&
      decision.lifetimeSeconds <= machineLifetimeSecondsMax,
    "an operator token lives at most five minutes",
  );
  assert.equal(
    decision.issuer,
    `${decision.audience}/operators`,
    "an operator token is for the listener that issued it",
  );
  assert.match(decision.jkt, /^[A-Za-z0-9_-]{43}$/);
  const iat = Math.floor(ports.clock.now() / 1000);
  const claims: AccessTokenClaims = {
    iss: decision.issuer,
    sub: decision.operator,
    aud: decision.audience,
    exp: iat + decision.lifetimeSeconds,
    iat,
    jti: Buffer.from(ports.random.bytes(16)).toString("base64url"),
    client_id: decision.kid,
    cnf: { jkt: decision.jkt },
  };
  const token = signAccessToken(claims, signer);
  await ports.record.issued({
    client: decision.operator,
    audience: decision.audience,
    tokenId: claims.jti,
    proof: "dpop",
    expiresAt: claims.exp * 1000,
    grantType: "client_credentials",
    subject: null,
    grants: [],
    operations: null,
    policies: [],
    // With which of their keys, and for whose proofs: a stolen key is told from the others by it.
    sealed: { operator: decision.operator, kid: decision.kid, jkt: decision.jkt, address: decision.address },
  });
  return { token, claims };
}

/**
 * Signs what control shows the token endpoint of somebody else, about a caller or about itself: for that one place, a minute long, and worth nothing here. Its
 * record is that of the token it is traded for.
 */
export function signAssertion(claims: NextHopAssertionClaims, signer: TokenSigner): string {
  const lifeSeconds = claims.exp - claims.iat;
  assert.ok(lifeSeconds >= 1 && lifeSeconds <= nextHopAssertionSeconds, "an assertion lives a minute at most");
  assert.ok(!claims.aud.startsWith(`${claims.iss}/`), "no provider of this issuer is its audience");
  return signNextHopAssertion(claims, signer);
}
