// Promises that a JSON object has one reading: no name twice, no surprise type, no depth without end.
// Trusts JSON.parse for the grammar of RFC 8259 and nothing else. Specified in docs/formats/token.md §1.

/** Levels of nesting a token may have. */
const depthMax = 12;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export type JsonObject = Readonly<Record<string, unknown>>;

/** UTF-8 bytes of a text, to be kept; a lone surrogate becomes U+FFFD. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
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
  return parseJsonText(decodeUtf8(bytes));
}

/** The text of these bytes; null when they are not UTF-8. A byte order mark stays, and is no JSON. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** `parseJsonObject` of a text; null (no UTF-8) holds no object. */
export function parseJsonText(text: string | null): JsonObject | null {
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) && hasOneReading(text, value) ? value : null;
  } catch {
    return null;
  }
}

/** Every member that was written is there: of two with one name, however it is spelt, JSON.parse keeps the last. */
function hasOneReading(text: string, value: JsonObject): boolean {
  return membersOf(value, 1) === membersWritten(text);
}

/** How many members an object or array has, with those within; NaN, which equals no count, where it goes too deep or holds `__proto__`. */
function membersOf(value: object, depth: number): number {
  if (depth > depthMax || Object.hasOwn(value, "__proto__")) return Number.NaN;
  let members = Array.isArray(value) ? 0 : Object.keys(value).length;
  for (const one of Object.values(value))
    if (typeof one === "object" && one !== null) members += membersOf(one, depth + 1);
  return members;
}

/** Colons outside strings. Called only for text that JSON.parse has accepted: each stands between a name and its value. */
function membersWritten(text: string): number {
  // Without escapes a quote begins or ends a string.
  const plain = text.replace(/\\./g, "");
  let colons = 0;
  for (let i = 0; i < plain.length; i++) {
    const code = plain.charCodeAt(i);
    if (code === 0x3a) colons++;
    // Of a string without end, which JSON.parse does not accept, this would make the last.
    else if (code === 0x22) i = plain.indexOf('"', i + 1) >>> 0;
  }
  return colons;
}
