// Promises RSA keys for access tokens of audiences that know nothing better: made outside the main thread, of one size, one algorithm per key.
// Trusts OpenSSL. Never used for anything but those tokens. docs/identity/keys.md "Audiences that know only RSA", RFC 7518 §3.3, §3.5, RFC 7638.
import { constants, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import { type LegacyAlgorithm, legacyAlgorithms } from "@sallyport/protocol/token/claims.ts";
import type { AccessTokenSigner, LegacyVerifyKey } from "@sallyport/protocol/token/crypto.ts";
import { isJsonObject } from "@sallyport/protocol/token/json.ts";
import { outsideThumbprint, type RsaJwk, rsaOf } from "@sallyport/protocol/token/outside-jwk.ts";
import { importOutsideKey } from "./outside-keys.ts";
import { sha256 } from "./token-crypto.ts";

/** 3,072 bits would cost seven times as much to sign with, on the thread that answers; the end date is before 2,048 are too few. */
export const legacyBits = 2048;
const exponent = 65_537;
/** As long as the hash (RFC 7518 §3.5). */
const saltBytes = 32;

export interface LegacySigner extends AccessTokenSigner {
  readonly alg: LegacyAlgorithm;
  readonly jwk: RsaJwk;
}

export interface FreshLegacyKey {
  readonly signer: LegacySigner;
  /** PKCS #8; seal it before it touches a disk. */
  readonly pem: string;
}

/** Makes a key pair on OpenSSL's thread: it takes a tenth of a second and more. */
export async function generateLegacySigner(alg: LegacyAlgorithm): Promise<FreshLegacyKey> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", {
    modulusLength: legacyBits,
    publicExponent: exponent,
  });
  return { signer: signerOf(privateKey, alg), pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

/** Signer over a PKCS #8 PEM of an RSA key. Throws TypeError for any other key or size. */
export function legacySignerFromPem(pem: string, alg: LegacyAlgorithm): LegacySigner {
  return signerOf(createPrivateKey(pem), alg);
}

function signerOf(key: KeyObject, alg: LegacyAlgorithm): LegacySigner {
  const jwk = readLegacyJwk(createPublicKey(key).export({ format: "jwk" }));
  if (jwk === null || key.asymmetricKeyDetails?.modulusLength !== legacyBits)
    throw new TypeError(`A legacy signing key must be RSA of ${legacyBits} bits.`);
  const options =
    alg === "RS256"
      ? { key, padding: constants.RSA_PKCS1_PADDING }
      : { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: saltBytes };
  return { kid: outsideThumbprint(jwk, { sha256 }), alg, jwk, sign: (data) => sign("sha256", data, options) };
}

function readLegacyJwk(value: unknown): RsaJwk | null {
  return isJsonObject(value) && value.kty === "RSA" ? rsaOf(value) : null;
}

/** Verifier of one key as it was pushed; null where its members, its name or its algorithm do not fit together. */
export function importLegacyKey(entry: {
  readonly kid: string;
  readonly alg: string;
  readonly jwk: unknown;
}): LegacyVerifyKey | null {
  const alg = legacyAlgorithms.find((known) => known === entry.alg);
  const jwk = readLegacyJwk(entry.jwk);
  if (alg === undefined || jwk === null || outsideThumbprint(jwk, { sha256 }) !== entry.kid) return null;
  const key = importOutsideKey({ kid: entry.kid, alg, jwk });
  return key === null ? null : { kid: key.kid, alg, verify: key.verify };
}
