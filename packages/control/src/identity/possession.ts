// Promises that a key or certificate a token is bound to was really held by who asked: proof by signature, certificate by the TLS handshake.
// Trusts verifyDpopProof and OpenSSL's handshake; chains are judged by gateways at each use. RFC 9449 §4.3, RFC 8705 §3, docs/identity.md.
import { createHash, X509Certificate } from "node:crypto";
import type { CertificateIdentity } from "@sallyport/protocol/snapshot/objects.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import { dpopAgeMsMax, dpopAheadMsMax, verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import type { CertificateCheck, ProofCheck } from "./token-grant.ts";

/** The shared verifier for proofs sent to a token endpoint, where there is no access token yet. */
export function createProofCheck(crypto: TokenCrypto): ProofCheck {
  return (proof, url, now) => {
    const verified = verifyDpopProof(proof, { method: "POST", url, ath: null, now }, crypto);
    if (verified.kind === "deny") return { code: verified.code };
    return {
      jkt: verified.jkt,
      jti: verified.jti,
      nonce: verified.nonce,
      // From its own time on, not from ours: a proof dated ahead may be shown that much longer.
      replayableUntil: verified.issuedAtMs + dpopAgeMsMax + dpopAheadMsMax,
    };
  };
}

/**
 * Is this certificate the one the client's system declares? The handshake has proven the key; here the name and the dates are judged.
 * A token bound to it is worth nothing until a gateway has built its chain to the declared bundle.
 */
export const checkCertificate: CertificateCheck = (certificate, identities, now) => {
  const x5t = createHash("sha256").update(certificate).digest("base64url");
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(certificate);
  } catch {
    return { code: "certificate-malformed" };
  }
  if (now < Date.parse(parsed.validFrom) || now >= Date.parse(parsed.validTo)) return { code: "certificate-expired" };
  const names = alternativeNames(parsed.subjectAltName ?? "");
  return identities.some((identity) => isNamed(identity, names, x5t)) ? { x5t } : { code: "certificate-mismatch" };
};

interface AlternativeName {
  readonly kind: string;
  readonly value: string;
}

function isNamed(identity: CertificateIdentity, names: readonly AlternativeName[], x5t: string): boolean {
  if (identity.kind === "x5t") return identity.value === x5t;
  const wanted = identity.kind === "uri" ? "URI" : "DNS";
  const fold = (value: string): string => (identity.kind === "dns" ? value.toLowerCase() : value);
  return names.filter((name) => name.kind === wanted && fold(name.value) === fold(identity.value)).length === 1;
}

/** Node prints `URI:a, DNS:b` and quotes, as a JSON string, any value in which a comma could lie about where it ends. */
function alternativeNames(text: string): AlternativeName[] {
  const names: AlternativeName[] = [];
  for (const [, kind = "", quoted, plain] of text.matchAll(/([A-Za-z ]+):(?:("(?:[^"\\]|\\.)*")|([^,"]*))(?:, |$)/g)) {
    names.push({ kind, value: quoted === undefined ? (plain ?? "") : String(JSON.parse(quoted)) });
  }
  return names;
}
