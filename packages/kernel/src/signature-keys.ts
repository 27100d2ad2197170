// Promises synchronous verification of message signatures: Ed25519, ECDSA over P-256 and RSA-PSS over node:crypto.
// Trusts OpenSSL; the examples of RFC 9421 appendix B judge it in signature-keys.test.ts. docs/identity/message-signatures.md.
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import type { SignatureVerifyKey } from "@sallyport/protocol/signature/message-signature.ts";
import type { SignatureAlgorithm, SignatureKey } from "@sallyport/protocol/signature/signature-key.ts";

/** Null when its members make no key (a point off the curve). */
export function importSignatureKey({ alg, jwk }: SignatureKey): SignatureVerifyKey | null {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: { ...jwk }, format: "jwk" });
  } catch {
    return null;
  }
  // OpenSSL must not be asked about a signature of any other length.
  const octets = jwk.kty === "RSA" ? Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8) : 64;
  const check = checkOf(alg, key);
  return { alg, verify: (data, signature) => signature.length === octets && check(data, signature) };
}

function checkOf(alg: SignatureAlgorithm, key: KeyObject): (data: Uint8Array, signature: Uint8Array) => boolean {
  switch (alg) {
    case "ed25519":
      return (data, signature) => verify(null, data, key, signature);
    case "ecdsa-p256-sha256": {
      const options = { key, dsaEncoding: "ieee-p1363" } as const;
      return (data, signature) => verify("sha256", data, options, signature);
    }
    case "rsa-pss-sha512": {
      // §3.3.1: the salt has 64 octets, not as many as the signature says.
      const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 };
      return (data, signature) => verify("sha512", data, options, signature);
    }
  }
}
