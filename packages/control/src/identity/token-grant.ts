// Promises the client_credentials grant: proof checked, target and scope decided, replay refused, token minted and recorded, in that order.
// Trusts that the client named here was authenticated. Specified in RFC 6749 §4.4, RFC 9449 §5, RFC 8705 §3, RFC 8707.
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { CertificateIdentity } from "@sallyport/protocol/snapshot/objects.ts";
import type { LegacyAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { AccessTokenSigner, TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { type Binding, decideIssuance } from "./decide-issuance.ts";
import { legacyAlgorithmFor } from "./decide-target.ts";
import type { Directory, IdentityClient } from "./directory.ts";
import { type ClearedDecision, type MintPorts, mint } from "./mint.ts";
import type { NonceBook } from "./nonce.ts";
import { clearToken, type DecidedToken } from "./policy/clear-token.ts";
import type { IssuancePolicy } from "./policy/issuance-policy.ts";
import type { IssuanceSignals } from "./policy/issuance-signals.ts";
import { type ReplayGuard, replayKey } from "./replay.ts";
import { type GrantAnswer, type GrantHandler, type GrantRefusal, type GrantRequest, refuseGrant } from "./seams.ts";

/** A proof whose signature, method, URL and time were verified; nonce and id are ours to judge. */
export interface VerifiedProof {
  readonly jkt: string;
  readonly jti: string;
  readonly nonce: string;
  /** Milliseconds since the epoch until which this proof could be presented again. */
  readonly replayableUntil: number;
}

export type ProofCheck = (proof: string, url: string, now: number) => VerifiedProof | { readonly code: string };

/** The certificate a client presented in the TLS handshake, judged against what its system declares. */
export type CertificateCheck = (
  certificate: Uint8Array,
  identities: readonly CertificateIdentity[],
  now: number,
) => { readonly x5t: string } | { readonly code: string };

export interface GrantPorts extends MintPorts {
  readonly clock: Clock;
  readonly directory: () => Directory;
  /** Of the same estate as the directory. */
  readonly policy: () => IssuancePolicy;
  readonly signals: IssuanceSignals;
  readonly signer: () => TokenSigner | null;
  /** For audiences that know only RSA; null: none is in use yet. */
  readonly legacySigner: (algorithm: LegacyAlgorithm) => AccessTokenSigner | null;
  readonly replay: ReplayGuard;
  readonly nonces: NonceBook;
  readonly checkProof: ProofCheck;
  readonly checkCertificate: CertificateCheck;
}

export interface Possession {
  readonly kind: "possession";
  readonly binding: Binding;
  readonly proof: VerifiedProof | null;
}

/** The machine grant: a client for itself. */
export const clientCredentials = (ports: GrantPorts): GrantHandler => ({
  grantType: "client_credentials",
  parameters: [],
  handle: (request) => grantClientCredentials(request, ports),
});

/** Answers one authenticated client_credentials request. Rejects only when the store or the log fails: then no token leaves. */
async function grantClientCredentials(request: GrantRequest, ports: GrantPorts): Promise<GrantAnswer> {
  const now = ports.clock.now();
  const holder = holderOf(request, now, ports);
  if (holder.kind === "error") return holder;
  const { client, possession } = holder;
  const verdict = decideIssuance({
    issuer: request.issuer,
    client,
    resources: request.resources,
    scope: request.scope,
    binding: possession.binding,
    grants: ports.directory().grants,
    now,
  });
  if (verdict.kind === "refuse") return refuseGrant(verdict.error, verdict.code, verdict.description);
  const decided = {
    decision: verdict.decision,
    client,
    grantType: "client_credentials",
    address: request.address,
  } as const;
  return giveToken(decided, () => burnRequest(request, possession, ports), ports);
}

/** An authenticated client and what its request proves to hold. */
export interface Holder {
  readonly kind: "holder";
  readonly client: IdentityClient;
  readonly possession: Possession;
}

/** Who asks, and with what in hand. A client that went away since it was authenticated is refused as if it had not been. */
export function holderOf(request: GrantRequest, now: number, ports: GrantPorts): Holder | GrantRefusal {
  const client = ports.directory().clients.get(request.clientId);
  if (client === undefined) return refuseGrant("invalid_client", "client-unknown", "client authentication failed");
  const possession = checkPossession(request, client.certificates, now, ports);
  return possession.kind === "error" ? possession : { kind: "holder", client, possession };
}

export interface SignableToken {
  readonly kind: "signable";
  readonly decision: ClearedDecision;
  /** For the access token alone: what its audience verifies. */
  readonly signer: AccessTokenSigner;
  /** For everything else that is signed. */
  readonly ownSigner: TokenSigner;
}

/** The policies' word about a token and the key that will sign it, or the refusal where they say no or no key may sign. */
export function makeSignable(
  decided: DecidedToken,
  ports: Pick<GrantPorts, "signer" | "legacySigner" | "policy" | "signals" | "directory" | "clock">,
): SignableToken | GrantRefusal {
  const cleared = clearToken(decided, ports.policy(), ports.signals);
  if (cleared.kind === "error") return cleared;
  const { decision } = cleared;
  const ownSigner = ports.signer();
  const algorithm = legacyAlgorithmFor(decision, ports.directory(), ports.clock.now());
  const signer = algorithm === null ? ownSigner : ports.legacySigner(algorithm);
  return signer === null || ownSigner === null
    ? refuseGrant("temporarily_unavailable", "no-active-key", "no signing key is in use yet; try again")
    : { kind: "signable", decision, signer, ownSigner };
}

/**
 * The token of a decision that needs nothing from the store: `burn` uses up what the request may use once, and refuses where it was used before.
 * Rejects when store or log fail: then no token leaves.
 */
export async function giveToken(
  decided: DecidedToken,
  burn: () => Promise<GrantRefusal | null>,
  ports: GrantPorts,
): Promise<GrantAnswer> {
  const signable = makeSignable(decided, ports);
  if (signable.kind === "error") return signable;
  const { decision, signer } = signable;
  const burnt = await burn();
  if (burnt !== null) return burnt;
  const { token, claims } = await mint(decision, signer, ports);
  return {
    kind: "token",
    body: {
      access_token: token,
      token_type: decision.binding.kind === "dpop" ? "DPoP" : "Bearer",
      expires_in: decision.lifetimeSeconds,
      ...(claims.scope === undefined ? {} : { scope: claims.scope }),
    },
  };
}

/**
 * Uses up the id of a proof; null when it was fresh. Call it last, so that a refused request does not cost the client its proof; the id is kept
 * under its key, so that nobody burns another's.
 */
export async function burnProof(
  issuer: string,
  { proof }: Possession,
  ports: Pick<GrantPorts, "replay">,
): Promise<GrantRefusal | null> {
  if (proof === null) return null;
  const fresh = await ports.replay.claim("dpop", replayKey(issuer, proof.jkt, proof.jti), proof.replayableUntil);
  return fresh ? null : proofReplayed;
}

/** `burnProof`, and the id of the assertion that authenticated the client where that was left to us. */
async function burnRequest(
  { issuer, assertion }: GrantRequest,
  possession: Possession,
  ports: Pick<GrantPorts, "replay">,
): Promise<GrantRefusal | null> {
  const claim = assertion?.take() ?? null;
  const { proof } = possession;
  if (claim === null) return burnProof(issuer, possession, ports);
  if (proof === null)
    return (await ports.replay.claimAssertion("assertion", claim.key, claim)) ? null : assertionReplayed;
  const key = replayKey(issuer, proof.jkt, proof.jti);
  const burnt = await ports.replay.claimWithProof(claim, { key, until: proof.replayableUntil });
  if (burnt === "assertion-replayed") return assertionReplayed;
  return burnt === "fresh" ? null : proofReplayed;
}

const assertionReplayed = refuseGrant("invalid_client", "assertion-replayed", "client authentication failed");
const proofReplayed = refuseGrant("invalid_dpop_proof", "dpop-replayed", "the DPoP proof is not acceptable");

/** What the request proves to hold: a DPoP key, the certificate of its system, or nothing. The proof's id is not used up yet: burnProof. */
export function checkPossession(
  request: GrantRequest,
  identities: readonly CertificateIdentity[],
  now: number,
  ports: Pick<GrantPorts, "checkProof" | "checkCertificate" | "nonces">,
): Possession | GrantRefusal {
  const [proof, ...others] = request.proofs;
  if (others.length > 0) return refuseGrant("invalid_dpop_proof", "dpop-many", "the DPoP proof is not acceptable");
  if (proof !== undefined) {
    const checked = ports.checkProof(proof, request.url, now);
    const challenge = refuseGrant(
      "use_dpop_nonce",
      "dpop-nonce",
      "repeat the request with a proof over the nonce in the DPoP-Nonce field",
    );
    if ("code" in checked)
      return checked.code === "dpop-nonce"
        ? challenge
        : refuseGrant("invalid_dpop_proof", checked.code, "the DPoP proof is not acceptable");
    if (!ports.nonces.accepts(checked.nonce)) return challenge;
    return { kind: "possession", binding: { kind: "dpop", jkt: checked.jkt }, proof: checked };
  }
  if (request.certificate !== null && identities.length > 0) {
    const checked = ports.checkCertificate(request.certificate, identities, now);
    // A certificate that is not the declared one is never quietly ignored: the client would get a weaker token than it asked for.
    if ("code" in checked)
      return refuseGrant(
        "invalid_request",
        checked.code,
        "the TLS client certificate is not the one declared for this client's system",
      );
    return { kind: "possession", binding: { kind: "mtls", x5t: checked.x5t }, proof: null };
  }
  return { kind: "possession", binding: { kind: "none" }, proof: null };
}
