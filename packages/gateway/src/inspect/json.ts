// Promises that JSON which two readers could understand differently is refused: duplicate names, prototype names, excess depth, invalid UTF-8.
// Trusts the engine's JSON.parse for the grammar. Specified by RFC 8259 and RFC 7493 (I-JSON) §2.3.

export const jsonDepthMax = 64;

export type JsonRefusal =
  | "not UTF-8"
  | "not JSON"
  | "duplicate name"
  | "forbidden name"
  | "name too many"
  | "object or list too many"
  | "too deep"
  | "lone surrogate";
export type JsonReading =
  | {
      readonly ok: true;
      readonly value: unknown;
      /** Every number that is not in a list is written as a plain integer: `0`, or digits that begin with none, with at most a minus before them. */
      readonly hasPlainNumbers: boolean;
    }
  | { readonly ok: false; readonly why: JsonRefusal };

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const forbiddenNames: ReadonlySet<string> = new Set(["__proto__"]);

/** What one text may hold. What costs the engine most is not its length: a MiB of what is bounded here takes a tenth to a fifth of a second. */
export interface JsonBounds {
  /** Names that differ: twice as many are refused, so many pass. */
  readonly namesMax: number;
  /** Objects and lists, where there are more than one for each eight octets. One that ends where it began, or where the one in it ends, counts twice. */
  readonly containersMax: number;
}

/** Of a request: more is nobody's. */
export const requestBounds: JsonBounds = { namesMax: 16_384, containersMax: 131_072 };
const unbounded: JsonBounds = { namesMax: Number.POSITIVE_INFINITY, containersMax: Number.POSITIVE_INFINITY };
const octetsEach = 8;
/** Octets from one bracket to the next that hold little or nothing. */
const besideMax = 3;

/** Reads one JSON text strictly. Never throws. */
export function readJson(bytes: Uint8Array, bounds = unbounded): JsonReading {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return { ok: false, why: "not UTF-8" };
  }
  // Depth first, on the raw text: the engine's parser recurses.
  const why = whyUnbounded(text, {
    ...bounds,
    containersMax: Math.max(bounds.containersMax, bytes.length / octetsEach),
  });
  if (why !== null) return { ok: false, why };
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
const colon = 0x3a;

/** What of a text would cost too much to parse; it need not be JSON. */
function whyUnbounded(text: string, { namesMax, containersMax }: JsonBounds): JsonRefusal | null {
  let further: DistinctNames | null = null;
  let depth = 0;
  let names = 0;
  let containers = 0;
  let bracketAt = 0;
  let from = 0;
  let to = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === quote) {
      from = i;
      to = i = endOfString(text, i);
    } else if (c === 0x7b || c === 0x5b) {
      if (++depth > jsonDepthMax) return "too deep";
      if (++containers > containersMax) return "object or list too many";
      bracketAt = i;
    } else if (c === 0x7d || c === 0x5d) {
      depth--;
      if (i - bracketAt <= besideMax && ++containers > containersMax) return "object or list too many";
      bracketAt = i;
    }
    // The first ones are not looked at: most texts have no more. Of the others those that repeat cost little.
    else if (c === colon && ++names > namesMax) {
      further ??= new DistinctNames();
      if (further.add(text, from, to) > namesMax) return "name too many";
    }
  }
  return null;
}

const bitsOfNames = 20;

/** Counts names that differ, a little too low: each is one of a million bits, which one nobody can tell before. A set takes three times as long. */
class DistinctNames {
  readonly #seen = new Uint8Array(2 ** (bitsOfNames - 3));
  readonly #seed = Math.floor(Math.random() * 2 ** 32);
  #count = 0;

  /** How many there are now. */
  add(text: string, from: number, to: number): number {
    let hash = this.#seed;
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    const bit = (hash ^ (hash >>> 15)) & (2 ** bitsOfNames - 1);
    const mask = 1 << (bit & 7);
    const held = this.#seen[bit >> 3] ?? 0;
    if ((held & mask) === 0) {
      this.#seen[bit >> 3] = held | mask;
      this.#count += 1;
    }
    return this.#count;
  }
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
 * dot, an `E`, an `e` behind a digit or a minus, and none begins with a zero but `0` and what has a fraction or an exponent. Numbers in lists are
 * not looked at: no attribute is in one.
 */
function scanText(text: string): JsonRefusal | typeof plain | typeof notPlain {
  // Of strings only an escape makes half of a pair: the octets of the text were UTF-8.
  const hasSurrogates = surrogateEscape.test(text);
  const escaped = new Map<string, string>();
  let numbers: typeof plain | typeof notPlain = plain;
  const open: (ObjectNames | null)[] = [];
  let names: ObjectNames | null = null;
  let expectName = false;
  let lists = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === quote) {
      const end = endOfString(text, i);
      if (hasSurrogates && hasLoneSurrogate(text, i, end)) return "lone surrogate";
      if (expectName) {
        const added = addName(names ?? noNames, nameOf(text.slice(i + 1, end), escaped));
        if (typeof added === "string") return added;
        names = added;
      }
      expectName = false;
      i = end;
    } else if (c === 0x7b || c === 0x5b) {
      open.push(names);
      names = c === 0x7b ? noNames : null;
      expectName = c === 0x7b;
      if (c === 0x5b) lists++;
    } else if (c === 0x7d || c === 0x5d) {
      names = open.pop() ?? null;
      expectName = false;
      if (c === 0x5d) lists--;
    } else if (c === 0x2c) expectName = names !== null;
    else if (lists === 0 && isFraction(text, i, c)) numbers = notPlain;
  }
  return numbers;
}

const surrogateEscape = /\\u[dD][89a-fA-F]/;

/** Does an escape of the string between two quotes of a JSON text stand for half of a surrogate pair whose other half is not the escape beside it (RFC 7493 §2.1)? */
function hasLoneSurrogate(text: string, from: number, to: number): boolean {
  let isHigh = false;
  for (let i = from + 1; i < to; i++) {
    const isEscape = text.charCodeAt(i) === backslash;
    const unit = isEscape && text.charCodeAt(i + 1) === 0x75 ? Number.parseInt(text.slice(i + 2, i + 6), 16) : 0;
    const isLow = unit >= 0xdc00 && unit <= 0xdfff;
    if (isHigh !== isLow) return true;
    isHigh = unit >= 0xd800 && unit <= 0xdbff;
    if (isEscape) i += text.charCodeAt(i + 1) === 0x75 ? 5 : 1;
  }
  return isHigh;
}

/** The name that is written so in a JSON text; those with escapes are read once. */
function nameOf(written: string, escaped: Map<string, string>): string {
  if (!written.includes("\\")) return written;
  const known = escaped.get(written);
  if (known !== undefined) return known;
  const name = JSON.parse(`"${written}"`) as string; // a string literal
  escaped.set(written, name);
  return name;
}

/** Does this character, outside of strings, make a number something else than a plain integer? */
function isFraction(text: string, at: number, c: number): boolean {
  if (c === 0x2e || c === 0x45) return true;
  if (c === 0x65) return isDigit(text.charCodeAt(at - 1));
  return c === minus && text.charCodeAt(at + 1) === zero;
}

function isDigit(code: number): boolean {
  return code >= zero && code <= nine;
}

/** Names of one object so far. Most objects have a few, and a list of those costs less than a set. */
type ObjectNames = readonly string[] | Set<string>;
const noNames: ObjectNames = [];
const listedNamesMax = 8;

function addName(names: ObjectNames, name: string): ObjectNames | JsonRefusal {
  if (forbiddenNames.has(name)) return "forbidden name";
  if (names instanceof Set) {
    if (names.has(name)) return "duplicate name";
    return names.add(name);
  }
  if (names.includes(name)) return "duplicate name";
  if (names.length === 0) return [name];
  return names.length < listedNamesMax ? [...names, name] : new Set(names).add(name);
}
