// Promises the 4 or 16 bytes of an address literal, and their one canonical text. Trusts node:net to say what is a literal.
// Source: RFC 4291 §2.2.
import { isIPv4, isIPv6 } from "node:net";

/** 4 or 16 bytes; null for anything that is not a plain literal (a zone is not plain). */
export function parseAddress(text: string): Uint8Array | null {
  if (isIPv4(text)) return Uint8Array.from(text.split(".").map(Number));
  if (!isIPv6(text) || text.includes("%")) return null;
  const dotted = text.lastIndexOf(":") + 1;
  const tail = text.slice(dotted);
  // A dotted tail stands for the last two groups.
  const [a = 0, b = 0, c = 0, d = 0] = tail.includes(".") ? tail.split(".").map(Number) : [];
  const plain = tail.includes(".")
    ? `${text.slice(0, dotted)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
    : text;
  const [head = "", rest] = plain.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const left = groups(head);
  const right = rest === undefined ? [] : groups(rest);
  const gap = new Array<number>(8 - left.length - right.length).fill(0);
  return Uint8Array.from([...left, ...gap, ...right].flatMap((group) => [group >> 8, group & 0xff]));
}

/** One text per address, for comparing; IPv4-mapped addresses compare as the IPv4 address they carry. null when not a literal. */
export function addressKey(text: string): string | null {
  const bytes = parseAddress(text);
  if (bytes === null) return null;
  const mapped =
    bytes.length === 16 && bytes.subarray(0, 10).every((b) => b === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return Buffer.from(mapped ? bytes.subarray(12) : bytes).toString("hex");
}

export interface Network {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** `10.0.0.0/8`. Throws TypeError for anything else. */
export function parseNetwork(text: string): Network {
  const [literal = "", bits = ""] = text.split("/");
  const bytes = parseAddress(literal);
  if (bytes === null || !/^\d{1,3}$/.test(bits) || Number(bits) > bytes.length * 8)
    throw new TypeError(`${text} is not a network`);
  return { bytes, bits: Number(bits) };
}

export function contains(network: Network, address: Uint8Array): boolean {
  if (network.bytes.length !== address.length) return false;
  for (let bit = 0; bit < network.bits; bit += 8) {
    const mask = network.bits - bit >= 8 ? 0xff : (0xff << (8 - (network.bits - bit))) & 0xff;
    if (((network.bytes[bit / 8] ?? 0) & mask) !== ((address[bit / 8] ?? 0) & mask)) return false;
  }
  return true;
}
