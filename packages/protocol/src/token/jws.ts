// Promises that a compact JWS has exactly one spelling and that its key, not its header, chooses the algorithm.
// Trusts the VerifyKey it is given. Specified by RFC 7515 §7.1 and docs/formats/token.md §1.
import { decodeBase64url, encodeBase64url, withBase64url } from "./base64url.ts";
import { type LegacyAlgorithm, legacyAlgorithms, type SigningAlgorithm } from "./claims.ts";
import type { TokenSigner, VerifyKey } from "./crypto.ts";
import { decodeUtf8, type JsonObject, parseJsonText, withUtf8 } from "./json.ts";

export interface JoseHeader {
  readonly alg: string;
  readonly typ?: string;
  readonly kid?: string;
  /** Only where the form allows it (DPoP); not yet judged. */
  readonly jwk?: unknown;
}

export interface CompactJws {
  readonly kind: "jws";
  readonly header: JoseHeader;
  /** What the middle part holds; null where that is not UTF-8. */
  readonly payload: string | null;
  readonly signature: Uint8Array;
  /** Both parts before the signature, as they stand on the wire: ASCII. */
  readonly signingInput: string;
}

/** Why a text is not a JWS of the wanted form; for operators, never for strangers. */
export interface MalformedJws {
  readonly kind: "malformed";
  readonly why:
    | "too long"
    | "not three parts"
    | "not canonical base64url"
    | "header is not one JSON object"
    | "header member not allowed";
}

export interface JwsForm {
  /** Characters, which are bytes: the text is ASCII or it is refused. */
  readonly bytesMax: number;
  /** `kid` for our own tokens, `jwk` for DPoP proofs: the one way the key is named. */
  readonly keyMember: "kid" | "jwk";
  /** Members that issuers outside Sallyport are known to add: allowed and never read. Default none. */
  readonly unread?: readonly string[];
}

const malformed = (why: MalformedJws["why"]): MalformedJws => ({ kind: "malformed", why });

/** Splits and decodes; judges neither algorithm nor key nor signature. */
export function parseCompactJws(text: string, form: JwsForm): CompactJws | MalformedJws {
  if (text.length > form.bytesMax) return malformed("too long");
  const first = text.indexOf(".");
  const second = text.indexOf(".", first + 1);
  if (first < 1 || second < first + 2 || second === text.length - 1 || text.indexOf(".", second + 1) !== -1) {
    return malformed("not three parts");
  }
  const head = withBase64url(text.slice(0, first), textOf);
  const payload = withBase64url(text.slice(first + 1, second), textOf);
  const signature = decodeBase64url(text.slice(second + 1));
  if (head === null || payload === null || signature === null) return malformed("not canonical base64url");
  const members = parseJsonText(head.text);
  if (members === null) return malformed("header is not one JSON object");
  const header = parseHeader(members, form);
  if (header === null) return malformed("header member not allowed");
  return { kind: "jws", header, payload: payload.text, signature, signingInput: text.slice(0, second) };
}

const textOf = (bytes: Uint8Array) => ({ text: decodeUtf8(bytes) });

/** Anything beyond the known members is refused, which covers crit, jku, x5u, x5c, b64 and zip (RFC 8725 §3.10, RFC 7797). */
function parseHeader(members: JsonObject, form: JwsForm): JoseHeader | null {
  for (const name of Object.keys(members)) {
    if (name !== "alg" && name !== "typ" && name !== form.keyMember && form.unread?.includes(name) !== true)
      return null;
  }
  const { alg, typ, kid, jwk } = members;
  if (typeof alg !== "string") return null;
  if (typ !== undefined && typeof typ !== "string") return null;
  if (kid !== undefined && typeof kid !== "string") return null;
  return {
    alg,
    ...(typ !== undefined ? { typ } : {}),
    ...(kid !== undefined ? { kid } : {}),
    ...(jwk !== undefined ? { jwk } : {}),
  };
}

export function isSigningAlgorithm(alg: string): alg is SigningAlgorithm {
  return alg === "ES256" || alg === "EdDSA";
}

export function isLegacyAlgorithm(alg: string): alg is LegacyAlgorithm {
  return legacyAlgorithms.some((known) => known === alg);
}

/** `algorithm` when the header names another one than the key has, `signature` when the signature is wrong, null when all is well. */
export function checkSignature(
  jws: CompactJws,
  key: Pick<VerifyKey, "verify"> & { readonly alg: string },
): "algorithm" | "signature" | null {
  if (jws.header.alg !== key.alg) return "algorithm";
  return isSignedBy(jws, key) ? null : "signature";
}

/** Does the signature fit the key? */
export function isSignedBy(jws: CompactJws, key: Pick<VerifyKey, "verify">): boolean {
  return withUtf8(jws.signingInput, (bytes) => key.verify(bytes, jws.signature));
}

/** What a signature is over: both parts as they stand on the wire, keys in the order given. For signers that answer later (KMS, HSM). */
export function jwsSigningInput(header: JsonObject, claims: JsonObject): string {
  return `${jwsPart(header)}.${jwsPart(claims)}`;
}

/** One part as it stands on the wire, keys in the order given. */
export function jwsPart(members: JsonObject): string {
  return withUtf8(JSON.stringify(members), encodeBase64url);
}

/** Prints and signs; the key order of `header` and `claims` is the order on the wire. */
export function signCompactJws(header: JsonObject, claims: JsonObject, signer: Pick<TokenSigner, "sign">): string {
  return signJwsBehind(jwsPart(header), claims, signer);
}

/** The same for a header that is printed already (`jwsPart`). */
export function signJwsBehind(header: string, claims: JsonObject, signer: Pick<TokenSigner, "sign">): string {
  const input = `${header}.${jwsPart(claims)}`;
  return `${input}.${encodeBase64url(withUtf8(input, (bytes) => signer.sign(bytes)))}`;
}
