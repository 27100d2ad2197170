// Promises one signer from whatever form a key has: PEM, JWK, KeyObject, CryptoKey, or a call to where the key lives (KMS, HSM).
// Trusts the holder of the key to sign; its first signature is verified with its own public half. Specified in docs/formats/token.md §1-2.
import { KeyObject } from "node:crypto";
import { encodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import type { SigningAlgorithm } from "@sallyport/protocol/token/claims.ts";
import { type JsonObject, utf8 } from "@sallyport/protocol/token/json.ts";
import { algorithmOf, type PublicJwk, parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { jwsSigningInput } from "@sallyport/protocol/token/jws.ts";
import { SallyportFault } from "./fault.ts";
import { nodeCrypto, signerFromJwk, signerFromKeyObject, signerFromPem } from "./node-crypto.ts";

/** A private key that signs now or later. A TokenSigner is one. */
export interface Signer {
  /** RFC 7638 thumbprint of `jwk`. */
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly jwk: PublicJwk;
  /** 64 bytes, R ‖ S for ES256; a DER signature of ES256, as KMS give it, is brought to that form. */
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** A key that lives elsewhere: its public half, and who signs with it. ES256 signs the SHA-256 of `data`, EdDSA `data` itself. */
export interface RemoteKey {
  /** The public members alone. */
  readonly jwk: object;
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** The members of a key pair of WebCrypto. */
export interface WebKeyPair {
  readonly privateKey: WebKey;
  readonly publicKey: WebKey;
}

/** A CryptoKey, named by its shape so that these types need no DOM library. */
export interface WebKey {
  readonly type: string;
  readonly extractable: boolean;
}

export interface PrivateJwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y?: string;
  readonly d: string;
  readonly [member: string]: unknown;
}

/**
 * PKCS #8 PEM, private JWK, KeyObject, extractable CryptoKey, CryptoKeyPair (its private half may be locked in), RemoteKey, or a signer that is
 * ready. P-256 (ES256) or Ed25519 (EdDSA).
 */
export type KeySource = string | PrivateJwk | KeyObject | WebKey | WebKeyPair | RemoteKey | Signer;

const signatureBytes = 64;
const wrongKey = "A client key must be P-256 (ES256) or Ed25519 (EdDSA).";

/** Throws TypeError for a key of any other kind, and for a CryptoKey that hides its public half. */
export async function signerFrom(source: KeySource): Promise<Signer> {
  return checked(await signerOf(source));
}

async function signerOf(source: KeySource): Promise<Signer> {
  if (typeof source === "string") return signerFromPem(source);
  if (source instanceof KeyObject) return signerFromKeyObject(source);
  if (isWebKey(source)) return signerFromWebKey(source);
  if ("privateKey" in source && isWebKey(source.privateKey) && "publicKey" in source && isWebKey(source.publicKey))
    return signerFromPair(source.privateKey, source.publicKey);
  if (isRemote(source)) return remoteSigner(source);
  return signerFromJwk({ ...source });
}

function isRemote(source: object): source is RemoteKey {
  return "sign" in source && typeof source.sign === "function" && "jwk" in source;
}

function isWebKey(value: unknown): value is CryptoKeyOfNode {
  return typeof CryptoKey !== "undefined" && value instanceof CryptoKey;
}

type CryptoKeyOfNode = Parameters<typeof crypto.subtle.sign>[1];

async function signerFromWebKey(key: CryptoKeyOfNode): Promise<Signer> {
  if (!key.extractable)
    throw new TypeError("This CryptoKey cannot tell its public half: pass the pair { privateKey, publicKey }.");
  return signerFromKeyObject(KeyObject.from(key));
}

async function signerFromPair(privateKey: CryptoKeyOfNode, publicKey: CryptoKeyOfNode): Promise<Signer> {
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  const algorithm = kty === "EC" ? { name: "ECDSA", hash: "SHA-256" } : { name: "Ed25519" };
  return remoteSigner({
    jwk: y === undefined ? { kty, crv, x } : { kty, crv, x, y },
    // A copy: the bytes may lie in a larger buffer, which WebCrypto's types refuse where it is shared.
    sign: async (data) => new Uint8Array(await crypto.subtle.sign(algorithm, privateKey, Uint8Array.from(data))),
  });
}

function remoteSigner(source: RemoteKey): Signer {
  const jwk = parsePublicJwk({ ...source.jwk });
  const key = jwk === null ? null : nodeCrypto.importKey(jwk);
  if (jwk === null || key === null) throw new TypeError(`${wrongKey} \`jwk\` is its public half alone.`);
  return { kid: key.kid, alg: algorithmOf(jwk), jwk, sign: (data) => source.sign(data) };
}

/** Brings signatures to 64 bytes and verifies the first one: a mix-up of keys is told here and not by a server that says nothing. */
function checked(signer: Signer): Signer {
  let isProven = false;
  const { kid, alg, jwk } = signer;
  return {
    kid,
    alg,
    jwk,
    sign: async (data) => {
      const signature = rawSignature(await signer.sign(data), alg);
      if (!isProven) {
        if (signature === null || !nodeCrypto.importKey(jwk)?.verify(data, signature))
          throw new SallyportFault("key-unusable", {
            public: "The key's signature does not fit its public half.",
            internal: `kid ${kid}, ${alg}`,
          });
        isProven = true;
      }
      return signature ?? new Uint8Array(0);
    },
  };
}

/** 64 bytes, or null. DER of ES256 (RFC 3279 §2.2.3) is SEQUENCE { INTEGER r, INTEGER s }. */
function rawSignature(signature: Uint8Array, alg: SigningAlgorithm): Uint8Array | null {
  if (signature.length === signatureBytes) return signature;
  if (alg !== "ES256" || signature[0] !== 0x30 || signature[1] !== signature.length - 2) return null;
  const r = integerAt(signature, 2);
  const s = r === null ? null : integerAt(signature, r.end);
  if (r === null || s === null || s.end !== signature.length) return null;
  const raw = new Uint8Array(signatureBytes);
  raw.set(r.bytes, signatureBytes / 2 - r.bytes.length);
  raw.set(s.bytes, signatureBytes - s.bytes.length);
  return raw;
}

function integerAt(der: Uint8Array, at: number): { readonly bytes: Uint8Array; readonly end: number } | null {
  const length = der[at + 1] ?? 0;
  const end = at + 2 + length;
  if (der[at] !== 0x02 || length === 0 || end > der.length) return null;
  const bytes = der.subarray(der[at + 2] === 0 ? at + 3 : at + 2, end);
  return bytes.length > signatureBytes / 2 ? null : { bytes, end };
}

/** Prints and signs a compact JWS; header and claims keep their order. */
export async function signedJws(header: JsonObject, claims: JsonObject, signer: Signer): Promise<string> {
  const input = jwsSigningInput(header, claims);
  return `${input}.${encodeBase64url(await signer.sign(utf8(input)))}`;
}
