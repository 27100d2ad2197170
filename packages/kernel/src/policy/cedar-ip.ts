// Promises ranges of addresses as Cedar reads and compares them; null for what Cedar, or this file, does not read. Trusts nothing.
// Specified by the Cedar language reference (ipaddr); held against the evaluator by differential tests.
import { isIPv4, isIPv6 } from "node:net";

export interface IpRange {
  readonly bits: 32 | 128;
  /** As it was written, its host part included. */
  readonly address: bigint;
  readonly prefix: number;
}

/** `10.0.0.0/8`, `10.1.2.3`, `fe80::/10`. An IPv4 address inside an IPv6 one and a zone are refused, as Cedar does. */
export function parseIpRange(text: string): IpRange | null {
  const [host = "", prefixText, more] = text.split("/");
  if (more !== undefined) return null;
  const bits = isIPv4(host) ? 32 : isIPv6(host) && !host.includes(".") && !host.includes("%") ? 128 : null;
  if (bits === null) return null;
  const prefix = prefixText === undefined ? bits : prefixOf(prefixText, bits);
  if (prefix === null) return null;
  return { bits, address: bits === 32 ? fourOf(host) : sixOf(host), prefix };
}

function prefixOf(text: string, bits: number): number | null {
  if (!/^(?:0|[1-9]\d{0,2})$/.test(text)) return null;
  return Number(text) <= bits ? Number(text) : null;
}

function fourOf(host: string): bigint {
  return host.split(".").reduce((value, part) => value * 256n + BigInt(part), 0n);
}

function sixOf(host: string): bigint {
  const [left = "", right] = host.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [before, after] = [groups(left), right === undefined ? [] : groups(right)];
  const zeros = right === undefined ? [] : Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].reduce((value, group) => value * 65_536n + BigInt(`0x${group}`), 0n);
}

/** The first and the last address of a range. */
function ends({ bits, address, prefix }: IpRange): readonly [bigint, bigint] {
  const host = (1n << BigInt(bits - prefix)) - 1n;
  const first = address & ~host;
  return [first, first | host];
}

/** Is every address of the one in the other? */
export function isInRange(one: IpRange, other: IpRange): boolean {
  if (one.bits !== other.bits) return false;
  const [[first, last], [from, to]] = [ends(one), ends(other)];
  return first >= from && last <= to;
}

const loopbackFour = parseIpRange("127.0.0.0/8");
const loopbackSix = parseIpRange("::1/128");
const multicastFour = parseIpRange("224.0.0.0/4");
const multicastSix = parseIpRange("ff00::/8");

function isWithin(range: IpRange, four: IpRange | null, six: IpRange | null): boolean {
  const whole = range.bits === 32 ? four : six;
  return whole !== null && isInRange(range, whole);
}

export function isLoopback(range: IpRange): boolean {
  return isWithin(range, loopbackFour, loopbackSix);
}

export function isMulticast(range: IpRange): boolean {
  return isWithin(range, multicastFour, multicastSix);
}
