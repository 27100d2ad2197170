// Promises that whoever was proven when a crossing began is asked for again as a new request would: audience, clock, revocation, key ring, issuer,
// binding, certificate, system. Only possession is not proven again: the connection is the one it was proven on.
// Trusts identify.ts for the verdicts and the exchange for the token as it was verified. Specified in docs/streams.md.
import type { Principal } from "@sallyport/protocol/principal.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { keyStill } from "./api-key.ts";
import {
  acceptForeign,
  acceptOwn,
  type Case,
  type IdentifyPorts,
  type Proven,
  proveByCertificate,
  refuseOther,
  type Use,
} from "./identify.ts";
import { introspectAgain } from "./opaque.ts";
import { findOutside, type OutsideToken, readOutside } from "./outside.ts";
import { signedStill } from "./signature.ts";
import { hashToken } from "./token-cache.ts";

/** Writes `principal`, `caller` and `tokenIssuedAtMs` where the caller is still proven under the lease of this exchange. */
export function identifyAgain(exchange: Exchange, ports: IdentifyPorts): Deny | null {
  const { lease, principal } = exchange;
  if (lease === null || principal === null) return deny("identify", "not-ready");
  const { estate } = lease;
  const on: Case = {
    exchange,
    estate,
    peer: ports.peer(exchange, estate),
    ports,
    kept: null,
    inside: null,
    introspected: null,
  };
  const proven = provenAgain(on, principal);
  if ("kind" in proven) return proven;
  if (proven.principal.caller !== principal.caller)
    return deny("identify", "client-unknown", {
      why: `what proved ${principal.caller} proves ${proven.principal.caller} now`,
    });
  exchange.principal = proven.principal;
  exchange.caller = proven.system;
  exchange.tokenIssuedAtMs = proven.issuedAtMs;
  return null;
}

function provenAgain(on: Case, principal: Principal): Proven | Deny {
  if (principal.proof.kind === "api-key") {
    const still = keyStill(on, principal);
    return "kind" in still ? still : (refuseOther(on, still.system) ?? still);
  }
  if (principal.proof.kind !== "signature")
    return on.exchange.signedToken === null ? proveByCertificate(on) : proveByToken(on, principal.proof.jkt);
  const proven = signedStill(principal, on.estate.signatures, on.ports.now());
  return "kind" in proven ? proven : (refuseOther(on, proven.system) ?? proven);
}

function proveByToken(on: Case, jkt: string | undefined): Proven | Deny {
  const { ports, exchange } = on;
  const { signedToken: signed, credentials } = exchange;
  if (signed === null || credentials === null) return deny("identify", "not-ready");
  const use: Use = {
    now: ports.now(),
    scheme: credentials.scheme,
    ...(jkt === undefined ? {} : { jkt }),
    ...(on.peer === null ? {} : { x5t: on.peer.x5t }),
    revocations: ports.revocations,
  };
  let proven: Proven | Deny;
  if (signed.kind === "signed") proven = refuseSigner(on) ?? acceptOwn(signed, use, on);
  else {
    const known = signed.word === undefined ? knownOutside(on) : introspectAgain(on, credentials, signed.word);
    proven = known.kind === "deny" ? known : acceptForeign(known, use, on);
  }
  return "kind" in proven ? proven : (refuseOther(on, proven.system) ?? proven);
}

/** The issuer of this environment, and a key of its ring, as at the first time. */
function refuseSigner({ exchange: { signedToken }, estate, ports }: Case): Deny | null {
  if (signedToken?.kind !== "signed") return null;
  const { claims, kid, legacy } = signedToken;
  if (claims.iss !== estate.object.issuer)
    return deny("identify", "token-issuer", { why: `iss is not ${estate.object.issuer}` });
  const key = legacy === undefined ? ports.ring.find(kid) : ports.ring.legacy?.find(kid);
  return key === undefined
    ? deny("identify", "token-key-unknown", { why: "kid is not in the ring of this environment any more" })
    : null;
}

/** Under rules or keys that have changed it is verified anew. */
function knownOutside({ exchange: { credentials }, estate, ports }: Case): OutsideToken | Deny {
  const { outside } = estate;
  if (outside === null || credentials === null)
    return deny("identify", "token-issuer", { why: "no issuer outside is trusted any more" });
  const { token, scheme } = credentials;
  const presented = { token, scheme, tokenHash: hashToken(token) };
  return (
    findOutside(presented, outside, ports.outside) ??
    readOutside(presented, {
      own: estate.object.issuer,
      issuers: outside,
      crypto: ports.crypto,
      ports: ports.outside,
    }) ??
    deny("identify", "token-issuer", { why: "the token names no issuer that is trusted" })
  );
}
