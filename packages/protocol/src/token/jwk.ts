// Promises that only a public P-256 or Ed25519 key passes, and that it has one name. Trusts nothing: the curve check is importKey's.
// Specified by RFC 7517, RFC 8037, RFC 7638 and docs/formats/token.md §2.
import { encodeBase64url, isBase64urlOf32 } from "./base64url.ts";
import type { SigningAlgorithm } from "./claims.ts";
import type { TokenCrypto } from "./crypto.ts";
import { isJsonObject, utf8 } from "./json.ts";

export type PublicJwk =
  | { readonly kty: "EC"; readonly crv: "P-256"; readonly x: string; readonly y: string }
  | { readonly kty: "OKP"; readonly crv: "Ed25519"; readonly x: string };

const ecMembers: ReadonlySet<string> = new Set(["kty", "crv", "x", "y", "alg", "use", "kid"]);
const okpMembers: ReadonlySet<string> = new Set(["kty", "crv", "x", "alg", "use", "kid"]);

export function algorithmOf(jwk: PublicJwk): SigningAlgorithm {
  return jwk.kty === "EC" ? "ES256" : "EdDSA";
}

/** The key's own members, without `alg`, `use` and `kid`; null for private, foreign or incomplete keys and for any member we do not know. */
export function parsePublicJwk(value: unknown): PublicJwk | null {
  if (!isJsonObject(value)) return null;
  const { kty, crv, x, y, alg, use, kid } = value;
  if (typeof x !== "string" || !isBase64urlOf32(x)) return null;
  if (use !== undefined && use !== "sig") return null;
  if (kid !== undefined && typeof kid !== "string") return null;
  const members = Object.keys(value);
  if (kty === "EC" && crv === "P-256" && typeof y === "string" && isBase64urlOf32(y)) {
    if (alg !== undefined && alg !== "ES256") return null;
    return members.every((name) => ecMembers.has(name)) ? { kty, crv, x, y } : null;
  }
  if (kty === "OKP" && crv === "Ed25519") {
    if (alg !== undefined && alg !== "EdDSA") return null;
    return members.every((name) => okpMembers.has(name)) ? { kty, crv, x } : null;
  }
  return null;
}

/** RFC 7638: base64url SHA-256 of the required members in lexicographic order. */
export function thumbprint(jwk: PublicJwk, crypto: Pick<TokenCrypto, "sha256">): string {
  // The members are base64url and fixed words, so no JSON escaping can arise.
  const y = jwk.kty === "EC" ? `,"y":"${jwk.y}"` : "";
  return encodeBase64url(crypto.sha256(utf8(`{"crv":"${jwk.crv}","kty":"${jwk.kty}","x":"${jwk.x}"${y}}`)));
}
