// Promises that a client authenticates with a signature by one of its registered keys and with nothing else; a public one with nothing at all.
// Trusts the keys of the directory only after reading them itself. Rules: RFC 7523 §2.2, docs/identity.md "Getting a token".
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { algorithmOf, parsePublicJwk, thumbprint } from "@sallyport/protocol/token/jwk.ts";
import { type ClientKey, keysInForce } from "./directory.ts";
import type { ClientAuthentication } from "./seams.ts";

export const privateKeyJwt: ClientAuthentication = {
  methods: ["private_key_jwt", "none"],
  metadataOf: (client, now) => {
    if (client.isPublic) return { token_endpoint_auth_method: "none" };
    const keys = keysInForce(client, now).flatMap(usableKey);
    return keys.length === 0 ? null : { token_endpoint_auth_method: "private_key_jwt", jwks: { keys } };
  },
};

/** The bare public members with the algorithm pinned by the key, or nothing: one bad key may not take its neighbours along. */
function usableKey(key: ClientKey): readonly Record<string, unknown>[] {
  const jwk = parsePublicJwk(key.jwk);
  if (jwk === null) return [];
  // A key registered without a name goes by its RFC 7638 thumbprint, which is what most libraries send as kid.
  const kid = typeof key.jwk["kid"] === "string" ? key.jwk["kid"] : thumbprint(jwk, { sha256 });
  return [{ ...jwk, kid, alg: algorithmOf(jwk), use: "sig" }];
}
