// Promises that JSON which two readers could understand differently is refused: duplicate names, prototype names, excess depth, invalid UTF-8.
// Trusts the engine's JSON.parse for the grammar. Specified by RFC 8259 and RFC 7493 (I-JSON) §2.3.

export const jsonDepthMax = 64;

export type JsonRefusal =
  | "not UTF-8"
  | "not JSON"
  | "duplicate name"
  | "forbidden name"
  | "too deep"
  | "lone surrogate";
export type JsonReading =
  | {
      readonly ok: true;
      readonly value: unknown;
      /** Every number in the text is written as a plain integer: `0`, or digits that begin with none, with at most a minus before them. */
      readonly hasPlainNumbers: boolean;
    }
  | { readonly ok: false; readonly why: JsonRefusal };

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const forbiddenNames: ReadonlySet<string> = new Set(["__proto__"]);

/** Reads one JSON text strictly. Never throws. */
export function readJson(bytes: Uint8Array): JsonReading {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return { ok: false, why: "not UTF-8" };
  }
  // Depth first, on the raw text: the engine's parser recurses.
  if (!depthWithin(text)) return { ok: false, why: "too deep" };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, why: "not JSON" };
  }
  const scanned = scanText(text);
  return typeof scanned === "string"
    ? { ok: false, why: scanned }
    : { ok: true, value, hasPlainNumbers: scanned.hasPlainNumbers };
}

const quote = 0x22;
const backslash = 0x5c;

function depthWithin(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === quote) i = endOfString(text, i);
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > jsonDepthMax) return false;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return true;
}

/** Index of the closing quote of the string that opens at `start`, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === backslash) i++;
    else if (c === quote) return i;
  }
  return text.length;
}

const zero = 0x30;
const nine = 0x39;
const minus = 0x2d;
const plain = { hasPlainNumbers: true } as const;
const notPlain = { hasPlainNumbers: false } as const;

/**
 * Walks a text that is known to be JSON: a string directly after `{` or `,` inside an object is a name; outside of strings only a number holds a
 * dot, an `E`, an `e` behind a digit or a minus, and none begins with a zero but `0` and what has a fraction or an exponent.
 */
function scanText(text: string): JsonRefusal | typeof plain | typeof notPlain {
  let numbers: typeof plain | typeof notPlain = plain;
  const open: (Set<string> | null)[] = [];
  let names: Set<string> | null = null;
  let expectName = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === quote) {
      const end = endOfString(text, i);
      const why = judgeString(text.slice(i, end + 1), expectName ? names : null);
      if (why !== null) return why;
      expectName = false;
      i = end;
    } else if (c === 0x7b || c === 0x5b) {
      open.push(names);
      names = c === 0x7b ? new Set() : null;
      expectName = c === 0x7b;
    } else if (c === 0x7d || c === 0x5d) {
      names = open.pop() ?? null;
      expectName = false;
    } else if (c === 0x2c) expectName = names !== null;
    else if (c === 0x2e || c === 0x45) numbers = notPlain;
    else if (c === 0x65 && isDigit(text.charCodeAt(i - 1))) numbers = notPlain;
    else if (c === minus && text.charCodeAt(i + 1) === zero) numbers = notPlain;
  }
  return numbers;
}

function isDigit(code: number): boolean {
  return code >= zero && code <= nine;
}

function judgeString(literal: string, names: Set<string> | null): JsonRefusal | null {
  const escaped = literal.includes("\\");
  if (!escaped && names === null) return null;
  const text: string = escaped ? JSON.parse(literal) : literal.slice(1, -1);
  if (escaped && !text.isWellFormed()) return "lone surrogate";
  if (names === null) return null;
  if (forbiddenNames.has(text)) return "forbidden name";
  if (names.has(text)) return "duplicate name";
  names.add(text);
  return null;
}
