// Promises one spelling of a handle, the text that stands for a token its client must not read: prefix, 256 random bits, checksum. Trusts nothing.
// Specified in docs/identity/token-forms.md "Handles".
import { decodeBase64url, encodeBase64url } from "./base64url.ts";

/** So that scanners know one when they see it, and gateways what to ask for. */
export const handlePrefix = "spt1_";
const secretBytes = 32;
const checkBytes = 4;
/** 36 bytes are 48 characters with no bit left over: each is written in one way only. */
const handleForm = /^spt1_[A-Za-z0-9_-]{48}$/;

/** The handle of 32 random bytes. */
export function printHandle(secret: Uint8Array): string {
  return handlePrefix + checkedSecret(secret);
}

/** Whether a text is a handle: its form, and a checksum that fits. Says nothing about whether anybody was given it. */
export function isHandle(text: string): boolean {
  return handleForm.test(text) && isCheckedSecret(text.slice(handlePrefix.length));
}

/** 32 random bytes and their checksum: 48 characters of base64url. */
export function checkedSecret(secret: Uint8Array): string {
  if (secret.length !== secretBytes) throw new RangeError("a secret has 32 random bytes");
  const bytes = new Uint8Array(secretBytes + checkBytes);
  bytes.set(secret);
  new DataView(bytes.buffer).setUint32(secretBytes, crc32(secret));
  return encodeBase64url(bytes);
}

export function isCheckedSecret(text: string): boolean {
  const bytes = decodeBase64url(text);
  if (bytes === null || bytes.length !== secretBytes + checkBytes) return false;
  const check = new DataView(bytes.buffer, bytes.byteOffset).getUint32(secretBytes);
  return check === crc32(bytes.subarray(0, secretBytes));
}

/** CRC-32 of ISO 3309 (the one of gzip, RFC 1952 §8), without a table: a handle is 32 bytes. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
