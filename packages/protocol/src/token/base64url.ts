// Promises that every byte string has exactly one base64url text. Trusts nothing. Specified by RFC 4648 §5 and docs/formats/token.md §1.

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const invalid = 64;

// One entry per UTF-16 code unit, so that no character can fall outside and no bound has to be checked in the loop.
const values = new Uint8Array(65_536).fill(invalid);
for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i;

/** Value of the character at `index`, 64 when it is not of the alphabet. */
function sextet(text: string, index: number): number {
  // The table has an entry for every code unit, so this is never undefined.
  return values[text.charCodeAt(index)] as number;
}

/** Bytes of canonical, unpadded base64url; null for anything else: padding, white space, wrong length, unused bits that are not zero. */
export function decodeBase64url(text: string): Uint8Array | null {
  return withBase64url(text, (bytes) => bytes.slice());
}

/** Texts up to this size are decoded in place. */
const scratch: Uint8Array & NativeBase64 = new Uint8Array(8_192);

/** What `use` makes of the bytes of a canonical, unpadded base64url; null for anything else. It must keep nothing of them: their place is used again. */
export function withBase64url<T>(text: string, use: (bytes: Uint8Array) => T): T | null {
  const rest = text.length & 3;
  const length = (text.length * 3) >> 2;
  if (rest === 1 || unusedBits(text, rest) !== 0) return null;
  const into = length <= scratch.length ? scratch : (new Uint8Array(length) as typeof scratch);
  return decodeInto(into, text) === length ? use(into.subarray(0, length)) : null;
}

/** How many bytes were written; fewer than the text is long for where it holds anything but the alphabet. */
function decodeInto(bytes: Uint8Array & NativeBase64, text: string): number {
  if (bytes.setFromBase64 === undefined) return decodeByTable(bytes, text);
  try {
    // The engine skips white space and takes padding: neither carries bits, so that too little is written.
    return bytes.setFromBase64(text, nativeDecoding).written;
  } catch {
    return -1;
  }
}

/** The bits of the last character that carry nothing must be zero, or one value would have several spellings (Wycheproof JWS, group base64). */
function unusedBits(text: string, rest: number): number {
  return rest === 0 ? 0 : sextet(text, text.length - 1) & (rest === 2 ? 15 : 3);
}

/** Bytes written of a text of 4n, 4n + 2 or 4n + 3 characters; -1 where one is not of the alphabet. Needs no help of the engine. */
export function decodeByTable(bytes: Uint8Array, text: string): number {
  let at = 0;
  let held = 0;
  // Every valid value is below 64, so one OR over all of them tells whether any was not.
  let seen = 0;
  for (let i = 0; i < text.length; i++) {
    const value = sextet(text, i);
    seen |= value;
    held = ((held << 6) | value) & 0x3fff;
    const phase = i & 3;
    if (phase !== 0) bytes[at++] = held >> (6 - 2 * phase);
  }
  return seen >= invalid ? -1 : at;
}

interface NativeBase64 {
  toBase64?(options: { readonly alphabet: "base64url"; readonly omitPadding: true }): string;
  setFromBase64?(text: string, options: typeof nativeDecoding): { readonly written: number };
}
const nativeDecoding = Object.freeze({ alphabet: "base64url" as const, lastChunkHandling: "loose" as const });
const nativeOptions = Object.freeze({ alphabet: "base64url", omitPadding: true });

/** Unpadded base64url. */
export function encodeBase64url(bytes: Uint8Array): string {
  // ECMAScript 2026; our types and the oldest Node we run on do not have it yet. A tenth of the loop's cost, and one flat text.
  return (bytes as NativeBase64).toBase64?.(nativeOptions) ?? encodeByTable(bytes);
}

/** The same without help of the engine. */
export function encodeByTable(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const a = bytes[i] ?? 0;
    const b = bytes[i + 1] ?? 0;
    const c = bytes[i + 2] ?? 0;
    text += alphabet.charAt(a >> 2) + alphabet.charAt(((a & 3) << 4) | (b >> 4));
    if (i + 1 < bytes.length) text += alphabet.charAt(((b & 15) << 2) | (c >> 6));
    if (i + 2 < bytes.length) text += alphabet.charAt(c & 63);
  }
  return text;
}

/** True for canonical base64url of exactly 32 bytes: thumbprints, hashes, coordinates. */
export function isBase64urlOf32(text: string): boolean {
  return text.length === 43 && withBase64url(text, () => true) !== null;
}
