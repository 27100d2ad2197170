// Promises one reading of a structured field, or none: strict, in one pass over its text, and it says where a key came twice, which the RFC lets the last
// one win. Trusts nothing. Specified by RFC 9651 §4.2; its published test cases are in parse.test.ts.
import { parseBase64 } from "../audit/base64.ts";
import { type BareItem, type Dictionary, type InnerList, type Item, integerMax, type Member } from "./values.ts";

export interface Parsed<T> {
  readonly value: T;
  /** A key of the dictionary or of parameters occurred twice: whoever reads it for a decision refuses it. */
  readonly repeats: boolean;
}

/** All lines of the field in order, or one. Null: it is no list. */
export function parseList(lines: string | readonly string[]): Parsed<readonly Member[]> | null {
  const at = begin(lines);
  const members: Member[] = [];
  const isRead = readMembers(at, () => {
    const member = readMember(at);
    if (member !== null) members.push(member);
    return member !== null;
  });
  return isRead ? { value: members, repeats: at.repeats } : null;
}

/** Null: it is no dictionary. */
export function parseDictionary(lines: string | readonly string[]): Parsed<Dictionary> | null {
  const at = begin(lines);
  const members = new Map<string, Member>();
  const isRead = readMembers(at, () => {
    const key = readKey(at);
    if (key === null) return false;
    const member = take(at, "=") ? readMember(at) : withParameters(at, { type: "boolean", value: true });
    if (member === null) return false;
    if (members.has(key)) at.repeats = true;
    members.set(key, member);
    return true;
  });
  return isRead ? { value: members, repeats: at.repeats } : null;
}

/** Null: it is no item. */
export function parseItem(lines: string | readonly string[]): Parsed<Item> | null {
  const at = begin(lines);
  skip(at, spaces);
  const item = readItem(at);
  skip(at, spaces);
  return item !== null && at.index === at.text.length ? { value: item, repeats: at.repeats } : null;
}

interface Cursor {
  readonly text: string;
  index: number;
  repeats: boolean;
}

const spaces = / */y;
const optionalWhitespace = /[ \t]*/y;
const keyForm = /[a-z*][a-z0-9_.*-]*/y;
const numberForm = /-?(?:[0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})(?![0-9.])/y;
const stringForm = /"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y;
const tokenForm = /[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*/y;
const binaryForm = /:([A-Za-z0-9+/]*={0,2}):/y;
const displayForm = /%"((?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"/y;

function begin(lines: string | readonly string[]): Cursor {
  return { text: typeof lines === "string" ? lines : lines.join(", "), index: 0, repeats: false };
}

/** What `form` finds right here; the cursor goes behind it. */
function match(at: Cursor, form: RegExp): RegExpExecArray | null {
  form.lastIndex = at.index;
  const found = form.exec(at.text);
  if (found !== null) at.index = form.lastIndex;
  return found;
}

const skip = (at: Cursor, form: RegExp): void => void match(at, form);

function take(at: Cursor, character: string): boolean {
  if (at.text[at.index] !== character) return false;
  at.index++;
  return true;
}

/** Members with commas between them (§4.2.1, §4.2.2). */
function readMembers(at: Cursor, read: () => boolean): boolean {
  skip(at, spaces);
  // What follows the last member may be spaces alone; tabs only stand around commas.
  while (at.index < at.text.length) {
    if (!read()) return false;
    const behind = at.index;
    skip(at, optionalWhitespace);
    if (at.index === at.text.length) return !at.text.slice(behind).includes("\t");
    if (!take(at, ",")) return false;
    skip(at, optionalWhitespace);
    if (at.index === at.text.length) return false;
  }
  return true;
}

function readMember(at: Cursor): Member | null {
  return at.text[at.index] === "(" ? readInnerList(at) : readItem(at);
}

function readInnerList(at: Cursor): InnerList | null {
  at.index++;
  const items: Item[] = [];
  for (;;) {
    skip(at, spaces);
    if (take(at, ")")) {
      const parameters = readParameters(at);
      return parameters === null ? null : { kind: "inner-list", items, parameters };
    }
    const item = readItem(at);
    if (item === null) return null;
    items.push(item);
    const next = at.text[at.index];
    if (next !== " " && next !== ")") return null;
  }
}

function readItem(at: Cursor): Item | null {
  const value = readBareItem(at);
  return value === null ? null : withParameters(at, value);
}

function withParameters(at: Cursor, value: BareItem): Item | null {
  const parameters = readParameters(at);
  return parameters === null ? null : { kind: "item", value, parameters };
}

function readParameters(at: Cursor): Map<string, BareItem> | null {
  const parameters = new Map<string, BareItem>();
  while (take(at, ";")) {
    skip(at, spaces);
    const key = readKey(at);
    if (key === null) return null;
    const value: BareItem | null = take(at, "=") ? readBareItem(at) : { type: "boolean", value: true };
    if (value === null) return null;
    if (parameters.has(key)) at.repeats = true;
    parameters.set(key, value);
  }
  return parameters;
}

function readKey(at: Cursor): string | null {
  return match(at, keyForm)?.[0] ?? null;
}

function readBareItem(at: Cursor): BareItem | null {
  const first = at.text[at.index] ?? "";
  switch (first) {
    case '"': {
      const text = match(at, stringForm)?.[1];
      return text === undefined ? null : { type: "string", value: text.replace(/\\(.)/g, "$1") };
    }
    case ":":
      return readBinary(at);
    case "?": {
      const value = at.text[at.index + 1];
      at.index += 2;
      return value === "0" || value === "1" ? { type: "boolean", value: value === "1" } : null;
    }
    case "@": {
      at.index++;
      const date = readNumber(at);
      return date?.type === "integer" ? { type: "date", value: date.value } : null;
    }
    case "%":
      return readDisplay(at);
    default: {
      if (first === "-" || (first >= "0" && first <= "9")) return readNumber(at);
      const token = match(at, tokenForm)?.[0];
      return token === undefined ? null : { type: "token", value: token };
    }
  }
}

function readNumber(at: Cursor): { readonly type: "integer" | "decimal"; readonly value: number } | null {
  const digits = match(at, numberForm)?.[0];
  if (digits === undefined) return null;
  // There is no negative zero.
  const value = Number(digits) || 0;
  if (digits.includes(".")) return { type: "decimal", value };
  return Math.abs(value) > integerMax ? null : { type: "integer", value };
}

/** Base64 with its padding: one value, one text (§4.2.7 lets a parser refuse what lacks it). */
function readBinary(at: Cursor): BareItem | null {
  const text = match(at, binaryForm)?.[1];
  const value = text === undefined ? null : parseBase64(text);
  return value === null ? null : { type: "binary", value };
}

function readDisplay(at: Cursor): BareItem | null {
  const text = match(at, displayForm)?.[1];
  if (text === undefined) return null;
  try {
    return { type: "display", value: decodeURIComponent(text) };
  } catch {
    // Octets that are not UTF-8.
    return null;
  }
}
