// Promises who presents an access token of an issuer outside: verified once under the rules and keys of the snapshot, judged at every use, mapped to
// exactly one of our systems. Trusts protocol/token/outside-access-token.ts. Specified in docs/identity/outside-access-tokens.md.
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { clockSkewMs } from "@sallyport/protocol/token/access-token.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import {
  acceptOutsideAccessToken,
  type OutsideAccessUse,
  outsideAccessValidatorVersion,
  readOutsideAccessToken,
  type SignedOutsideAccess,
  type VerifiedOutsideAccess,
} from "@sallyport/protocol/token/outside-access-token.ts";
import { parseOutsideToken } from "@sallyport/protocol/token/outside-token.ts";
import { compared, type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { CompiledSystem, Estate } from "../snapshot/estate.ts";
import type { OutsideIssuers } from "../snapshot/outside-issuers.ts";
import type { Credentials } from "./credentials.ts";
import type { Word } from "./introspection.ts";
import { type KeyLookPorts, KeyLooks } from "./key-looks.ts";
import { TokenCache, tokenCacheEntriesMax, tokenCacheKey } from "./token-cache.ts";

export interface OutsidePorts {
  readonly cache: TokenCache<OutsideToken>;
  readonly looks: Pick<KeyLooks, "ask">;
}

/** For one node; `send` takes what goes up the channel. */
export function openOutside(clock: Pick<Clock, "monotonic">, send: KeyLookPorts["send"]): OutsidePorts {
  return {
    cache: new TokenCache(tokenCacheEntriesMax),
    looks: new KeyLooks({ monotonic: () => clock.monotonic(), send }),
  };
}

/** A verified token, and who it last proved, so that equal presentations share one frozen principal. */
export interface OutsideToken {
  readonly kind: "outside";
  readonly signed: SignedOutsideAccess;
  principal: Principal | null;
  /** Of a token that says nothing by itself: what its issuer said of it. */
  readonly word?: Word;
}

type Presented = Pick<Credentials, "token" | "scheme"> & { readonly tokenHash: string };

const keyOf = ({ tokenHash, scheme }: Presented, { fingerprint }: OutsideIssuers): string =>
  tokenCacheKey({
    issuer: "outside",
    validator: `${outsideAccessValidatorVersion}.${fingerprint}`,
    tokenHash,
    binding: scheme,
  });

/** What was verified before under these very rules and keys. */
export function findOutside(
  presented: Presented,
  issuers: OutsideIssuers,
  ports: OutsidePorts,
): OutsideToken | undefined {
  return ports.cache.find(keyOf(presented, issuers));
}

interface Under {
  /** Our own issuer. */
  readonly own: string;
  readonly issuers: OutsideIssuers;
  readonly crypto: Pick<TokenCrypto, "sha256">;
  readonly ports: OutsidePorts;
}

/** Of a token that our own verifier refused: what it is as a token of the issuer it names; null where it names ours or none, and the refusal stays. */
export function readOutside(presented: Presented, { own, issuers, crypto, ports }: Under): OutsideToken | Deny | null {
  const parsed = parseOutsideToken(presented.token);
  if (parsed.kind === "deny" || parsed.issuer === own) return null;
  const known = issuers.byUrl.get(parsed.issuer);
  if (known === undefined) return unknownIssuer(parsed.issuer, own, issuers);
  const { issuer, keys } = known;
  const signed = readOutsideAccessToken(parsed, issuer, { keys, crypto });
  if (signed.kind === "deny") {
    // Only here are issuer and algorithm known to be trusted; nobody waits for what control finds.
    if (signed.code === "token-key-unknown") ports.looks.ask(issuer.id, parsed.kid);
    return deny(signed.stage, signed.code, { ...signed.facts, issuer: issuer.id });
  }
  const token: OutsideToken = { kind: "outside", signed, principal: null };
  ports.cache.put(keyOf(presented, issuers), token);
  return token;
}

function unknownIssuer(sent: string, own: string, { byUrl }: OutsideIssuers): Deny {
  const trusted = [...byUrl.values()].map(({ issuer }) => `${issuer.url} (${issuer.id})`);
  return deny("identify", "token-issuer", {
    why: "iss is neither this environment's issuer nor one whose tokens may be presented here",
    ...compared([own, ...trusted].join(" or "), sent),
  });
}

export interface ProvenOutside {
  readonly system: CompiledSystem;
  readonly principal: Principal;
  /** Milliseconds since the epoch; earlier than it says by the skew that is allowed. */
  readonly issuedAtMs: number;
}

interface Place {
  readonly tenant: string;
  readonly environment: string;
  readonly estate: Estate;
}

/** One presentation of it. Codes: docs/identity/outside-access-tokens.md. */
export function acceptOutside(
  token: OutsideToken,
  use: Omit<OutsideAccessUse, "providerOf" | "clients">,
  place: Place,
): ProvenOutside | Deny {
  const { estate } = place;
  const { signed } = token;
  const system = estate.systems.get(signed.rule.system);
  if (system === undefined)
    return deny("identify", "client-unknown", {
      why: `issuer ${signed.issuer.id} maps the token to ${signed.rule.system}, which is not in this snapshot`,
    });
  const accepted = acceptOutsideAccessToken(signed, {
    ...use,
    providerOf: (audience) => estate.systemOfAudience.get(audience),
    clients: system.object.clients,
  });
  if (accepted.kind === "deny") return accepted;
  return {
    system,
    principal: principalOf(token, accepted, place),
    issuedAtMs: signed.claims.iat * 1000 - clockSkewMs,
  };
}

function principalOf(token: OutsideToken, accepted: VerifiedOutsideAccess, place: Place): Principal {
  const { proof } = accepted;
  const known = token.principal?.proof;
  if (token.principal !== null && known?.kind === proof.kind && known.jkt === proof.jkt && known.x5t === proof.x5t)
    return token.principal;
  const { rule, issuer, subject, scopes, tokenId } = token.signed;
  const principal: Principal = Object.freeze({
    tenant: place.tenant,
    environment: place.environment,
    caller: rule.system,
    issuer: issuer.id,
    ...(rule.speaksFor === "user" ? { subject } : {}),
    proof,
    scopes,
    tokenId,
    expiresAtMs: accepted.expiresAtMs,
    ...(accepted.acr === undefined ? {} : { acr: accepted.acr }),
    ...(accepted.authTime === undefined ? {} : { authTime: accepted.authTime }),
  });
  token.principal = principal;
  return principal;
}
