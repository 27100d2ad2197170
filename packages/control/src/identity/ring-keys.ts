// Promises the public keys of a ring in the shape the shared verifiers take. Trusts the ring. Specified in docs/formats/token.md §2.
import type { TokenCrypto, TokenKeys } from "@sallyport/protocol/token/crypto.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import type { RingView } from "./issuer.ts";

/** Keys of a ring: next, active and retiring. */
export function ringKeys(ring: Pick<RingView, "keys">, crypto: TokenCrypto): TokenKeys {
  return {
    find: (kid) => {
      const jwk = parsePublicJwk(ring.keys.find((key) => key.kid === kid)?.jwk);
      return jwk === null ? undefined : (crypto.importKey(jwk) ?? undefined);
    },
  };
}
