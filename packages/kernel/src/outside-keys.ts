// Promises synchronous verification with keys of issuers outside: ES256, Ed25519, RS256 and PS256 over node:crypto.
// Trusts OpenSSL; jose judges it in outside-keys.test.ts. Of our own issuers only legacy-keys.ts stands on it. docs/formats/outside-token.md §2.
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import type { OutsideJwk } from "@sallyport/protocol/token/outside-jwk.ts";
import type { OutsideKey } from "@sallyport/protocol/token/outside-token.ts";

/** Verifier of one key; null when its members make no key (a point off the curve). */
export function importOutsideKey({ kid, alg, jwk }: OutsideJwk): OutsideKey | null {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: { ...jwk }, format: "jwk" });
  } catch {
    return null;
  }
  // A signature is as long as the modulus; OpenSSL must not be asked about any other length.
  const bytes = jwk.kty === "RSA" ? Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8) : 64;
  const check = checkOf(alg, key);
  return { kid, alg, verify: (data, signature) => signature.length === bytes && check(data, signature) };
}

/** The keys of one issuer by name. Keys that cannot be imported are unknown. */
export function importOutsideKeys(keys: readonly OutsideJwk[]): ReadonlyMap<string, OutsideKey> {
  const imported = keys.map(importOutsideKey).filter((key) => key !== null);
  return new Map(imported.map((key) => [key.kid, key]));
}

function checkOf(alg: OutsideJwk["alg"], key: KeyObject): (data: Uint8Array, signature: Uint8Array) => boolean {
  switch (alg) {
    case "EdDSA":
      return (data, signature) => verify(null, data, key, signature);
    case "ES256":
      return (data, signature) => verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature);
    case "RS256":
      return (data, signature) => verify("sha256", data, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
    case "PS256":
      // RFC 7518 §3.5: the salt is as long as the hash, not whatever the signature says.
      return (data, signature) =>
        verify("sha256", data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature);
  }
}
