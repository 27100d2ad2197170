// Promises who calls, proven by a token, a certificate or both agreeing; everything else is one and the same 401. Trusts the token ring, the
// revocations, the nonces and the replay set of this node, and OpenSSL's path building as judged by certificate.ts.
// Specified in docs/formats/token.md, RFC 9449, RFC 8705 and DESIGN §7.4.
import { looksNested } from "@sallyport/kernel/nested-token.ts";
import type { TurnEnd } from "@sallyport/kernel/turn-end.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import {
  acceptAccessToken,
  readAccessToken,
  type SignedAccessToken,
  tokenValidatorVersion,
  type VerifiedAccessToken,
} from "@sallyport/protocol/token/access-token.ts";
import { apiKeyPrefix, shownApiKey } from "@sallyport/protocol/token/api-key.ts";
import type { LegacyAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import { verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { handlePrefix, isHandle } from "@sallyport/protocol/token/handle.ts";
import { compared, type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { CompiledSystem, Estate } from "../snapshot/estate.ts";
import type { Revocations } from "../snapshot/revocations.ts";
import type { TokenRing } from "../snapshot/token-ring.ts";
import { findApiKey, keepKeysHere, proveByApiKey } from "./api-key.ts";
import type { PeerJudgement } from "./certificate.ts";
import { type Credentials, type CredentialsReading, readCredentials } from "./credentials.ts";
import { nothingPresented, withPlace } from "./explain.ts";
import type { HandleAnswer, Handles } from "./handles.ts";
import type { Introspections } from "./introspection.ts";
import type { Nested } from "./nested.ts";
import type { Nonces } from "./nonce.ts";
import { introspect } from "./opaque.ts";
import { acceptOutside, findOutside, type OutsidePorts, type OutsideToken, readOutside } from "./outside.ts";
import type { Kept } from "./presented.ts";
import type { ReplaySet } from "./replay-set.ts";
import { proveBySignature, type SignaturePorts } from "./signature.ts";
import { hashToken, type TokenCache, tokenCacheKey } from "./token-cache.ts";

/** The longest life any token may have: a user's, ten minutes (DESIGN §4 Tokens). */
const lifetimeSecondsMax = 600;

export interface IdentifyPorts {
  readonly tenant: string;
  readonly environment: string;
  readonly ring: TokenRing;
  readonly revocations: Revocations;
  readonly cache: TokenCache<SignedAccessToken>;
  readonly handles: Handles;
  /** Tokens encrypted to this environment. */
  readonly nested: Nested;
  /** Issuers outside, about tokens that say nothing by themselves. */
  readonly introspections: Introspections;
  /** Tokens of issuers outside. */
  readonly outside: OutsidePorts;
  readonly crypto: TokenCrypto;
  /** Where signatures are verified. */
  readonly turnEnd: TurnEnd;
  readonly nonces: Nonces;
  readonly replays: ReplaySet;
  readonly signatures: SignaturePorts;
  now(): number;
  /** What the connection's certificate proves under this estate; null when none was presented. */
  peer(exchange: Exchange, estate: Estate): PeerJudgement | null;
}

export interface Proven {
  readonly principal: Principal;
  readonly system: CompiledSystem;
  readonly issuedAtMs: number | null;
}

/** Identifies the caller and writes `principal`, `caller`, `tokenIssuedAtMs`, `signedTokenId` and `nonce` of the exchange. Waits where a signature has to be verified, and where a handle is new here. */
export function identify(exchange: Exchange, ports: IdentifyPorts): Promise<Deny | null> | Deny | null {
  const { request, lease } = exchange;
  if (request === null || lease === null) return deny("identify", "not-ready");
  const peer = ports.peer(exchange, lease.estate);
  const { authorization, dpop } = request.headers;
  const kept = authorization?.length === 1 ? exchange.presented.find(authorization[0]) : null;
  const credentials =
    kept === null || (dpop !== undefined && dpop.length > 1)
      ? readCredentials(authorization, dpop)
      : ({ kind: "token", scheme: kept.scheme, token: kept.token, proof: dpop?.[0] ?? null } as const);
  const on: Case = { exchange, estate: lease.estate, peer, ports, kept, inside: null, introspected: null };
  const { apiKeys } = lease.estate;
  const leak = apiKeys === null ? null : keepKeysHere(exchange, apiKeys);
  if (leak !== null) return conclude(on, leak);
  return costsSignature(on, credentials) ? ports.turnEnd.run(() => judge(on, credentials)) : judge(on, credentials);
}

/** Of all tokens, one that this connection presented before, without a proof, costs none. */
function costsSignature(on: Case, credentials: CredentialsReading): boolean {
  if (credentials.kind === "token") return on.kept === null || credentials.proof !== null;
  return credentials.kind === "none" && signaturesOf(on) !== null;
}

function judge(on: Case, credentials: CredentialsReading): Promise<Deny | null> | Deny | null {
  if (credentials.kind === "malformed")
    return conclude(on, deny("identify", "credentials-malformed", { why: credentials.why }));
  if (credentials.kind === "none") return conclude(on, proveWithoutToken(on));
  if (credentials.kind === "api-key") return conclude(on, proveKeyed(on, credentials.key));
  if (credentials.token.startsWith(apiKeyPrefix)) return conclude(on, misplacedKey(credentials));
  if (!isWrapped(on, credentials)) return judgeBare(on, credentials);
  const inside = unwrap(on, credentials);
  if (inside instanceof Promise) return inside.then((late) => conclude(on, proveInside(on, credentials, late)));
  return conclude(on, proveInside(on, credentials, inside));
}

/** What was presented is the token; one that says nothing by itself is asked about first, where its provider names who is asked. */
function judgeBare(on: Case, credentials: Credentials): Promise<Deny | null> | Deny | null {
  const said = introspect(on, credentials);
  const prove = (found: OutsideToken | Deny | null) =>
    conclude(on, found?.kind === "deny" ? found : proveByToken({ ...on, introspected: found }, credentials));
  return said instanceof Promise ? said.then(prove) : prove(said);
}

/** Everybody's first mistake with an API key. */
function misplacedKey({ scheme, token }: Credentials): Deny {
  return deny("identify", "token-malformed", {
    why: "an API key where an access token goes",
    ...compared("`Authorization: ApiKey <key>`", `\`Authorization: ${scheme} ${shownApiKey(token)}\``),
  });
}

/** A handle, or a token that is encrypted, and not the one whose signature held on this connection just now. */
function isWrapped({ kept, estate, ports }: Case, { token }: Credentials): boolean {
  if (kept !== null && kept.issuer === estate.object.issuer && kept.validator === validatorOf(ports.ring)) return false;
  return token.startsWith(handlePrefix) || looksNested(token);
}

/** The token inside, where it was not verified here before; null: it was. */
function unwrap(on: Case, { token, scheme }: Credentials): Promise<HandleAnswer> | HandleAnswer | null {
  const { ports, estate, exchange } = on;
  const isNested = looksNested(token);
  if (!isNested && !isHandle(token))
    return deny("identify", "token-malformed", { why: "a handle whose checksum does not fit" });
  const tokenHash = hashToken(token);
  const { issuer } = estate.object;
  const validator = validatorOf(ports.ring);
  if (ports.cache.has(tokenCacheKey({ issuer, validator, tokenHash, binding: scheme }))) return null;
  const { prefix } = exchange.source;
  return isNested ? ports.nested.open(token, prefix) : ports.handles.find(tokenHash, prefix);
}

function proveInside(on: Case, credentials: Credentials, inside: HandleAnswer | null): Proven | Deny {
  if (inside?.kind === "deny") return inside;
  return proveByToken({ ...on, inside: inside?.token ?? null }, credentials);
}

function conclude({ exchange, ports }: Case, proven: Proven | Deny): Deny | null {
  if ("kind" in proven) {
    if (proven.stage === "identify") exchange.nonce = ports.nonces.current(ports.now());
    return proven;
  }
  exchange.principal = proven.principal;
  exchange.caller = proven.system;
  exchange.tokenIssuedAtMs = proven.issuedAtMs;
  return null;
}

/** One presentation and what it is judged under. */
export interface Case {
  readonly exchange: Exchange;
  readonly estate: Estate;
  readonly peer: PeerJudgement | null;
  readonly ports: IdentifyPorts;
  /** This connection presented the same token before. */
  readonly kept: Kept | null;
  /** The token behind the handle that was presented; null: what was presented is the token, or was verified before. */
  readonly inside: string | null;
  /** What its issuer outside said of a token that says nothing by itself; null: it was not asked. */
  readonly introspected: OutsideToken | null;
}

/** Whose keys may have signed the request, where it may be signed at all. */
function signaturesOf({ estate, exchange }: Case): Estate["signatures"] {
  return exchange.request?.headers["signature-input"] === undefined ? null : estate.signatures;
}

function proveKeyed(on: Case, key: string): Proven | Deny {
  const proven = proveByApiKey(on, key);
  return "kind" in proven ? proven : (refuseOther(on, proven.system) ?? proven);
}

function proveWithoutToken(on: Case): Proven | Deny {
  const { apiKeys } = on.estate;
  const key = apiKeys === null ? null : findApiKey(on, apiKeys);
  if (key !== null) return typeof key === "string" ? proveKeyed(on, key) : key;
  const signatures = signaturesOf(on);
  return (signatures === null ? null : proveBySignature(on, signatures)) ?? proveByCertificate(on);
}

export function proveByCertificate({ exchange, peer, ports }: Case): Proven | Deny {
  if (peer === null) return nothingPresented(exchange);
  if (peer.kind === "deny") return peer.verdict;
  const principal: Principal = {
    tenant: ports.tenant,
    environment: ports.environment,
    caller: peer.system.id,
    proof: { kind: "mtls", x5t: peer.x5t },
    scopes: null,
    expiresAtMs: peer.expiresAtMs,
  };
  return { principal, system: peer.system, issuedAtMs: null };
}

function proveByToken(on: Case, credentials: Credentials): Proven | Deny {
  const { ports } = on;
  const tokenHash = on.kept?.tokenHash ?? hashToken(credentials.token);
  const signed = readCached(credentials, tokenHash, on);
  if (signed.kind === "deny") return signed;
  on.exchange.signedTokenId = signed.kind === "signed" ? signed.claims.jti : signed.signed.tokenId;
  const proof = credentials.scheme === "DPoP" ? checkProof(on, { credentials, tokenHash }) : null;
  if (proof !== null && proof.kind === "deny") return proof;
  const use: Use = {
    now: ports.now(),
    scheme: credentials.scheme,
    ...(proof === null ? {} : { jkt: proof.jkt }),
    ...(on.peer === null ? {} : { x5t: on.peer.x5t }),
    revocations: ports.revocations,
  };
  const proven = signed.kind === "signed" ? acceptOwn(signed, use, on) : acceptForeign(signed, use, on);
  if ("kind" in proven) return proven;
  const conflict = refuseOther(on, proven.system);
  if (conflict !== null) return conflict;
  // The nonce and then the id are judged last: nothing that fails for another reason may burn an id.
  const used = proof === null ? null : useProof(on, proof);
  if (used !== null) return used;
  on.exchange.signedToken = signed;
  on.exchange.credentials = credentials;
  return proven;
}

export type Use = Omit<Parameters<typeof acceptAccessToken>[1], "audience" | "legacy">;

export function acceptOwn(signed: SignedAccessToken, use: Use, on: Case): Proven | Deny {
  const audience = audienceWanted(on, signed);
  const legacy = legacyOf(on, audience, use.now);
  const accepted = acceptAccessToken(signed, { audience, ...(legacy === null ? {} : { legacy }), ...use });
  if (accepted.kind === "deny") return accepted;
  const system = on.estate.systemOfClient.get(accepted.claims.client_id);
  if (system === undefined)
    return deny("identify", "client-unknown", { why: "the client belongs to no system of this snapshot" });
  return { principal: principalOf(accepted, { system, on }), system, issuedAtMs: accepted.claims.iat * 1000 };
}

export function acceptForeign(token: OutsideToken, use: Use, { exchange, estate, ports }: Case): Proven | Deny {
  const { tenant, environment } = ports;
  return acceptOutside(token, { ...use, provider: exchange.system?.id ?? null }, { tenant, environment, estate });
}

/** Form, signature and issuer, once per token, presentation and state of the key ring. */
function readCached(credentials: Credentials, tokenHash: string, on: Case): SignedAccessToken | OutsideToken | Deny {
  const { estate, ports, kept } = on;
  if (on.introspected !== null) return on.introspected;
  const { outside } = estate;
  const { issuer } = estate.object;
  const validator = validatorOf(ports.ring);
  if (kept !== null && kept.issuer === issuer && kept.validator === validator) {
    ports.cache.hits++;
    return kept.signed;
  }
  const key = tokenCacheKey({ issuer, validator, tokenHash, binding: credentials.scheme });
  const known = ports.cache.find(key);
  const presented = { token: credentials.token, scheme: credentials.scheme, tokenHash };
  const found = known === undefined && outside !== null ? findOutside(presented, outside, ports.outside) : undefined;
  if (found !== undefined) return found;
  const { legacy } = ports.ring;
  const signed =
    known ??
    readAccessToken(on.inside ?? credentials.token, {
      issuer,
      keys: ports.ring,
      ...(legacy === null ? {} : { legacy }),
      lifetimeSecondsMax,
    });
  if (signed.kind === "deny") {
    // Ours is tried first and takes nothing with another `iss`, so trusting somebody else costs our own callers nothing.
    const { crypto } = ports;
    const read =
      outside === null || on.inside !== null
        ? null
        : readOutside(presented, { own: issuer, issuers: outside, crypto, ports: ports.outside });
    return read ?? signed;
  }
  if (known === undefined) ports.cache.put(key, signed);
  const field = on.exchange.request?.headers["authorization"]?.[0] ?? "";
  const { scheme, token } = credentials;
  on.exchange.presented.keep({ field, scheme, token, tokenHash, signed, issuer, validator, principal: null });
  return signed;
}

let validatorSeq = -1;
let validatorText = "";

/** Rules and key ring by name. */
function validatorOf(ring: TokenRing): string {
  if (ring.seq !== validatorSeq) {
    validatorSeq = ring.seq;
    validatorText = `${tokenValidatorVersion}.${ring.seq}`;
  }
  return validatorText;
}

interface CheckedProof {
  readonly kind: "proof";
  readonly jkt: string;
  readonly jti: string;
  readonly nonce: string;
}

function checkProof(
  { exchange, ports }: Case,
  presented: { credentials: Credentials; tokenHash: string },
): CheckedProof | Deny {
  const { proof } = presented.credentials;
  if (proof === null) return deny("identify", "dpop-missing", { why: "Authorization: DPoP without a DPoP field" });
  const request = exchange.request;
  if (request === null) return deny("identify", "dpop-missing");
  const checked = verifyDpopProof(
    proof,
    { method: request.method, url: request.clientUrl, ath: presented.tokenHash, now: ports.now() },
    ports.crypto,
  );
  return checked.kind === "deny" && checked.code !== "dpop-nonce" ? withPlace(checked, exchange) : checked;
}

function useProof({ exchange, ports }: Case, proof: CheckedProof): Deny | null {
  const now = ports.now();
  const step = ports.nonces.stepOf(proof.nonce, now);
  if (step === null) return deny("identify", "dpop-nonce", { why: "the nonce is not one of this node's current ones" });
  const burn = ports.replays.burn(step, proof.jkt, proof.jti);
  if (burn === "replayed") return deny("identify", "dpop-replayed", { why: "this proof was used before" });
  if (burn === "full") return deny("identify", "replay-table-full", { bound: "proofs per nonce step" });
  // RFC 9449 §8.2: hand the next nonce on while the old one still works, so that no caller has to be refused to learn it.
  if (step !== ports.nonces.step(now)) exchange.nonce = ports.nonces.current(now);
  return null;
}

/** The routed provider's audience; where nothing is routed, any provider's of this estate, so that the answer does not tell routes apart. */
function audienceWanted({ exchange, estate }: Case, signed: SignedAccessToken): string {
  if (exchange.system !== null) return exchange.system.object.audience;
  return estate.audiences.has(signed.claims.aud) ? signed.claims.aud : estate.object.issuer;
}

/** What tokens of an audience are signed with now, where it is RSA; null: ES256 or EdDSA. Asked at every use, so that an end needs no message. */
function legacyOf({ estate }: Case, audience: string, now: number): LegacyAlgorithm | null {
  const { legacyTokens } = estate.systems.get(estate.systemOfAudience.get(audience) ?? "")?.object ?? {};
  return legacyTokens !== undefined && now < legacyTokens.untilMs ? legacyTokens.algorithm : null;
}

/** A certificate that came with the token has to prove the same system. */
export function refuseOther({ peer }: Case, system: CompiledSystem): Deny | null {
  if (peer === null) return null;
  if (peer.kind === "proven") {
    if (peer.system === system) return null;
    return deny("identify", "identity-conflict", {
      why: `token of ${system.id}, certificate of ${peer.system.id}`,
      expected: `a certificate of ${system.id}, whose token came with it`,
      sent: `a certificate of ${peer.system.id}`,
    });
  }
  // The chain is never excused by a token: whoever holds the assertion key alone could have a token bound to a certificate of its own making.
  return peer.verdict;
}

/** Claims are the token's own; what else is in a principal is compared, so that equal presentations share one. */
function principalOf(accepted: VerifiedAccessToken, of: { system: CompiledSystem; on: Case }): Principal {
  const kept = of.on.kept?.signed.claims === accepted.claims ? of.on.kept : null;
  const known = kept?.principal ?? null;
  if (known !== null && known.caller === of.system.id && isSameProof(known.proof, accepted.proof)) return known;
  const principal = newPrincipal(accepted, of);
  if (kept !== null) kept.principal = Object.freeze(principal);
  return principal;
}

function isSameProof(a: Principal["proof"], b: Principal["proof"]): boolean {
  return a.kind === b.kind && a.jkt === b.jkt && a.x5t === b.x5t;
}

function newPrincipal(accepted: VerifiedAccessToken, { system, on }: { system: CompiledSystem; on: Case }): Principal {
  const { claims } = accepted;
  return {
    tenant: on.ports.tenant,
    environment: on.ports.environment,
    caller: system.id,
    client: claims.client_id,
    ...(claims.sub === claims.client_id ? {} : { subject: claims.sub }),
    ...(claims.act === undefined ? {} : { act: claims.act }),
    proof: accepted.proof,
    scopes: accepted.scopes,
    tokenId: claims.jti,
    expiresAtMs: accepted.expiresAtMs,
    ...(claims.acr === undefined ? {} : { acr: claims.acr }),
    ...(claims.auth_time === undefined ? {} : { authTime: claims.auth_time }),
    ...(claims.amr === undefined ? {} : { amr: claims.amr }),
    ...(claims.sid === undefined ? {} : { session: claims.sid }),
  };
}
