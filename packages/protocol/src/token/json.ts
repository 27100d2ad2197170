// Promises that a JSON object has one reading: no name twice, no surprise type, no depth without end.
// Trusts JSON.parse for the grammar of RFC 8259 and nothing else. Specified in docs/formats/token.md §1.

/** Levels of nesting a token may have. */
const depthMax = 12;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export type JsonObject = Readonly<Record<string, unknown>>;

/** UTF-8 bytes of a text; a lone surrogate becomes U+FFFD. Tokens are ASCII, for which a loop costs less than the encoder. */
export function utf8(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return encoder.encode(text);
    bytes[i] = code;
  }
  return bytes;
}

/** Texts up to this size are encoded in place. */
const scratch = new Uint8Array(8_192);

/** What `use` makes of the UTF-8 bytes of a text. It must keep nothing of them: their place is used again. */
export function withUtf8<T>(text: string, use: (bytes: Uint8Array) => T): T {
  // Three bytes for a code unit are the most there can be.
  if (text.length * 3 > scratch.length) return use(encoder.encode(text));
  return use(scratch.subarray(0, encoder.encodeInto(text, scratch).written));
}

/** Narrows to an object that is neither null nor an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The one object these bytes hold; null when they are not UTF-8, not JSON, not an object, or have more than one reading. */
export function parseJsonObject(bytes: Uint8Array): JsonObject | null {
  try {
    const text = decoder.decode(bytes);
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) && hasOneReading(text) ? value : null;
  } catch {
    return null;
  }
}

function stringEnd(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return i;
    if (code === 0x5c) i++;
  }
  return text.length;
}

function nameAt(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end);
  // An escaped name is compared by what it means: "\u0069ss" is "iss".
  return raw.includes("\\") ? String(JSON.parse(text.slice(start, end + 1))) : raw;
}

/** Called only for text that JSON.parse has accepted, so brackets and quotes are known to be in order. */
function hasOneReading(text: string): boolean {
  // One entry per open bracket: the names seen so far, or null for an array.
  const open: (Set<string> | null)[] = [];
  let names: Set<string> | null = null;
  let nameComes = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: {
        const end = stringEnd(text, i);
        if (nameComes && names !== null) {
          const name = nameAt(text, i, end);
          if (names.has(name) || name === "__proto__") return false;
          names.add(name);
          nameComes = false;
        }
        i = end;
        break;
      }
      case 0x7b:
      case 0x5b:
        names = text.charCodeAt(i) === 0x7b ? new Set() : null;
        nameComes = names !== null;
        open.push(names);
        if (open.length > depthMax) return false;
        break;
      case 0x7d:
      case 0x5d:
        open.pop();
        names = open.at(-1) ?? null;
        nameComes = false;
        break;
      case 0x2c:
        nameComes = names !== null;
        break;
    }
  }
  return true;
}
