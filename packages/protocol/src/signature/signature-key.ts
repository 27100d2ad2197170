// Promises that only a public key of an algorithm that is taken passes, and that it knows its algorithm and its name. Trusts nothing: whether its members make
// a key is judged where it is imported (kernel/signature-keys.ts). Specified by RFC 9421 §3.3 and docs/identity/message-signatures.md.
import { claimId } from "../token/claim-types.ts";
import type { TokenCrypto } from "../token/crypto.ts";
import { isJsonObject } from "../token/json.ts";
import { type PublicJwk, parsePublicJwk } from "../token/jwk.ts";
import { outsideThumbprint, type RsaJwk, rsaOf } from "../token/outside-jwk.ts";

/** Names of RFC 9421 §6.2.2. Whoever can verify an HMAC can make one, so there is none. */
export type SignatureAlgorithm = "ed25519" | "ecdsa-p256-sha256" | "rsa-pss-sha512";

/** One public key of a system. */
export interface SignatureKey {
  /** `keyid` of its signatures. */
  readonly keyid: string;
  readonly alg: SignatureAlgorithm;
  readonly jwk: PublicJwk | RsaJwk;
}

/** How a system signs what it sends. */
export interface SignaturesObject {
  /** By `keyid`, each of one system of the environment. */
  readonly keys: readonly SignatureKey[];
  /** Fields (lower case) that are covered where a request has them, besides what always is. */
  readonly covers: readonly string[];
  /** Signed with a nonce of this gateway; absent: with any, or none. */
  readonly nonce?: "gateway";
}

/** RSA keys longer than this cost more than anybody gains. */
const rsaUnitsMax = 700;

/** A key of a JWKS; null where it is private, of another kind, or meant for something else. Without `kid` it goes by its RFC 7638 thumbprint. */
export function readSignatureKey(value: unknown, crypto: Pick<TokenCrypto, "sha256">): SignatureKey | null {
  if (!isJsonObject(value)) return null;
  const { kid, alg, use, ...rest } = value;
  if (use !== undefined && use !== "sig") return null;
  const named = kid === undefined ? undefined : claimId(kid, 256);
  if (kid !== undefined && named === undefined) return null;
  if (rest.kty === "RSA") {
    const { kty: _rsa, n, e, ...others } = rest;
    const jwk = rsaOf({ n, e });
    if (jwk === null || jwk.n.length > rsaUnitsMax || Object.keys(others).length > 0) return null;
    if (alg !== undefined && alg !== "PS512") return null;
    return { keyid: named ?? outsideThumbprint(jwk, crypto), alg: "rsa-pss-sha512", jwk };
  }
  // RFC 9864 gives Ed25519 a name of its own for the same thing.
  const jwk = parsePublicJwk({ ...rest, ...(alg === undefined ? {} : { alg: alg === "Ed25519" ? "EdDSA" : alg }) });
  if (jwk === null) return null;
  const algorithm = jwk.kty === "EC" ? "ecdsa-p256-sha256" : "ed25519";
  return { keyid: named ?? outsideThumbprint(jwk, crypto), alg: algorithm, jwk };
}
