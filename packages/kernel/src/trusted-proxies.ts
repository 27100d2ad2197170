// Promises whose word about where a request came from counts: the nearest hop that no trusted proxy vouches for, and the peer wherever that word is not
// well-formed. Trusts the TCP peer and the networks its operator named. Pure. RFC 7239 §4-6; specified in docs/behind-a-proxy.md "The identity listener" and docs/authorizer.md.
import { BlockList, isIP, isIPv4, SocketAddress } from "node:net";

/** The one field that the proxies write. The other one is whatever a client sent, and is not read. */
export const forwardingFields = ["x-forwarded-for", "forwarded"] as const;
export type ForwardingField = (typeof forwardingFields)[number];

export const proxyNetworksMax = 64;
/** Hops that are walked: more trusted proxies in a row than this are a loop. */
export const hopsMax = 16;
/** Characters of one hop. */
const hopCharactersMax = 256;

export interface TrustedProxies {
  readonly field: ForwardingField;
  /** Takes an address as `plainAddress` writes it. */
  isTrusted(address: string): boolean;
}

/** Nobody is believed. */
export const noProxies: TrustedProxies = { field: "x-forwarded-for", isTrusted: () => false };

/** What is wrong with a list of networks; `message` names the entry. */
export class ProxyNetworkFault extends Error {
  readonly fix: string;
  constructor(message: string, fix: string) {
    super(message);
    this.name = "ProxyNetworkFault";
    this.fix = fix;
  }
}

/** `networks`: addresses or CIDRs, at most 64, none that holds everybody. Throws ProxyNetworkFault. */
export function trustedProxies(networks: readonly string[], field: ForwardingField): TrustedProxies {
  if (networks.length > proxyNetworksMax)
    throw new ProxyNetworkFault(`more than ${proxyNetworksMax} networks of proxies`, "name larger networks");
  const trusted = new BlockList();
  for (const network of networks) addNetwork(trusted, network);
  return {
    field,
    isTrusted: (address) => isIP(address) !== 0 && trusted.check(address, isIPv4(address) ? "ipv4" : "ipv6"),
  };
}

const example = "write an address or a network, for example 10.1.2.3, 10.1.0.0/16 or fd00:1::/64";

function addNetwork(trusted: BlockList, network: string): void {
  const [head = "", length, ...more] = network.split("/");
  const address = plainAddress(head);
  const isWhole = more.length === 0 && (length === undefined || /^(?:0|[1-9]\d{0,2})$/.test(length));
  if (address === null || !isWhole) throw new ProxyNetworkFault(`"${network}" is not a network`, example);
  const bits = isIPv4(address) ? 32 : 128;
  // `::ffff:10.0.0.0/104` means the IPv4 network; which one is not guessed.
  if (isIPv4(address) !== isIPv4(head))
    throw new ProxyNetworkFault(`"${network}" is an IPv4 network in IPv6 clothes`, `write it as ${address}`);
  const prefix = length === undefined ? bits : Number(length);
  if (prefix > bits) throw new ProxyNetworkFault(`"${network}" is not a network`, example);
  if (prefix === 0)
    throw new ProxyNetworkFault(
      `"${network}" is everybody: anybody could write any address`,
      "name the addresses of your proxies",
    );
  if (hasHostBits(address, prefix, bits))
    throw new ProxyNetworkFault(
      `"${network}" is an address inside a network, so one of the two is not meant`,
      `write ${address}/${bits} for that address alone, or the first address of the network`,
    );
  trusted.addSubnet(address, prefix, bits === 32 ? "ipv4" : "ipv6");
}

function hasHostBits(address: string, prefix: number, bits: number): boolean {
  const host = BigInt(bits - prefix);
  return (numberOf(address) & ((1n << host) - 1n)) !== 0n;
}

function numberOf(address: string): bigint {
  if (isIPv4(address)) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const zeros = Array<string>(Math.max(0, 8 - groups(head).length - groups(tail).length)).fill("0");
  return [...groups(head), ...zeros, ...groups(tail)].reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}

/** One spelling of an address: IPv4 inside IPv6 as IPv4, the rest as RFC 5952 writes it. Null for what is no address, and for one with a zone. */
export function plainAddress(text: string): string | null {
  const version = text.includes("%") ? 0 : isIP(text);
  if (version !== 6) return version === 4 ? text : null;
  const address = new SocketAddress({ address: text, family: "ipv6" }).address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  // Some systems write the last groups of other ranges with dots, too.
  return address.includes(".") ? null : address;
}

/**
 * Where a request came from. `peer`: the address of the connection; `lines`: every line of `field`, in the order they came.
 * Walked from the right: each proxy writes whom it saw behind what it was sent, so what stands left of the first hop that is not trusted was written by
 * anybody, and is not even read. Where a trusted proxy's own word is not an address, the peer is all that is known.
 */
export function decideSource(proxies: TrustedProxies, peer: string, lines: readonly string[]): string {
  const here = plainAddress(peer);
  if (here === null || lines.length === 0) return here ?? peer;
  let rest: string | null = lines.join(",");
  let source = here;
  for (let hops = 0; rest !== null && proxies.isTrusted(source); hops += 1) {
    const last: Cut | null = hops < hopsMax ? cutLast(rest) : null;
    const address = last === null ? null : hopAddress(last.hop, proxies.field);
    if (last === null || address === null) return here;
    source = address;
    rest = last.rest;
  }
  return source;
}

interface Cut {
  readonly hop: string;
  readonly rest: string | null;
}

/** The last member of the list. A quote that somebody left open further left opens nothing here: only a member whole in itself is one. */
function cutLast(list: string): Cut | null {
  for (let end = list.length; end > 0; ) {
    const comma = list.lastIndexOf(",", end - 1);
    const hop = list.slice(comma + 1);
    if (hop.length > hopCharactersMax) return null;
    if (hop.split('"').length % 2 === 1) return { hop: trimmed(hop), rest: comma < 0 ? null : list.slice(0, comma) };
    end = comma;
  }
  return null;
}

/** Without the white space of RFC 9110 §5.6.3, which is less than JavaScript's. */
const trimmed = (text: string): string => text.replace(/^[\t ]+/, "").replace(/[\t ]+$/, "");

function hopAddress(hop: string, field: ForwardingField): string | null {
  if (field === "x-forwarded-for") return nodeAddress(hop);
  const named = hop.split(";").map((pair) => /^for=(?:"([^"\\]*)"|([^"\\]*))$/i.exec(trimmed(pair)));
  const [only, ...others] = named.filter((pair) => pair !== null);
  // RFC 7239 §4: each parameter at most once.
  return only === undefined || others.length > 0 ? null : nodeAddress(only[1] ?? only[2] ?? "");
}

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`; null for `unknown`, `_hidden` and everything else. */
function nodeAddress(text: string): string | null {
  const bare = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text)?.[1];
  if (bare !== undefined) return isIP(bare) === 6 ? plainAddress(bare) : null;
  return plainAddress(/^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? text);
}
