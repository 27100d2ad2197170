// Promises that XML is a well-formed document with namespaces which asks its reader for nothing: no document type, so no entities but the five of XML, no
// processing instructions, no inclusion, within bounds of depth and number. Trusts nothing of the bytes; one pass, in a time that grows with them.
// Our own scanner, because parsers accept more than this and leave what they met to options. Specified in docs/inspection.md "XML"; XML 1.0, Namespaces 1.0.

import { Namespaces } from "./xml-namespaces.ts";

export const xmlDepthMax = 64;
export const xmlElementsMax = 20_000;
export const xmlAttributesMax = 64;
const nameCharactersMax = 256;

const declaration =
  /^<\?xml version=(["'])1\.0\1(?: encoding=(["'])utf-8\2)?(?: standalone=(["'])(?:yes|no)\3)?[ \t\r\n]*\?>/i;
const nameAt = /[\p{L}_][\p{L}\p{N}\p{M}_.·-]*(?::[\p{L}_][\p{L}\p{N}\p{M}_.·-]*)?/uy;
const spaceAt = /[ \t\r\n]*/y;
const equalsAt = /[ \t\r\n]*=[ \t\r\n]*/y;
const reference = /&(?:amp|lt|gt|quot|apos|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6}));/y;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Why the content is not such a document; null: it is. Never throws. */
export function refuseXml(bytes: Uint8Array): string | null {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return "not UTF-8";
  }
  // Also a byte order mark: a reader that believes it has begun elsewhere.
  if (/[^\t\n\r\u0020-\ufefe\uff00-\ufffd\u{10000}-\u{10ffff}]/u.test(text))
    return "a character that XML does not have";
  return new Scanner(text).refuse();
}

interface Open {
  readonly name: string;
  /** Prefixes that mean something else behind its end. */
  readonly declared: readonly string[];
}

class Scanner {
  readonly #text: string;
  #at: number;
  #elements = 0;
  #hasRoot = false;
  readonly #open: Open[] = [];
  readonly #namespaces = new Namespaces();

  constructor(text: string) {
    this.#text = text;
    this.#at = declaration.exec(text)?.[0].length ?? 0;
  }

  refuse(): string | null {
    while (this.#at < this.#text.length) {
      const why = this.#text[this.#at] === "<" ? this.#markup() : this.#characters();
      if (why !== null) return why;
    }
    if (this.#open.length > 0) return "an element that does not end";
    return this.#hasRoot ? null : "no element";
  }

  #characters(): string | null {
    const next = this.#text.indexOf("<", this.#at);
    const end = next < 0 ? this.#text.length : next;
    const text = this.#text.slice(this.#at, end);
    this.#at = end;
    if (this.#open.length === 0) return /^[ \t\r\n]*$/.test(text) ? null : "text outside of its element";
    return text.includes("]]>") ? "`]]>` outside of a section" : refuseReferences(text);
  }

  #markup(): string | null {
    const text = this.#text;
    if (text.startsWith("<!--", this.#at)) {
      const end = text.indexOf("--", this.#at + 4);
      if (end < 0 || text[end + 2] !== ">") return "a comment that does not end";
      this.#at = end + 3;
      return null;
    }
    if (text.startsWith("<![CDATA[", this.#at)) {
      const end = text.indexOf("]]>", this.#at + 9);
      if (end < 0 || this.#open.length === 0) return "a section that does not end, or stands outside";
      this.#at = end + 3;
      return null;
    }
    if (text.startsWith("<!", this.#at)) return "a document type or a declaration";
    if (text.startsWith("<?", this.#at)) return "a processing instruction";
    return text.startsWith("</", this.#at) ? this.#end() : this.#start();
  }

  #end(): string | null {
    this.#at += 2;
    const name = this.#name();
    const open = this.#open.pop();
    this.#skip(spaceAt);
    if (name === null || open?.name !== name || this.#text[this.#at] !== ">") return "an end of no element";
    this.#namespaces.end(open.declared);
    this.#at += 1;
    return null;
  }

  #start(): string | null {
    this.#at += 1;
    if (this.#hasRoot && this.#open.length === 0) return "a second element outside of the first";
    if (++this.#elements > xmlElementsMax) return `more than ${xmlElementsMax} elements`;
    if (this.#open.length >= xmlDepthMax) return "too deep";
    const name = this.#name();
    if (name === null) return "an element without a name";
    const attributes = this.#attributes();
    if (typeof attributes === "string") return attributes;
    const declared = this.#namespaces.begin(attributes);
    const why = typeof declared === "string" ? declared : this.#namespaces.refuse(name, attributes);
    if (why !== null) return why;
    this.#hasRoot = true;
    const isEmpty = this.#text[this.#at] === "/";
    if (isEmpty) this.#at += 1;
    if (this.#text[this.#at] !== ">") return "an element that does not end";
    this.#at += 1;
    // as: a text was returned above.
    const open = { name, declared: declared as readonly string[] };
    if (isEmpty) this.#namespaces.end(open.declared);
    else this.#open.push(open);
    return null;
  }

  #attributes(): ReadonlyMap<string, string> | string {
    const attributes = new Map<string, string>();
    for (;;) {
      const hasSpace = this.#skip(spaceAt) > 0;
      const next = this.#text[this.#at];
      if (next === ">" || next === "/") return attributes;
      const name = hasSpace ? this.#name() : null;
      if (name === null || this.#skip(equalsAt) === 0) return "an attribute that is none";
      const value = this.#value();
      if (value === null || attributes.has(name)) return "an attribute without a plain value, or twice";
      if (attributes.size >= xmlAttributesMax) return `more than ${xmlAttributesMax} attributes`;
      attributes.set(name, value);
    }
  }

  #value(): string | null {
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") return null;
    const end = this.#text.indexOf(quote, this.#at + 1);
    if (end < 0) return null;
    const value = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return value.includes("<") || refuseReferences(value) !== null ? null : value;
  }

  #name(): string | null {
    nameAt.lastIndex = this.#at;
    const [name] = nameAt.exec(this.#text) ?? [];
    if (name === undefined || name.length > nameCharactersMax) return null;
    this.#at += name.length;
    return name;
  }

  #skip(what: RegExp): number {
    what.lastIndex = this.#at;
    const { length } = what.exec(this.#text)?.[0] ?? "";
    this.#at += length;
    return length;
  }
}

function refuseReferences(text: string): string | null {
  for (let at = text.indexOf("&"); at >= 0; at = text.indexOf("&", at + 1)) {
    reference.lastIndex = at;
    const found = reference.exec(text);
    if (found === null) return "a reference to an entity";
    const [, decimal, hex] = found;
    const code = decimal !== undefined ? Number(decimal) : hex !== undefined ? Number.parseInt(hex, 16) : 0x20;
    if (
      !/^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]$/u.test(
        code <= 0x10ffff ? String.fromCodePoint(code) : "",
      )
    )
      return "a reference to no character";
  }
  return null;
}
