// Promises the client_credentials grant: proof checked, target and scope decided, replay refused, token minted and recorded, in that order.
// Trusts that the client named here was authenticated. Specified in RFC 6749 §4.4, RFC 9449 §5, RFC 8705 §3, RFC 8707.
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { CertificateIdentity } from "@sallyport/protocol/snapshot/objects.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { type Binding, decideIssuance } from "./decide-issuance.ts";
import type { Directory } from "./directory.ts";
import { type MintPorts, mint } from "./mint.ts";
import type { NonceBook } from "./nonce.ts";
import { type ReplayGuard, replayKey } from "./replay.ts";

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
  readonly signer: () => TokenSigner | null;
  readonly replay: ReplayGuard;
  readonly nonces: NonceBook;
  readonly checkProof: ProofCheck;
  readonly checkCertificate: CertificateCheck;
}

export interface GrantRequest {
  readonly issuer: string;
  readonly clientId: string;
  readonly resources: readonly string[];
  readonly scope: string | undefined;
  /** Every DPoP field value of the request. */
  readonly proofs: readonly string[];
  /** DER of the TLS client certificate. */
  readonly certificate: Uint8Array | null;
}

export type TokenError =
  | "invalid_request"
  | "invalid_client"
  | "invalid_target"
  | "invalid_scope"
  | "invalid_dpop_proof"
  | "use_dpop_nonce"
  | "temporarily_unavailable";

export type GrantAnswer =
  | { readonly kind: "token"; readonly body: Readonly<Record<string, string | number>> }
  | { readonly kind: "error"; readonly error: TokenError; readonly description: string; readonly code: string };

const fail = (error: TokenError, code: string, description: string): GrantAnswer => ({
  kind: "error",
  error,
  code,
  description,
});

type Possession = { readonly binding: Binding; readonly proof: VerifiedProof | null } | GrantAnswer;

/** Answers one authenticated client_credentials request. Rejects only when the store or the log fails: then no token leaves. */
export async function grantClientCredentials(request: GrantRequest, ports: GrantPorts): Promise<GrantAnswer> {
  const now = ports.clock.now();
  const directory = ports.directory();
  const client = directory.clients.get(request.clientId);
  if (client === undefined) return fail("invalid_client", "client-unknown", "client authentication failed");
  const possession = checkPossession(request, client.certificates, now, ports);
  if ("kind" in possession) return possession;
  const verdict = decideIssuance({
    issuer: request.issuer,
    client,
    resources: request.resources,
    scope: request.scope,
    binding: possession.binding,
    grants: directory.grants,
    now,
  });
  if (verdict.kind === "refuse") return fail(verdict.error, verdict.code, verdict.description);
  const signer = ports.signer();
  if (signer === null)
    return fail("temporarily_unavailable", "no-active-key", "no signing key is in use yet; try again");
  // Burnt last, so that a refused request does not cost the client its proof, and keyed by key and id, so that nobody burns another's.
  if (
    possession.proof !== null &&
    !(await ports.replay.claim(
      "dpop",
      replayKey(request.issuer, possession.proof.jkt, possession.proof.jti),
      possession.proof.replayableUntil,
    ))
  ) {
    return fail("invalid_dpop_proof", "dpop-replayed", "the DPoP proof is not acceptable");
  }
  const minted = await mint(verdict.decision, signer, ports);
  return {
    kind: "token",
    body: {
      access_token: minted.token,
      token_type: possession.binding.kind === "dpop" ? "DPoP" : "Bearer",
      expires_in: verdict.decision.lifetimeSeconds,
      ...(minted.claims.scope === undefined ? {} : { scope: minted.claims.scope }),
    },
  };
}

function checkPossession(
  request: GrantRequest,
  identities: readonly CertificateIdentity[],
  now: number,
  ports: GrantPorts,
): Possession {
  const [proof, ...others] = request.proofs;
  if (others.length > 0) return fail("invalid_dpop_proof", "dpop-many", "the DPoP proof is not acceptable");
  if (proof !== undefined) {
    const checked = ports.checkProof(proof, `${request.issuer}/token`, now);
    const challenge = fail(
      "use_dpop_nonce",
      "dpop-nonce",
      "repeat the request with a proof over the nonce in the DPoP-Nonce field",
    );
    if ("code" in checked)
      return checked.code === "dpop-nonce"
        ? challenge
        : fail("invalid_dpop_proof", checked.code, "the DPoP proof is not acceptable");
    if (!ports.nonces.accepts(checked.nonce)) return challenge;
    return { binding: { kind: "dpop", jkt: checked.jkt }, proof: checked };
  }
  if (request.certificate !== null && identities.length > 0) {
    const checked = ports.checkCertificate(request.certificate, identities, now);
    // A certificate that is not the declared one is never quietly ignored: the client would get a weaker token than it asked for.
    if ("code" in checked)
      return fail(
        "invalid_request",
        checked.code,
        "the TLS client certificate is not the one declared for this client's system",
      );
    return { binding: { kind: "mtls", x5t: checked.x5t }, proof: null };
  }
  return { binding: { kind: "none" }, proof: null };
}
