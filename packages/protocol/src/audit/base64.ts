// Promises standard base64 with padding (RFC 4648 §4), strict: one text per byte string and one byte string per text. Trusts nothing.
import { decodeBase64url, encodeBase64url } from "../token/base64url.ts";

/** Bytes as padded base64. */
export function printBase64(bytes: Uint8Array): string {
  const text = encodeBase64url(bytes).replaceAll("-", "+").replaceAll("_", "/");
  return text.padEnd(Math.ceil(text.length / 4) * 4, "=");
}

/** The bytes of padded base64; null for any other text, also one whose unused bits are not zero. */
export function parseBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  return decodeBase64url(text.replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_"));
}

/** Lower-case hexadecimal. */
export function printHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** Equal length and content; not constant time, for public values only. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
