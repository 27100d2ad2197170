// Promises leaf v1 in bytes: parse of print gives the same leaf, print of parse the same bytes, and no text chosen by a caller gets in.
// Trusts nothing: every field is held against its closed form, by the writer and by the reader. Specified in docs/formats/leaf.md.
import type { Leaf } from "./leaf.ts";
import {
  endedMembers,
  formerMembers,
  issuedMembers,
  type LeafType,
  leafMembers,
  leafVersions,
  type Member,
  numberForm,
  tokenMembers,
} from "./leaf-form.ts";
import { createMemberPrinter, type MemberPrinter } from "./member-printer.ts";

/** C2SP tlog-tiles: entries carry a uint16 length. */
export const leafBytesMax = 65_535;

/** No leaf of v1 is shorter: its version, type, time and place alone are more. */
export const leafBytesMin = 64;

/** A leaf that does not have its form; names the member, never its value. */
export class LeafRefused extends Error {
  readonly code = "leaf-refused";
  constructor(why: string) {
    super(why);
    this.name = "LeafRefused";
  }
}

interface CompiledType {
  readonly t: LeafType;
  /** Up to the quote behind the type. */
  readonly head: string;
  readonly members: readonly Member[];
  readonly printers: readonly MemberPrinter[];
  /** What a leaf begins with, up to where its leaves begin to look alike. */
  readonly start: RegExp;
  readonly middle: RegExp;
  readonly end: RegExp;
  /** The member that `end` begins with. */
  readonly endMark: string;
  /** Middles that have their form, and whether they deny. */
  readonly known: Map<string, boolean>;
  /** The one met last: compared before any is looked up. */
  last: { readonly middle: string; readonly denies: boolean };
}

/** Leaves of one caller and operation have one middle: it is judged once, not per leaf. */
const knownMiddlesMax = 1_024;
const middleMark = ',"tenant":';

const utf8 = new TextEncoder();

const types: ReadonlyMap<string, CompiledType> = new Map(
  // The keys of the table are the leaf types.
  Object.entries(leafMembers).map(([t, list]) => [t, compile(t, list, leafVersions[t as LeafType] ?? 1)]),
);
/** Forms that are read and not written any more. */
const formerTypes: ReadonlyMap<string, CompiledType> = new Map(
  Object.entries(formerMembers).map(([t, list]) => [t, compile(t, list, 1)]),
);
/** Second forms, of version 2, beside the first ones. */
const issuedTypes: ReadonlyMap<string, CompiledType> = new Map(
  Object.entries({ ...issuedMembers, ...endedMembers }).map(([t, list]) => [t, compile(t, list, 2)]),
);
/** Third forms, of version 3. */
const tokenTypes: ReadonlyMap<string, CompiledType> = new Map(
  Object.entries(tokenMembers).map(([t, list]) => [t, compile(t, list, 3)]),
);

function compile(t: string, list: readonly Member[], version: number): CompiledType {
  const head = `{"v":${version},"t":"${t}"`;
  const middleAt = list.findIndex(({ name }) => name === "tenant");
  const endAt = list.findIndex(({ unique, value }, i) => i > middleAt && (unique || value === numberForm));
  const form = (from: number, to?: number) =>
    list
      .slice(from, to)
      .map((member) => `,"${member.name}":${member.value}`)
      .join("");
  return {
    // The table knows exactly the leaf types, so a name found there is one.
    t: t as LeafType,
    head,
    members: list,
    printers: list.map(createMemberPrinter),
    start: new RegExp(`\\{"v":${version},"t":"${t}"${form(0, middleAt)}(?=${middleMark})`, "y"),
    middle: new RegExp(`^${form(middleAt, endAt)}$`),
    end: new RegExp(`${form(endAt)}\\}$`, "y"),
    endMark: `,"${list[endAt]?.name}":`,
    known: new Map(),
    last: { middle: "\n", denies: false },
  };
}

/**
 * Prints one leaf as the bytes that are stored and hashed (ASCII JSON, fixed order, at most 65,535 bytes).
 * Throws LeafRefused naming the member that does not have its closed form: a bug of the writer. docs/formats/leaf.md.
 */
export function printLeaf(leaf: Leaf): Uint8Array {
  return utf8.encode(printLeafText(leaf));
}

/** One that was read from a log of before: it prints as it was read. */
const isFormer = (leaf: Leaf): boolean => leaf.t === "issuance" && !("grantType" in leaf);

function formOf(leaf: Leaf): CompiledType | undefined {
  if ("token" in leaf && leaf.t !== "issuance") return tokenTypes.get(leaf.t);
  if ("issuer" in leaf || "messagesIn" in leaf) return issuedTypes.get(leaf.t);
  return (isFormer(leaf) ? formerTypes : types).get(leaf.t);
}

/** The same as text. Every closed form is ASCII, so a character is a byte. Throws as printLeaf does. */
export function printLeafText(leaf: Leaf): string {
  const type = formOf(leaf);
  if (type === undefined) throw new LeafRefused("leaf type is not one of v1");
  // A leaf is a flat record of scalars and one array of strings; members are read by the names of the table.
  const fields = leaf as unknown as Readonly<Record<string, unknown>>;
  let text = type.head;
  for (let i = 0; i < type.printers.length; i++) {
    const name = type.members[i]?.name ?? "";
    const printed = type.printers[i]?.(fields[name]) ?? null;
    if (printed === null) throw new LeafRefused(`${leaf.t}: ${name} does not have its closed form`);
    text += printed;
  }
  text += "}";
  if (Object.keys(fields).length !== type.members.length + 1)
    throw new LeafRefused(`${leaf.t}: a member is not one of v1`);
  refuseContradiction(fields);
  if (text.length > leafBytesMax) throw new LeafRefused(`a leaf has at most ${leafBytesMax} bytes`);
  return text;
}

/** Printed text of one member, by its place in the type. Throws LeafRefused where the value does not have its closed form. */
export function printMember(t: LeafType, name: string): (value: unknown) => string {
  const isIn = (type: CompiledType | undefined) => type?.members.some((member) => member.name === name) === true;
  // Which token was presented is a member of the third form alone.
  const type = isIn(types.get(t)) ? types.get(t) : tokenTypes.get(t);
  const printer = type?.printers[type.members.findIndex((member) => member.name === name)];
  if (printer === undefined) throw new LeafRefused(`${t}: ${name} is not a member of v1`);
  return (value) => {
    const printed = printer(value);
    if (printed === null) throw new LeafRefused(`${t}: ${name} does not have its closed form`);
    return printed;
  };
}

function refuseContradiction(fields: Readonly<Record<string, unknown>>): void {
  if (fields["verdict"] === "deny" && (fields["code"] === null || fields["stage"] === null)) {
    throw new LeafRefused("a deny names its code and its stage");
  }
  if (
    fields["verdict"] === "deny" &&
    fields["outcome"] === "denied" &&
    fields["mode"] !== undefined &&
    fields["mode"] !== "enforce"
  ) {
    throw new LeafRefused("a denial that ended a crossing was enforced");
  }
}

/** The characters of leaf bytes, one per byte; what is not ASCII fails every pattern later. */
export function leafText(bytes: Uint8Array): string {
  let text = "";
  // Bounded by leafBytesMax; chunks keep the argument list small.
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}

/** What a reader of many leaves needs without parsing: the type and the event id. */
export interface LeafHead {
  readonly t: LeafType;
  readonly id: string | null;
}

/** Behind the version and its comma. */
const versionEnd = '{"v":1,'.length;
/** Up to the type; the version is the digit in it. */
const headLength = '{"v":1,"t":"'.length;
const idStart = ',"id":"';
const idLengthMax = 154;

/** Type and id of a leaf from its first bytes alone; null when it does not begin like a leaf of v1. Without a pattern, because every append pays it. */
export function peekLeaf(text: string): LeafHead | null {
  const type = text.startsWith(lastType.head) ? lastType : typeOf(text);
  if (type === null) return null;
  const { t, head } = type;
  let id: string | null = null;
  let end = head.length;
  if (text.startsWith(idStart, end)) {
    const from = end + idStart.length;
    end = text.indexOf('"', from);
    if (end < 0 || end - from > idLengthMax) return null;
    id = text.slice(from, end++);
  }
  return text.startsWith(',"at":', end) ? { t, id } : null;
}

let lastType = compile("crossing", leafMembers.crossing, 1);

/** The type a leaf's text begins with. Leaves of one type often follow each other, so it is remembered. */
function typeOf(text: string): CompiledType | null {
  const t = text.slice(headLength, text.indexOf('"', headLength));
  const forms = [types.get(t), formerTypes.get(t), issuedTypes.get(t), tokenTypes.get(t)];
  const found = forms.find((type) => type !== undefined && text.startsWith(type.head));
  if (found !== undefined) lastType = found;
  return found ?? null;
}

/** Null when the text does not have the form of its type; else whether it denies. No value holds a quote, so the marks stand where they seem to. */
function readForm(type: CompiledType, text: string): boolean | null {
  const { start, last, endMark } = type;
  start.lastIndex = 0;
  if (!start.test(text)) return null;
  const middleAt = start.lastIndex;
  const lastEnd = middleAt + last.middle.length;
  // Sliced and compared: `startsWith` would go character by character.
  if (text.slice(middleAt, lastEnd) === last.middle && text.startsWith(endMark, lastEnd))
    return isEnd(type, text, lastEnd) ? last.denies : null;
  const endAt = text.indexOf(endMark, middleAt);
  if (endAt < 0 || !isEnd(type, text, endAt)) return null;
  const middle = text.slice(middleAt, endAt);
  let denies = type.known.get(middle);
  if (denies === undefined) {
    if (!type.middle.test(middle)) return null;
    denies = middle.includes('"verdict":"deny"');
    if (type.known.size === knownMiddlesMax) type.known.clear();
    type.known.set(middle, denies);
  }
  type.last = { middle, denies };
  return denies;
}

function isEnd({ end }: CompiledType, text: string, at: number): boolean {
  end.lastIndex = at;
  return end.test(text);
}

const denyWithoutReason = /"verdict":"deny","code":(?:null|"[^"]*","stage":null)/;
const unenforced = /,"mode":"(?:observe|passthrough)",/;

const anyHead = /^\{"v":([0-9]{1,4}),"t":"([a-z]{1,32})"/;

/** Of a leaf with a type or version that no form here has: that, and what to do. */
function unknownForm(text: string): string | null {
  const [head, version, t] = anyHead.exec(text) ?? [];
  if (head === undefined || t === undefined) return null;
  const forms = [types.get(t), formerTypes.get(t), issuedTypes.get(t), tokenTypes.get(t)];
  return forms.some((type) => type?.head === head)
    ? null
    : `is of type ${t}, version ${version}, which this version of Sallyport does not know: read it with a newer one`;
}

/** Why this text is not a leaf of v1 byte for byte, or null when it is. Does not build the leaf. */
export function refuseLeafText(text: string, head: LeafHead | null = peekLeaf(text)): string | null {
  if (head === null) return unknownForm(text) ?? "does not begin like a leaf of v1";
  if (text.length > leafBytesMax) return `is longer than ${leafBytesMax} bytes`;
  const type = text.startsWith(lastType.head) ? lastType : typeOf(text);
  const denies = type === null ? null : readForm(type, text);
  if (denies === null) return `is not the one spelling of a leaf of type ${head.t}`;
  if (!denies) return null;
  if (denyWithoutReason.test(text)) return "is a deny without code and stage";
  return text.includes(',"outcome":"denied",') && unenforced.test(text)
    ? "says denied of a crossing whose verdict was not enforced"
    : null;
}

/** Reads one leaf; throws LeafRefused unless printing the result would give exactly these bytes. docs/formats/leaf.md. */
export function parseLeaf(bytes: Uint8Array): Leaf {
  return parseLeafText(leafText(bytes.length > leafBytesMax ? bytes.subarray(0, leafBytesMax + 1) : bytes));
}

/** The same of its characters, one per byte: for whoever has a faster way to them than this package, which knows no buffers. */
export function parseLeafText(text: string): Leaf {
  const refusal = refuseLeafText(text);
  if (refusal !== null) throw new LeafRefused(`the leaf ${refusal}`);
  // Without its version, one digit: cut off the text, which costs less than a copy of the object without it. The pattern just tested admits exactly
  // the members and values of the type.
  return JSON.parse(`{${text.slice(versionEnd)}`) as Leaf;
}
