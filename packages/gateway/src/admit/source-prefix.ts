// Promises the network a source address belongs to, coarse enough that one customer cannot look like many: /24 for IPv4, /48 for IPv6.
// Trusts the kernel's textual form of the peer address. Prefix lengths: DESIGN §4 admit; RFC 6177: a site may hold a whole /48.
import type { AddressClass } from "@sallyport/protocol/audit/leaf.ts";

export interface Source {
  /** The address as the kernel gave it, IPv4-mapped forms reduced to IPv4. */
  readonly address: string;
  /** `v4:203.0.113` or `v6:20010db80000`: the counted network. */
  readonly prefix: string;
  readonly addressClass: AddressClass;
}

/** Bits of an address that name a source; null: the network of `prefix`, /24 and /48. */
export type SourceLengths = { readonly v4: number; readonly v6: number } | null;

/** What the source is counted as. */
export function sourceKey({ address, prefix }: Source, lengths: SourceLengths): string {
  if (lengths === null) return prefix;
  const groups = address.includes(":") ? expandV6(address.split("%", 1)[0] ?? address) : null;
  if (groups !== null) return `v6:${leadingBits(groups, 16, lengths.v6)}`;
  const octets = address.split(".").map(Number);
  return octets.length === 4 ? `v4:${leadingBits(octets, 8, lengths.v4)}` : prefix;
}

function leadingBits(parts: readonly number[], width: number, length: number): string {
  const all = parts.reduce((sum, part) => (sum << BigInt(width)) | BigInt(part), 0n);
  return (all >> BigInt(parts.length * width - length)).toString(16);
}

const unknown: Source = { address: "", prefix: "other", addressClass: "other" };

/** Classifies a peer address. An address that cannot be read belongs to the one prefix `other`. */
export function sourceOf(remote: string | undefined): Source {
  if (remote === undefined) return unknown;
  const address = remote.startsWith("::ffff:") && remote.includes(".") ? remote.slice(7) : remote;
  if (address.includes(":")) return sourceOfV6(address);
  const octets = address.split(".");
  if (octets.length !== 4) return unknown;
  return {
    address,
    prefix: `v4:${octets[0]}.${octets[1]}.${octets[2]}`,
    addressClass: classOfV4(Number(octets[0]), Number(octets[1])),
  };
}

function classOfV4(first: number, second: number): AddressClass {
  if (first === 127) return "loopback";
  if (first === 10 || (first === 172 && second >= 16 && second <= 31) || (first === 192 && second === 168))
    return "private";
  if (first === 100 && second >= 64 && second <= 127) return "private"; // RFC 6598 shared address space
  if (first === 169 && second === 254) return "private";
  return first === 0 || first >= 224 ? "other" : "public-v4";
}

function sourceOfV6(text: string): Source {
  const address = text.split("%", 1)[0] ?? text;
  const groups = expandV6(address);
  if (groups === null) return unknown;
  const hex = groups.map((group) => group.toString(16).padStart(4, "0")).join("");
  return { address, prefix: `v6:${hex.slice(0, 12)}`, addressClass: classOfV6(groups) };
}

function classOfV6(groups: readonly number[]): AddressClass {
  const first = groups[0] ?? 0;
  if (groups.every((group, i) => group === (i === 7 ? 1 : 0))) return "loopback";
  if ((first & 0xfe00) === 0xfc00 || (first & 0xffc0) === 0xfe80) return "private";
  return (first & 0xe000) === 0x2000 ? "public-v6" : "other";
}

function expandV6(address: string): number[] | null {
  const [head, tail, extra] = address.split("::");
  if (extra !== undefined || head === undefined) return null;
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = 8 - left.length - right.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...left, ...Array<string>(Math.max(0, missing)).fill("0"), ...right].map((group) =>
    Number.parseInt(group, 16),
  );
  return groups.some(Number.isNaN) ? null : groups;
}
