// Promises a signed token inside one JWE form (ECDH-ES on P-256, A256GCM, compact) that only holders of one key can read, and one reading of it: what is
// not exactly that form is refused before any key is used. Trusts node:crypto. RFC 7516 §7.1, RFC 7518 §4.6 and §5.3, RFC 7519 §5.2, RFC 8725 §3.2.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  type webcrypto,
} from "node:crypto";
import { decodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import { parseJsonObject } from "@sallyport/protocol/token/json.ts";
import type { Random } from "./ports.ts";

/** Of the whole text, in characters: no token of ours comes near, and what is longer is not decoded. */
export const nestedTokenLengthMax = 12_288;
const ivBytes = 12;
const tagBytes = 16;
const headerNames = "alg,cty,enc,epk,kid";
const epkNames = "crv,kty,x,y";
const thumbprintForm = /^[A-Za-z0-9_-]{43}$/;

/** Thumbprint (RFC 7638) and public half of a P-256 key, as JWK members. */
export interface EncryptionKey {
  readonly kid: string;
  readonly jwk: { readonly kty: "EC"; readonly crv: "P-256"; readonly x: string; readonly y: string };
}

export type NestedRefusal = "token-malformed" | "token-algorithm";

/** A JWE of our form, its key not yet used. */
export interface NestedToken {
  readonly kind: "nested";
  readonly kid: string;
  readonly ephemeral: KeyObject;
  /** The protected header as it was sent: authenticated with the rest. */
  readonly aad: string;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly tag: Uint8Array;
}

/** A fresh key pair; the private half as PKCS #8 DER. */
export function makeEncryptionKey(): EncryptionKey & { readonly privateKey: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  // An EC key always exports these members.
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  const jwk = { kty: "EC", crv: "P-256", x, y } as const;
  const kid = createHash("sha256").update(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`).digest("base64url");
  return { kid, jwk, privateKey: privateKey.export({ format: "der", type: "pkcs8" }) };
}

/** Is this text in five parts, as a JWE is? Anything with another number of them is not ours to open. */
export function looksNested(text: string): boolean {
  return text.split(".", 6).length === 5;
}

export function encryptToken(token: string, key: EncryptionKey, random: Random): string {
  const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x, y } = own.publicKey.export({ format: "jwk" });
  const header = { alg: "ECDH-ES", enc: "A256GCM", cty: "JWT", kid: key.kid, epk: { kty: "EC", crv: "P-256", x, y } };
  const aad = Buffer.from(JSON.stringify(header)).toString("base64url");
  const publicKey = createPublicKey({ key: { ...key.jwk }, format: "jwk" });
  const iv = random.bytes(ivBytes);
  const cipher = createCipheriv("aes-256-gcm", contentKey(own.privateKey, publicKey), iv, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(aad, "ascii"));
  const ciphertext = Buffer.concat([cipher.update(token, "utf8"), cipher.final()]);
  const part = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url");
  return [aad, "", part(iv), part(ciphertext), part(cipher.getAuthTag())].join(".");
}

/**
 * Reads the form, without a key. One algorithm, no compression, no party info, no certificate, no URL: a header with any other member is refused,
 * and an ephemeral key that is no point of P-256 too.
 */
export function readNestedToken(text: string): NestedToken | NestedRefusal {
  if (text.length > nestedTokenLengthMax) return "token-malformed";
  const [aad = "", wrapped, ...rest] = text.split(".", 6);
  const [iv, ciphertext, tag] = rest.map(decodeBase64url);
  const header = decodeBase64url(aad);
  if (rest.length !== 3 || wrapped !== "" || header === null || !iv || !ciphertext || !tag) return "token-malformed";
  const members = parseJsonObject(header);
  if (members === null) return "token-malformed";
  const { alg, enc, cty, kid, epk } = members;
  // Said apart, because it is the attack with a name: p2s, dir, RSA1_5 and whatever else a library would have tried.
  if (alg !== "ECDH-ES" || enc !== "A256GCM") return "token-algorithm";
  if (Object.keys(members).sort().join() !== headerNames || cty !== "JWT") return "token-malformed";
  const ephemeral = pointOf(epk);
  if (typeof kid !== "string" || !thumbprintForm.test(kid) || ephemeral === null) return "token-malformed";
  if (iv.length !== ivBytes || tag.length !== tagBytes || ciphertext.length === 0) return "token-malformed";
  return { kind: "nested", kid, ephemeral, aad, iv, ciphertext, tag };
}

/** The token inside, or null when it was not encrypted to this key, or was changed. `privateKey`: PKCS #8 DER. */
export function decryptToken(nested: NestedToken, privateKey: Uint8Array): string | null {
  const { ephemeral, aad, iv, ciphertext, tag } = nested;
  try {
    const own = createPrivateKey({ key: Buffer.from(privateKey), format: "der", type: "pkcs8" });
    const decipher = createDecipheriv("aes-256-gcm", contentKey(own, ephemeral), iv, { authTagLength: tagBytes });
    decipher.setAAD(Buffer.from(aad, "ascii"));
    decipher.setAuthTag(tag);
    const plain = Buffer.concat([decipher.update(ciphertext), decipher.final()]);
    return new TextDecoder("utf-8", { fatal: true }).decode(plain);
  } catch {
    return null;
  }
}

function pointOf(epk: unknown): KeyObject | null {
  if (typeof epk !== "object" || epk === null || Object.keys(epk).sort().join() !== epkNames) return null;
  // as: its members are exactly these, of any type.
  const { kty, crv, x, y } = epk as Readonly<Record<"kty" | "crv" | "x" | "y", unknown>>;
  if (kty !== "EC" || crv !== "P-256" || typeof x !== "string" || typeof y !== "string") return null;
  if (!thumbprintForm.test(x) || !thumbprintForm.test(y) || !decodeBase64url(x) || !decodeBase64url(y)) return null;
  const key: webcrypto.JsonWebKey = { kty, crv, x, y };
  try {
    // OpenSSL takes no point that is not on the curve; P-256 has no small subgroups.
    return createPublicKey({ key, format: "jwk" });
  } catch {
    return null;
  }
}

/** RFC 7518 §4.6.2 for direct agreement: one round of the Concat KDF, no party info. */
function contentKey(privateKey: KeyObject, publicKey: KeyObject): Uint8Array {
  const uint32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const algorithm = Buffer.from("A256GCM", "ascii");
  return createHash("sha256")
    .update(uint32(1))
    .update(diffieHellman({ privateKey, publicKey }))
    .update(Buffer.concat([uint32(algorithm.length), algorithm, uint32(0), uint32(0), uint32(256)]))
    .digest();
}
