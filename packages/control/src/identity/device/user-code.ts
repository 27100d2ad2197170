// Promises user codes a person can read aloud and type: one alphabet, one spelling whatever was typed, and nothing stored that could be read back.
// Trusts the random port. Specified in RFC 8628 §6.1 (alphabet, comparison) and §5.1 (entropy), docs/identity/device.md "Guessing".
import { createHmac } from "node:crypto";
import type { Random } from "@sallyport/kernel/ports.ts";

/** No vowels, so that no word comes out, and no digits, so that none is taken for a letter. */
const alphabet = "BCDFGHJKLMNPQRSTVWXZ";
const length = 8;
const codeForm = /^[BCDFGHJKLMNPQRSTVWXZ]{8}$/;
/** What a person may type around eight letters. */
const typedMax = 32;
/** The largest multiple of the alphabet that fits into a byte: bytes above it would favour its first letters. */
const fairBytes = 256 - (256 % alphabet.length);

/** Eight letters drawn evenly: 34.6 bits. */
export function makeUserCode(random: Random): string {
  let code = "";
  while (code.length < length)
    for (const byte of random.bytes(length)) if (byte < fairBytes) code += alphabet[byte % alphabet.length];
  return code.slice(0, length);
}

/** As it is shown: `WDJB-MJHT`. */
export function showUserCode(code: string): string {
  return `${code.slice(0, 4)}-${code.slice(4)}`;
}

/** The one spelling of what somebody typed (capitals, no spaces, no hyphens), or null for what is no user code. */
export function parseUserCode(typed: string): string | null {
  if (typed.length > typedMax) return null;
  const bare = typed.replace(/[ -]/g, "");
  // Before capitals are made: `ı` and `ſ` become ASCII letters by it.
  if (!/^[A-Za-z]*$/.test(bare)) return null;
  const code = bare.toUpperCase();
  return codeForm.test(code) ? code : null;
}

/** What is stored of a code. 34 bits are soon tried, so the digest is keyed: `secret` has 32 bytes and is not in the store. */
export function userCodeDigest(secret: Uint8Array, issuer: string, code: string): string {
  return createHmac("sha256", secret).update(`sallyport-user-code/v1\n${issuer}\n${code}`).digest("base64url");
}
