// Promises that a member of a JSON body which decides has one reading: no twin in another case beside it, and integers as they stand in the text.
// Trusts inspect/json.ts to have read the text strictly. Specified in docs/gateway.md (attributes); RFC 8259 §6 for number literals.

import { foldCase } from "@sallyport/protocol/snapshot/fold-case.ts";
import type { AttributeSource } from "@sallyport/protocol/snapshot/objects.ts";
import type { ReadBody } from "../exchange.ts";

/** Paths remembered; there are as many as the estate declares, and when they are more, remembering begins anew. */
const pathsMax = 4_096;
const membersByPath = new Map<string, readonly string[]>();

/** Members along the path of a body attribute, `$.a.b` as `["a", "b"]`. */
export function membersOf(path: string): readonly string[] {
  const known = membersByPath.get(path);
  if (known !== undefined) return known;
  const members = path.slice(2).split(".");
  if (membersByPath.size >= pathsMax) membersByPath.clear();
  membersByPath.set(path, members);
  return members;
}

/** Does any object along a body attribute's path hold a name that readers without regard to case take for the attribute's? Pure. */
export function hasCaseTwin(
  declared: Readonly<Record<string, AttributeSource>>,
  value: unknown,
  from: "body" | "response" = "body",
): boolean {
  return Object.values(declared).some((source) => source.from === from && hasTwinAlong(membersOf(source.name), value));
}

function hasTwinAlong(members: readonly string[], value: unknown): boolean {
  let at = value;
  for (const member of members) {
    if (typeof at !== "object" || at === null || Array.isArray(at)) return false;
    const wanted = foldCase(member);
    if (Object.keys(at).some((name) => name !== member && foldCase(name) === wanted)) return true;
    if (!Object.hasOwn(at, member)) return false;
    at = (at as Record<string, unknown>)[member]; // an own member of a plain object, checked on the line above
  }
  return false;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The value of a body as readExactIntegers gives it: read again only where some number is not written as a plain integer. */
export function exactIntegersOf(body: ReadBody): unknown {
  return body.hasPlainNumbers ? body.value : readExactIntegers(body.bytes);
}

/**
 * The value of a JSON text already read strictly, in which every number that is in no list and not written as a plain integer is an object without
 * members, and so resolves to no attribute: a double rounds `100.000000000000001` to 100, while the provider gets the text. No attribute is in a list.
 */
export function readExactIntegers(bytes: Uint8Array): unknown {
  // A reviver that is shown each literal takes twenty times as long. Of a Buffer, `slice` would be no copy: these are the octets that go on.
  const plain = new Uint8Array(bytes);
  let lists = 0;
  for (let at = 0; at < plain.length; at++) {
    const c = plain[at] ?? 0;
    if (c === quote) at = endOfString(plain, at);
    else if (c === 0x5b) lists++;
    else if (c === 0x5d) lists--;
    else if (lists === 0 && (c === minus || isDigit(c))) at = blankUnlessPlain(plain, at) - 1;
  }
  return JSON.parse(decoder.decode(plain));
}

const quote = 0x22;
const backslash = 0x5c;
const minus = 0x2d;
const plus = 0x2b;
const dot = 0x2e;
const zero = 0x30;
const space = 0x20;
const isDigit = (code: number): boolean => code >= zero && code <= 0x39;
/** `e` and `E` differ in one bit. */
const isExponent = (code: number): boolean => (code | 0x20) === 0x65;

/** No octet of a character of several is a quote or a backslash (RFC 3629 §3). */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    if (bytes[at] === backslash) at++;
    else if (bytes[at] === quote) return at;
  }
  return bytes.length;
}

/** Where the number that begins at `start` ends; one that is no plain integer is `{}` afterwards: the shortest of them, `-0`, has room for it. */
function blankUnlessPlain(bytes: Uint8Array, start: number): number {
  let at = start;
  let isPlain = !(bytes[start] === minus && bytes[start + 1] === zero);
  for (; at < bytes.length; at++) {
    const c = bytes[at] ?? 0;
    if (c === dot || isExponent(c)) isPlain = false;
    else if (!isDigit(c) && c !== minus && c !== plus) break;
  }
  if (isPlain) return at;
  bytes.fill(space, start, at);
  bytes[start] = 0x7b;
  bytes[start + 1] = 0x7d;
  return at;
}
