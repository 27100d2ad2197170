// Promises strict DER: one encoding per value when writing, and nothing but that encoding when reading.

/** Bytes that are not the DER of what was expected. Callers turn it into a refusal. */
export class DerFault extends Error {
  readonly code = "der-malformed";

  constructor(message: string) {
    super(message);
    this.name = "DerFault";
  }
}

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

/** One element: tag, shortest length, the parts joined. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  return Buffer.concat([Uint8Array.of(tag, ...lengthBytes(content.length)), content]);
}

/** A non-negative INTEGER from its big-endian magnitude, shortest form. */
export function derInteger(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start += 1;
  const bytes = magnitude.length === 0 ? Uint8Array.of(0) : magnitude.subarray(start);
  const signed = (bytes[0] ?? 0) >= 0x80;
  return der(derTag.integer, signed ? Uint8Array.of(0) : new Uint8Array(0), bytes);
}

/** An OBJECT IDENTIFIER from its dotted text. */
export function derOid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift(0x80 | (left % 128));
    bytes.push(...groups);
  }
  return der(derTag.oid, Uint8Array.from(bytes));
}

/** A BIT STRING of whole bytes. */
export function derBits(bytes: Uint8Array, unused = 0): Uint8Array {
  return der(derTag.bitString, Uint8Array.of(unused), bytes);
}

/** UTCTime up to 2049, GeneralizedTime after (RFC 5280 §4.1.2.5); whole seconds. */
export function derTime(atMs: number): Uint8Array {
  const digits = new Date(atMs).toISOString().replace(/[-:T]|\.\d+/g, "");
  const year = Number(digits.slice(0, 4));
  return year >= 1950 && year < 2050
    ? der(derTag.utcTime, Buffer.from(digits.slice(2), "ascii"))
    : der(derTag.generalizedTime, Buffer.from(digits, "ascii"));
}

export interface DerElement {
  readonly tag: number;
  /** The content, without tag and length. */
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly whole: Uint8Array;
}

function readOne(bytes: Uint8Array, at: number): DerElement & { readonly end: number } {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw new DerFault("cut short");
  if ((tag & 0x1f) === 0x1f) throw new DerFault("a tag number above 30 is not part of a certificate");
  let length = first;
  let start = at + 2;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 3) throw new DerFault("an indefinite or oversized length");
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + (bytes[start + i] ?? 0);
    start += count;
    if (length < 0x80 || length < 256 ** (count - 1)) throw new DerFault("a length that is not in its shortest form");
  }
  const end = start + length;
  if (end > bytes.length) throw new DerFault("a length beyond the end");
  return { tag, content: bytes.subarray(start, end), whole: bytes.subarray(at, end), end };
}

/** The one element that `bytes` consists of. Faults: DerFault, also for trailing bytes or another tag than `tag`. */
export function readDer(bytes: Uint8Array, tag?: number): DerElement {
  const element = readOne(bytes, 0);
  if (element.end !== bytes.length) throw new DerFault("bytes after the end");
  if (tag !== undefined && element.tag !== tag) throw new DerFault(`tag ${element.tag} where ${tag} was expected`);
  return element;
}

/** The elements that `content` consists of, at most `countMax`. Faults: DerFault. */
export function readDerList(content: Uint8Array, countMax = 256): readonly DerElement[] {
  const elements: DerElement[] = [];
  for (let at = 0; at < content.length; ) {
    if (elements.length === countMax) throw new DerFault(`more than ${countMax} elements`);
    const element = readOne(content, at);
    elements.push(element);
    at = element.end;
  }
  return elements;
}

/** Dotted text of an OBJECT IDENTIFIER's content. Faults: DerFault. */
export function readOid(content: Uint8Array): string {
  const arcs: number[] = [];
  let arc = 0;
  let fresh = true;
  for (const byte of content) {
    if (fresh && byte === 0x80) throw new DerFault("an object identifier with a padded arc");
    arc = arc * 128 + (byte & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER) throw new DerFault("an object identifier arc that is too large");
    fresh = byte < 0x80;
    if (fresh) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [head, ...rest] = arcs;
  if (head === undefined || !fresh) throw new DerFault("an object identifier that is cut short");
  const first = Math.min(2, Math.floor(head / 40));
  return [first, head - first * 40, ...rest].join(".");
}

/** Strict BOOLEAN content: 0x00 or 0xff. Faults: DerFault. */
export function readBoolean(content: Uint8Array): boolean {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff))
    throw new DerFault("a boolean that is neither 00 nor ff");
  return content[0] === 0xff;
}

/** Milliseconds since the epoch of a UTCTime or GeneralizedTime in the form RFC 5280 §4.1.2.5 demands. Faults: DerFault. */
export function readTime(element: DerElement): number {
  const text = Buffer.from(element.content).toString("latin1");
  const utc = element.tag === derTag.utcTime && /^\d{12}Z$/.test(text);
  const general = element.tag === derTag.generalizedTime && /^\d{14}Z$/.test(text);
  if (!utc && !general) throw new DerFault("a time that is not in the form of RFC 5280");
  const century = utc ? (Number(text.slice(0, 2)) < 50 ? "20" : "19") : "";
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text) ?? [];
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const atMs = Date.parse(iso);
  if (Number.isNaN(atMs) || new Date(atMs).toISOString() !== iso) throw new DerFault("a time that does not exist");
  return atMs;
}
