// Promises one opaque name here for each subject of each issuer outside, the same in control and in every gateway, that says neither who nor where from.
// Trusts that issuer and sub were verified. Linked by (issuer, sub) only, never by an e-mail address. docs/identity/token-exchange.md.
import { encodeBase64url } from "./base64url.ts";
import type { TokenCrypto } from "./crypto.ts";
import { utf8 } from "./json.ts";

const digest = (parts: readonly string[], crypto: Pick<TokenCrypto, "sha256">): string =>
  // Lengths first, so that ("ab", "c") and ("a", "bc") differ.
  encodeBase64url(crypto.sha256(utf8(parts.map((part) => `${part.length}:${part}`).join(""))).subarray(0, 16));

/** `ext_` and 128 bits, base64url. */
export function outsideSubject(issuer: string, sub: string, crypto: Pick<TokenCrypto, "sha256">): string {
  return `ext_${digest(["subject", issuer, sub], crypto)}`;
}

/** What stands for an outside token in a lineage: by its `jti`, or by what is signed of its text where it has none: a signature may have two spellings. 128 bits, base64url. */
export function outsideTokenId(
  token: { readonly issuer: string; readonly jti: string | undefined; readonly text: string },
  crypto: Pick<TokenCrypto, "sha256">,
): string {
  const { issuer, jti, text } = token;
  return digest(
    jti === undefined ? ["text", issuer, text.slice(0, text.lastIndexOf("."))] : ["jti", issuer, jti],
    crypto,
  );
}

/** The same for a token that says nothing by itself and whose issuer names no `jti`. `hash`: base64url SHA-256 of the whole token. */
export function opaqueTokenId(issuer: string, hash: string, crypto: Pick<TokenCrypto, "sha256">): string {
  return digest(["opaque", issuer, hash], crypto);
}
