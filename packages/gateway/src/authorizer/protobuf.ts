// Promises the fields of one protobuf message, or that it is none: nothing is read twice, nothing is guessed, and what nobody here knows is skipped.
// Trusts whoever bounds the message. Specified in the Protocol Buffers encoding (protobuf.dev/programming-guides/encoding); stricter than it where a field
// that may be there once is there twice.

/** Thrown for octets that are no message, or not the one that was asked for; its text names octets of nobody. */
export class WireFault extends Error {}

/** By number, in order of arrival; null: a number, whose value nobody here reads. */
export type Fields = ReadonlyMap<number, readonly (Uint8Array | null)[]>;

const wireType = { varint: 0, fixed64: 1, length: 2, fixed32: 5 } as const;
const fieldNumberMax = 2 ** 29 - 1;
const varintBytesMax = 10;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function readFields(message: Uint8Array): Fields {
  const fields = new Map<number, (Uint8Array | null)[]>();
  for (let at = 0; at < message.length; ) {
    const tag = readVarint(message, at);
    const number = Math.floor(tag.value / 8);
    if (number < 1 || number > fieldNumberMax) throw new WireFault("a field has no number");
    const { value, next } = readValue(message, tag.next, tag.value % 8);
    const values = fields.get(number);
    if (values === undefined) fields.set(number, [value]);
    else values.push(value);
    at = next;
  }
  return fields;
}

/** Content of a field that may be there once; null: it is not. */
export function oneOf(fields: Fields, number: number): Uint8Array | null {
  const [value = null, ...more] = allOf(fields, number);
  if (more.length > 0) throw new WireFault(`field ${number} is there twice`);
  return value;
}

/** Contents of a repeated field. */
export function allOf(fields: Fields, number: number): readonly Uint8Array[] {
  return (fields.get(number) ?? []).map((value) => {
    if (value === null) throw new WireFault(`field ${number} is a number`);
    return value;
  });
}

/** A text that may be there once; empty where it is not. */
export function textOf(fields: Fields, number: number): string {
  const octets = oneOf(fields, number);
  if (octets === null) return "";
  try {
    return utf8.decode(octets);
  } catch {
    throw new WireFault(`field ${number} is no UTF-8`);
  }
}

/** Fields of a message in a message; none where it is not there. */
export function messageOf(fields: Fields, number: number): Fields {
  return readFields(oneOf(fields, number) ?? new Uint8Array(0));
}

function readValue(message: Uint8Array, at: number, type: number): { value: Uint8Array | null; next: number } {
  if (type === wireType.varint) return { value: null, next: readVarint(message, at).next };
  if (type === wireType.fixed64 || type === wireType.fixed32) {
    const next = at + (type === wireType.fixed64 ? 8 : 4);
    if (next > message.length) throw new WireFault("the message ends inside a field");
    return { value: null, next };
  }
  // Groups were never in proto3; 6 and 7 are nothing.
  if (type !== wireType.length) throw new WireFault("a field of a type that is none");
  const { value: length, next: from } = readVarint(message, at);
  const next = from + length;
  if (next > message.length) throw new WireFault("the message ends inside a field");
  return { value: message.subarray(from, next), next };
}

/** Exact for every tag and length that a bounded message can have; of larger ones only the end counts. */
function readVarint(message: Uint8Array, from: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let i = 0; i < varintBytesMax; i++) {
    const octet = message[from + i];
    if (octet === undefined) throw new WireFault("the message ends inside a number");
    value += (octet & 0x7f) * 2 ** (7 * i);
    if (octet < 0x80) return { value, next: from + i + 1 };
  }
  throw new WireFault("a number has too many octets");
}

/** A field with a length: a text, a message, octets. */
export function writeField(number: number, content: string | Uint8Array): Buffer {
  const octets = typeof content === "string" ? Buffer.from(content, "utf8") : content;
  const tag = number * 8 + wireType.length;
  return Buffer.concat([Buffer.from([...varint(tag), ...varint(octets.length)]), octets]);
}

/** A number from 0 to 2^31-1. */
export function writeNumber(number: number, value: number): Buffer {
  return Buffer.from([...varint(number * 8 + wireType.varint), ...varint(value)]);
}

function varint(value: number): number[] {
  const octets: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) octets.push((rest % 128) + 128);
  octets.push(rest);
  return octets;
}
