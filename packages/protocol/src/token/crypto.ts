// Promises the edge between token rules and cryptography: everything here is synchronous, because it is on the hot path.
// Trusts whoever implements it (kernel/token-crypto.ts, sdk/node-crypto.ts) to be right; Wycheproof vectors judge them. Specified in docs/formats/token.md §1-2.
import type { LegacyAlgorithm, SigningAlgorithm } from "./claims.ts";
import type { PublicJwk } from "./jwk.ts";

/** A public key that is ready to verify. It knows its algorithm; nothing a token says can change it. */
export interface VerifyKey {
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  /** True only for a correct signature of exactly 64 bytes (R ‖ S for ES256); never throws. */
  verify(data: Uint8Array, signature: Uint8Array): boolean;
}

export interface TokenCrypto {
  sha256(bytes: Uint8Array): Uint8Array;
  /** null when the members do not make a key (a point off the curve). Implementations may cache by thumbprint within a named bound. */
  importKey(jwk: PublicJwk): VerifyKey | null;
}

/** A private key that never leaves its holder. */
export interface TokenSigner {
  /** RFC 7638 thumbprint of `jwk`. */
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly jwk: PublicJwk;
  /** 64 bytes; R ‖ S for ES256. */
  sign(data: Uint8Array): Uint8Array;
}

/** An RSA key of ours, for access tokens of some audiences alone. `verify` is true only for a signature as long as the modulus. */
export interface LegacyVerifyKey extends Pick<VerifyKey, "kid" | "verify"> {
  readonly alg: LegacyAlgorithm;
}

export interface LegacyTokenKeys {
  find(kid: string): LegacyVerifyKey | undefined;
}

/** What access tokens of one audience are signed with. */
export interface AccessTokenSigner extends Pick<TokenSigner, "kid" | "sign"> {
  readonly alg: SigningAlgorithm | LegacyAlgorithm;
}

/** The keys one kind of token may be signed with. Unknown is undefined; nothing is ever fetched here. */
export interface TokenKeys {
  find(kid: string): VerifyKey | undefined;
}
