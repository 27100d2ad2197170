// Promises that a key or certificate a token is bound to was really held by who asked: proof by signature, certificate by the TLS handshake.
// Trusts verifyDpopProof and OpenSSL's handshake; chains are judged by gateways at each use. RFC 9449 §4.3, RFC 8705 §3, docs/identity.md.
import { type Certificate, certificateThumbprint, readCertificate } from "@sallyport/kernel/x509/certificate.ts";
import { DerFault } from "@sallyport/kernel/x509/der.ts";
import type { CertificateIdentity } from "@sallyport/protocol/snapshot/objects.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import { dpopAgeMsMax, verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import type { CertificateCheck, ProofCheck } from "./token-grant.ts";

/** As far ahead as clients' clocks may be for their assertions (FAPI 2.0 Security Profile §5.3.2.1); the nonce says when a proof was made. */
const proofAheadMsMax = 10_000;

/** The shared verifier for proofs sent to a token endpoint, where there is no access token yet. */
export function createProofCheck(crypto: TokenCrypto): ProofCheck {
  return (proof, url, now) => {
    const rules = { method: "POST", url, ath: null, now, aheadMsMax: proofAheadMsMax };
    const verified = verifyDpopProof(proof, rules, crypto);
    if (verified.kind === "deny") return { code: verified.code };
    return {
      jkt: verified.jkt,
      jti: verified.jti,
      nonce: verified.nonce,
      // From its own time on, not from ours: a proof dated ahead may be shown that much longer.
      replayableUntil: verified.issuedAtMs + dpopAgeMsMax + proofAheadMsMax,
    };
  };
}

/**
 * Is this certificate the one the client's system declares? The handshake has proven the key; here the name and the dates are judged.
 * A token bound to it is worth nothing until a gateway has built its chain to the declared bundle.
 */
export const checkCertificate: CertificateCheck = (der, identities, now) => {
  let certificate: Certificate;
  try {
    certificate = readCertificate(der);
  } catch (fault) {
    if (fault instanceof DerFault) return { code: "certificate-malformed" };
    throw fault;
  }
  if (now < certificate.notBeforeMs || now > certificate.notAfterMs) return { code: "certificate-expired" };
  const x5t = certificateThumbprint(der);
  return identities.some((identity) => isNamed(identity, certificate, x5t))
    ? { x5t }
    : { code: "certificate-mismatch" };
};

/** Exactly one name equals the declared one; a name that stands twice is a certificate nobody should have issued. */
function isNamed(identity: CertificateIdentity, certificate: Certificate, x5t: string): boolean {
  if (identity.kind === "x5t") return identity.value === x5t;
  return certificate.names.filter((name) => name.kind === identity.kind && name.value === identity.value).length === 1;
}
