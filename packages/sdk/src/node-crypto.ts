// Promises keys for clients and services over node:crypto: made here, kept by the caller, published only by their public half.
// Trusts OpenSSL. It mirrors kernel/token-crypto.ts, which the SDK may not import; Wycheproof judges both. Specified in docs/formats/token.md §1-2.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import type { SigningAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { TokenCrypto, TokenSigner, VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import { algorithmOf, type PublicJwk, parsePublicJwk, thumbprint } from "@sallyport/protocol/token/jwk.ts";

/** Bytes of an ES256 (R ‖ S) and of an Ed25519 signature. */
const signatureBytes = 64;

// The one-shot `hash` came with Node 20.12; this file runs on every 20.
const sha256 = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

function importKey(jwk: PublicJwk): VerifyKey | null {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: { ...jwk }, format: "jwk" });
  } catch {
    // The JWK is well-formed by type, so what fails here is a point off the curve.
    return null;
  }
  const alg = algorithmOf(jwk);
  const digest = alg === "EdDSA" ? null : "sha256";
  const options = { key, dsaEncoding: "ieee-p1363" } as const;
  return {
    kid: thumbprint(jwk, { sha256 }),
    alg,
    verify: (data, signature) => signature.length === signatureBytes && verify(digest, data, options, signature),
  };
}

export const nodeCrypto: TokenCrypto = { sha256, importKey };

/** Signer over a private KeyObject. Throws TypeError for any other key than P-256 or Ed25519. */
export function signerFromKeyObject(key: KeyObject): TokenSigner {
  if (key.type !== "private") throw new TypeError(`A client key must be a private key; this one is ${key.type}.`);
  const jwk = parsePublicJwk(createPublicKey(key).export({ format: "jwk" }));
  if (jwk === null) throw new TypeError("A client key must be P-256 (ES256) or Ed25519 (EdDSA).");
  const alg = algorithmOf(jwk);
  const digest = alg === "EdDSA" ? null : "sha256";
  const options = { key, dsaEncoding: "ieee-p1363" } as const;
  return { kid: thumbprint(jwk, { sha256 }), alg, jwk, sign: (data) => sign(digest, data, options) };
}

/** Signer over a PKCS #8 PEM text. Throws TypeError for any other key than P-256 or Ed25519. */
export function signerFromPem(pem: string): TokenSigner {
  return signerFromKeyObject(createPrivateKey(pem));
}

/** Signer over a private JWK; the object is not kept. Throws TypeError for any other key than P-256 or Ed25519. */
export function signerFromJwk(jwk: Readonly<Record<string, unknown>>): TokenSigner {
  return signerFromKeyObject(createPrivateKey({ key: { ...jwk }, format: "jwk" }));
}

export interface ClientKey {
  readonly signer: TokenSigner;
  /** PKCS #8. Keep it in a file that only its owner can read; nothing else needs it. */
  readonly pem: string;
}

/** Makes a key pair on the spot. ES256 unless you ask for EdDSA. */
export function generateClientKey(alg: SigningAlgorithm = "ES256"): ClientKey {
  const { privateKey } =
    alg === "EdDSA" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    signer: signerFromKeyObject(privateKey),
    pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

export interface PublicJwks {
  readonly keys: readonly Readonly<Record<string, string>>[];
}

/** The public JWKS to declare in a system's YAML (`identity: { keys: [...] }`). Holds nothing private. */
export function publicJwks(signers: readonly TokenSigner[]): PublicJwks {
  return { keys: signers.map(({ jwk, kid, alg }) => ({ ...jwk, kid, alg, use: "sig" })) };
}
