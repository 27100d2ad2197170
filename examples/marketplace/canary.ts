// Promises that a planted value is found wherever it stands, also as base64, base64url or hex and at any offset inside what was encoded.
// Trusts nothing: it compares bytes. What must hold is DESIGN §7.7 and §7.10.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Marker {
  /** What the value stands for, for the report; the value itself is never printed. */
  readonly what: string;
  readonly value: string | Uint8Array;
}

export interface Place {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Leak {
  readonly what: string;
  readonly form: string;
  readonly place: string;
}

/** A place where a value may stand, and why the design says so. */
export interface Exception {
  readonly what: string;
  readonly place: RegExp;
  readonly reason: string;
}

const valueLengthMin = 12;
/** Encoded text that a value's neighbours can change is cut off; what is left must still be telling. */
const encodedLengthMin = 10;

interface Needle {
  readonly what: string;
  readonly form: string;
  readonly bytes: Buffer;
}

/** Every spelling that is looked for. Throws RangeError for a value too short to mean anything. */
export function needlesOf({ what, value }: Marker): readonly Needle[] {
  if (value.length < valueLengthMin)
    throw new RangeError(`the marker "${what}" is shorter than ${valueLengthMin} characters`);
  const bytes = Buffer.from(value);
  const hex = bytes.toString("hex");
  const needles: Needle[] = [
    { what, form: "plain", bytes },
    { what, form: "hex", bytes: Buffer.from(hex) },
    { what, form: "hex", bytes: Buffer.from(hex.toUpperCase()) },
  ];
  if (typeof value === "string") needles.push({ what, form: "utf-16", bytes: Buffer.from(value, "utf16le") });
  for (const offset of [0, 1, 2]) {
    for (const form of ["base64", "base64url"] as const) {
      const text = innerBase64(bytes, offset, form);
      if (text.length >= encodedLengthMin) needles.push({ what, form, bytes: Buffer.from(text) });
    }
  }
  return needles;
}

/** The characters that these bytes always become when they stand `offset` bytes into an encoded value. */
function innerBase64(bytes: Buffer, offset: number, form: "base64" | "base64url"): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64url");
  const whole = Math.floor(((offset + bytes.length) * 8) / 6);
  const inner = text.slice(Math.ceil((offset * 8) / 6), whole);
  return form === "base64url" ? inner : inner.replaceAll("-", "+").replaceAll("_", "/");
}

/** Looks for all markers in one pass per place. */
export class Canary {
  readonly #byPair = new Map<number, Needle[]>();
  readonly #pairs = new Uint8Array(65_536);

  constructor(markers: readonly Marker[]) {
    for (const needle of markers.flatMap(needlesOf)) {
      const pair = pairAt(needle.bytes, 0);
      this.#pairs[pair] = 1;
      const known = this.#byPair.get(pair);
      if (known === undefined) this.#byPair.set(pair, [needle]);
      else known.push(needle);
    }
  }

  search({ name, bytes }: Place): readonly Leak[] {
    const found = new Map<string, Leak>();
    const pairs = this.#pairs;
    for (let at = 0; at + 1 < bytes.length; at += 1) {
      const pair = pairAt(bytes, at);
      if (pairs[pair] === 0) continue;
      for (const needle of this.#byPair.get(pair) ?? []) {
        if (!matchesAt(bytes, at, needle.bytes)) continue;
        found.set(`${needle.what}\n${needle.form}`, { what: needle.what, form: needle.form, place: name });
      }
    }
    return [...found.values()];
  }
}

function pairAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function matchesAt(bytes: Uint8Array, at: number, needle: Uint8Array): boolean {
  if (at + needle.length > bytes.length) return false;
  for (let i = 2; i < needle.length; i += 1) if (bytes[at + i] !== needle[i]) return false;
  return true;
}

/** Every file below a directory, by its path; a file that is gone between listing and reading is left out. */
export function filesBelow(directory: string, named = directory): readonly Place[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name);
      try {
        return [{ name: named + path.slice(directory.length), bytes: readFileSync(path) }];
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
        throw error;
      }
    });
}

export interface SearchReport {
  readonly leaks: readonly Leak[];
  /** Exceptions that were needed, each with its reason. */
  readonly excepted: readonly (Leak & { readonly reason: string })[];
  readonly places: number;
  readonly bytes: number;
}

/** Searches all places; what an exception names is reported apart. */
export function searchAll(
  markers: readonly Marker[],
  places: readonly Place[],
  exceptions: readonly Exception[] = [],
): SearchReport {
  const canary = new Canary(markers);
  const leaks: Leak[] = [];
  const excepted: (Leak & { reason: string })[] = [];
  let bytes = 0;
  for (const place of places) {
    bytes += place.bytes.length;
    for (const leak of canary.search(place)) {
      const exception = exceptions.find((one) => one.what === leak.what && one.place.test(leak.place));
      if (exception === undefined) leaks.push(leak);
      else excepted.push({ ...leak, reason: exception.reason });
    }
  }
  return { leaks, excepted, places: places.length, bytes };
}
