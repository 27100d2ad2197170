// Promises a distinguished name as one list of attributes, read from DER or from its RFC 4514 text, so that two are the same only when order, types and
// values are, whatever their escaping or string type. Trusts nothing: what could be read two ways is a fault. RFC 5280 §4.1.2.4, RFC 4514 §3, RFC 8705 §2.1.2.
import { DerFault, derTag, readDer, readDerList, readOid } from "./der.ts";

export interface NameAttribute {
  /** Dotted object identifier. */
  readonly type: string;
  readonly value: string;
}

/** Relative names in the order of the DER (most significant first), the attributes of each sorted: a SET has no order. */
export type DistinguishedName = readonly (readonly NameAttribute[])[];

export const nameAttributesMax = 32;
export const nameValueMax = 256;

/** A text that is no RFC 4514 name, and how to write it. */
export class NameFault extends Error {
  readonly code = "name-malformed";
  readonly fix: string;

  constructor(message: string, fix: string) {
    super(message);
    this.name = "NameFault";
    this.fix = fix;
  }
}

/** RFC 4514 §3 and RFC 4519; every other type is written by its object identifier. */
const keywords: ReadonlyMap<string, string> = new Map([
  ["CN", "2.5.4.3"],
  ["SERIALNUMBER", "2.5.4.5"],
  ["C", "2.5.4.6"],
  ["L", "2.5.4.7"],
  ["ST", "2.5.4.8"],
  ["STREET", "2.5.4.9"],
  ["O", "2.5.4.10"],
  ["OU", "2.5.4.11"],
  ["UID", "0.9.2342.19200300.100.1.1"],
  ["DC", "0.9.2342.19200300.100.1.25"],
]);
const keywordOf = new Map([...keywords].map(([word, type]) => [type, word]));
const dotted = /^[0-2](?:\.(?:0|[1-9]\d{0,14})){1,32}$/;

/** Control, formatting and bidirectional characters, separators, unassigned ones: what is not seen makes one name pass for another (CVE-2009-2408). */
const unseen = /[\p{C}\p{Zl}\p{Zp}]/u;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const ascii = (content: Uint8Array): string => {
  if (content.some((byte) => byte < 0x20 || byte > 0x7e)) throw new DerFault("a name with bytes outside its alphabet");
  return Buffer.from(content).toString("latin1");
};

/** By tag; the other string types of X.520 have no one reading. */
const readers: ReadonlyMap<number, (content: Uint8Array) => string> = new Map([
  [derTag.utf8String, decodeUtf8],
  [0x13, ascii], // PrintableString
  [0x16, ascii], // IA5String
]);

function decodeUtf8(content: Uint8Array): string {
  try {
    return utf8.decode(content);
  } catch {
    throw new DerFault("a name that is not UTF-8");
  }
}

/** The name in DER, as a certificate holds it. Faults: DerFault. */
export function readName(bytes: Uint8Array): DistinguishedName {
  let count = 0;
  return readDerList(readDer(bytes, derTag.sequence).content, nameAttributesMax).map((relative) => {
    const attributes = readDerList(readDer(relative.whole, derTag.set).content, nameAttributesMax).map((element) => {
      const [type, value, ...more] = readDerList(readDer(element.whole, derTag.sequence).content, 2);
      if (type?.tag !== derTag.oid || value === undefined || more.length > 0)
        throw new DerFault("a malformed attribute of a name");
      const read = readers.get(value.tag);
      if (read === undefined) throw new DerFault("a name in a string type that is not read here");
      const text = read(value.content);
      if (text === "" || text.length > nameValueMax || unseen.test(text))
        throw new DerFault("a name with nothing in it, too much, or what is not seen");
      count += 1;
      return { type: readOid(type.content), value: text };
    });
    if (attributes.length === 0 || count > nameAttributesMax)
      throw new DerFault("a name without attributes, or of too many");
    return sorted(attributes);
  });
}

/** The name of an RFC 4514 text: most significant part last, no spaces around separators. Faults: NameFault. */
export function parseName(text: string): DistinguishedName {
  if (text === "") throw new NameFault("the name is empty", "write for example `CN=orders,O=Acme,C=DE`");
  const relatives = splitAt(text, ",").map((relative) => sorted(splitAt(relative, "+").map(parseAttribute)));
  if (relatives.flat().length > nameAttributesMax)
    throw new NameFault(`a name has at most ${nameAttributesMax} attributes`, "write a shorter one");
  return relatives.reverse();
}

/** The one RFC 4514 text of a name: equal texts mean equal names. */
export function printName(name: DistinguishedName): string {
  return name
    .map((relative) =>
      relative.map(({ type, value }) => `${keywordOf.get(type) ?? type}=${printValue(value)}`).join("+"),
    )
    .reverse()
    .join(",");
}

function sorted(attributes: readonly NameAttribute[]): readonly NameAttribute[] {
  const key = ({ type, value }: NameAttribute) => `${type}=${value}`;
  return [...attributes].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

/** At every separator that no backslash stands before. */
function splitAt(text: string, separator: "," | "+"): readonly string[] {
  const parts: string[] = [];
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === separator) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, text.slice(from)];
}

function parseAttribute(text: string): NameAttribute {
  const at = text.indexOf("=");
  const word = at < 0 ? text : text.slice(0, at);
  const type = keywords.get(word.toUpperCase()) ?? (dotted.test(word) ? word : undefined);
  if (type === undefined || at < 0)
    throw new NameFault(
      "not a distinguished name (RFC 4514)",
      `write \`CN=orders,O=Acme,C=DE\` without spaces around \`,\`; types are ${[...keywords.keys()].join(", ")} or an object identifier`,
    );
  const value = parseValue(text.slice(at + 1));
  if (value === "" || value.length > nameValueMax || unseen.test(value))
    throw new NameFault(
      "a value that is empty, too long, or holds characters that are not seen",
      `write 1 to ${nameValueMax} characters that can be seen`,
    );
  return { type, value };
}

const escapable = new Set('"+,;<>\\ #=');

function parseValue(text: string): string {
  const refuse = (what: string) =>
    new NameFault(what, 'put `\\` before `"`, `+`, `,`, `;`, `<`, `>`, `\\`, and before a space or `#` at an edge');
  if (text.startsWith("#")) throw refuse("a value in hexadecimal");
  if (text.startsWith(" ")) throw refuse("a value that begins with a space");
  const bytes: number[] = [];
  let endsInSpace = false;
  for (let at = 0; at < text.length; ) {
    const pair = /^\\([0-9A-Fa-f]{2})/.exec(text.slice(at, at + 3))?.[1];
    const next = text[at + 1] ?? "";
    const [character = ""] = text.slice(at, at + 2);
    endsInSpace = false;
    if (pair !== undefined) {
      bytes.push(Number.parseInt(pair, 16));
      at += 3;
    } else if (character === "\\") {
      if (!escapable.has(next)) throw refuse("a backslash before nothing that needs one");
      bytes.push(...Buffer.from(next));
      at += 2;
    } else {
      if ('";<>'.includes(character)) throw refuse(`an unescaped ${character}`);
      const whole = String.fromCodePoint(text.codePointAt(at) ?? 0);
      bytes.push(...Buffer.from(whole));
      endsInSpace = whole === " ";
      at += whole.length;
    }
  }
  if (endsInSpace) throw refuse("a value that ends in a space");
  try {
    return utf8.decode(Uint8Array.from(bytes));
  } catch {
    throw refuse("a value that is not UTF-8");
  }
}

function printValue(value: string): string {
  const characters = [...value];
  return characters
    .map((character, at) => {
      const atEdge = (at === 0 && " #".includes(character)) || (at === characters.length - 1 && character === " ");
      return atEdge || '"+,;<>\\'.includes(character) ? `\\${character}` : character;
    })
    .join("");
}
