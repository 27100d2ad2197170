// Promises that of a key set published by somebody else only public keys of a pinned algorithm pass, each under one name.
// Trusts nothing: whether the members make a key is judged where it is imported (kernel/outside-keys.ts). docs/formats/outside-token.md §2, RFC 7517, RFC 7518 §6.3.
import { decodeBase64url, encodeBase64url } from "./base64url.ts";
import { claimId } from "./claim-types.ts";
import type { TokenCrypto } from "./crypto.ts";
import { isJsonObject, type JsonObject, parseJsonObject, utf8 } from "./json.ts";
import { type PublicJwk, parsePublicJwk, thumbprint } from "./jwk.ts";

/** RSA is only for issuers that are not ours; HMAC and `none` exist for nobody. */
export type OutsideAlgorithm = "ES256" | "EdDSA" | "RS256" | "PS256";
export const outsideAlgorithms: readonly OutsideAlgorithm[] = ["ES256", "EdDSA", "RS256", "PS256"];

export type RsaJwk = { readonly kty: "RSA"; readonly n: string; readonly e: string };

/** One public key of an issuer outside, reduced to its own members. It knows its algorithm. */
export interface OutsideJwk {
  readonly kid: string;
  readonly alg: OutsideAlgorithm;
  readonly jwk: PublicJwk | RsaJwk;
}

/** Bytes of a key set; one with certificate chains for a dozen keys is a fifth of it. */
export const jwksBytesMax = 256 * 1024;
export const jwksKeysMax = 64;
export const rsaBitsMin = 2048;
export const rsaBitsMax = 8192;

/** Private and symmetric members (RFC 7518 §6.2.2, §6.3.2, §6.4): an issuer that shows one has lost that key. */
const privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

export interface OutsideKeySet {
  /** In ascending order of `kid`. */
  readonly keys: readonly OutsideJwk[];
  /** Keys left out, and why, for operators. Never a value of the set but its `kid`. */
  readonly leftOut: readonly { readonly kid: string | null; readonly why: LeftOut }[];
}

export type LeftOut = "private" | "algorithm" | "members" | "not-for-signatures" | "name-twice";

/**
 * The keys of an RFC 7517 set that may verify tokens of an issuer with these algorithms; null when the bytes are no such set or it is too large.
 * A key without `kid` goes by its RFC 7638 thumbprint; two keys of one name are both left out, because a token could mean either.
 */
export function readOutsideKeys(
  bytes: Uint8Array,
  algorithms: readonly OutsideAlgorithm[],
  crypto: Pick<TokenCrypto, "sha256">,
): OutsideKeySet | null {
  if (bytes.length > jwksBytesMax) return null;
  const set = parseJsonObject(bytes);
  const listed = set?.keys;
  if (!Array.isArray(listed) || listed.length > jwksKeysMax) return null;
  const byName = new Map<string, OutsideJwk | null>();
  const leftOut: { kid: string | null; why: LeftOut }[] = [];
  for (const value of listed) {
    const read = readKey(value, algorithms, crypto);
    if ("why" in read) leftOut.push(read);
    else if (byName.has(read.kid)) byName.set(read.kid, null);
    else byName.set(read.kid, read);
  }
  for (const [kid, key] of byName) if (key === null) leftOut.push({ kid, why: "name-twice" });
  const keys = [...byName.values()].filter((key) => key !== null);
  return { keys: keys.sort((a, b) => (a.kid < b.kid ? -1 : 1)), leftOut };
}

function readKey(
  value: unknown,
  algorithms: readonly OutsideAlgorithm[],
  crypto: Pick<TokenCrypto, "sha256">,
): OutsideJwk | { kid: string | null; why: LeftOut } {
  if (!isJsonObject(value)) return { kid: null, why: "members" };
  const named = value.kid === undefined ? null : (claimId(value.kid, 256) ?? null);
  if (value.kid !== undefined && named === null) return { kid: null, why: "members" };
  const no = (why: LeftOut) => ({ kid: named, why });
  if (privateMembers.some((member) => member in value)) return no("private");
  if (!isForSignatures(value)) return no("not-for-signatures");
  const jwk = value.kty === "RSA" ? rsaOf(value) : parsePublicJwk(ownMembers(value));
  if (jwk === null) return no("members");
  const alg = algorithmFor(jwk, value.alg, algorithms);
  if (alg === null) return no("algorithm");
  return { kid: named ?? outsideThumbprint(jwk, crypto), alg, jwk };
}

/** `use` and `key_ops` (RFC 7517 §4.2, §4.3), where they stand, must allow what we would do with the key. */
function isForSignatures({ use, key_ops: operations }: JsonObject): boolean {
  if (use !== undefined && use !== "sig") return false;
  return operations === undefined || (Array.isArray(operations) && operations.includes("verify"));
}

/** What certificates and dates stand beside a key is not ours to read. */
function ownMembers({ kty, crv, x, y }: JsonObject): JsonObject {
  return { kty, crv, x, ...(y === undefined ? {} : { y }) };
}

/** RSA with the exponent 65537 and 2048 to 8192 bits: a tiny exponent forgives padding mistakes, a huge one is work for whoever verifies. */
export function rsaOf({ n, e }: JsonObject): RsaJwk | null {
  if (typeof n !== "string" || e !== "AQAB" || n.length > 4 * rsaBitsMax) return null;
  const modulus = decodeBase64url(n);
  if (modulus === null || modulus.length === 0 || modulus[0] === 0) return null;
  const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  return bits >= rsaBitsMin && bits <= rsaBitsMax ? { kty: "RSA", n, e } : null;
}

/** One key, one algorithm (RFC 8725 §3.1): the set's word where it has one, else what the kind of key allows, in the order of the configuration. */
function algorithmFor(
  jwk: PublicJwk | RsaJwk,
  said: unknown,
  algorithms: readonly OutsideAlgorithm[],
): OutsideAlgorithm | null {
  const possible: readonly OutsideAlgorithm[] =
    jwk.kty === "RSA" ? ["RS256", "PS256"] : jwk.kty === "EC" ? ["ES256"] : ["EdDSA"];
  // RFC 9864 gives Ed25519 a name of its own for the same thing.
  const word = said === "Ed25519" ? "EdDSA" : said;
  return algorithms.find((alg) => possible.includes(alg) && (word === undefined || word === alg)) ?? null;
}

/** RFC 7638. */
export function outsideThumbprint(jwk: PublicJwk | RsaJwk, crypto: Pick<TokenCrypto, "sha256">): string {
  if (jwk.kty !== "RSA") return thumbprint(jwk, crypto);
  return encodeBase64url(crypto.sha256(utf8(`{"e":"${jwk.e}","kty":"RSA","n":"${jwk.n}"}`)));
}
