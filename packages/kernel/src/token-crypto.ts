// Promises synchronous ES256 and Ed25519 over node:crypto for everything in protocol that takes crypto as a port.
// Trusts OpenSSL; Wycheproof vectors judge it in token-crypto.test.ts. Specified in docs/formats/token.md §1-2.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import type { SigningAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { TokenCrypto, TokenSigner, VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import { algorithmOf, type PublicJwk, parsePublicJwk, thumbprint } from "@sallyport/protocol/token/jwk.ts";

/** Imported keys kept by their coordinates. A DPoP caller chooses its key, so without a bound a flood of keys would be a leak. */
export const importedKeysMax = 4096;

/** Both algorithms have signatures of this many bytes; OpenSSL must not be asked about any other length. */
const signatureBytes = 64;

export function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}

function verifierOf(kid: string, alg: SigningAlgorithm, key: KeyObject): VerifyKey {
  if (alg === "EdDSA") {
    return {
      kid,
      alg,
      verify: (data, signature) => signature.length === signatureBytes && verify(null, data, key, signature),
    };
  }
  const options = { key, dsaEncoding: "ieee-p1363" } as const;
  return {
    kid,
    alg,
    verify: (data, signature) => signature.length === signatureBytes && verify("sha256", data, options, signature),
  };
}

/** Makes the port with its own key cache of at most `importedKeysMax` keys; the oldest import leaves first. */
export function createTokenCrypto(): TokenCrypto {
  const imported = new Map<string, VerifyKey>();
  return {
    sha256,
    importKey(jwk: PublicJwk): VerifyKey | null {
      // Coordinates have one spelling (parsePublicJwk), and only a key on P-256 has two: equal texts are equal keys.
      const name = jwk.kty === "EC" ? `${jwk.x}.${jwk.y}` : jwk.x;
      const known = imported.get(name);
      if (known !== undefined) return known;
      const kid = thumbprint(jwk, { sha256 });
      let key: VerifyKey;
      try {
        key = verifierOf(kid, algorithmOf(jwk), createPublicKey({ key: { ...jwk }, format: "jwk" }));
      } catch {
        // The only way in is a well-formed JWK, so what fails here is a point off the curve.
        return null;
      }
      if (imported.size >= importedKeysMax) {
        for (const oldest of imported.keys()) {
          imported.delete(oldest);
          break;
        }
      }
      imported.set(name, key);
      return key;
    },
  };
}

function signerOf(key: KeyObject): TokenSigner {
  const jwk = parsePublicJwk(createPublicKey(key).export({ format: "jwk" }));
  if (jwk === null) throw new TypeError("A signing key must be P-256 or Ed25519.");
  const alg = algorithmOf(jwk);
  const kid = thumbprint(jwk, { sha256 });
  const options = { key, dsaEncoding: "ieee-p1363" } as const;
  return { kid, alg, jwk, sign: (data) => (alg === "EdDSA" ? sign(null, data, key) : sign("sha256", data, options)) };
}

/** Signer over a PKCS #8 PEM of a P-256 or Ed25519 private key. Throws TypeError for any other key. */
export function signerFromPem(pem: string): TokenSigner {
  return signerOf(createPrivateKey(pem));
}

/** Signer over a private JWK; the object is not kept. Throws TypeError for any other key than P-256 or Ed25519. */
export function signerFromJwk(jwk: Readonly<Record<string, unknown>>): TokenSigner {
  return signerOf(createPrivateKey({ key: { ...jwk }, format: "jwk" }));
}

export interface FreshKey {
  readonly signer: TokenSigner;
  /** PKCS #8; seal it before it touches a disk. */
  readonly pem: string;
}

/** Makes a key pair on the spot. */
export function generateSigner(alg: SigningAlgorithm): FreshKey {
  const { privateKey } =
    alg === "EdDSA" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { signer: signerOf(privateKey), pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}
