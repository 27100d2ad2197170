// Promises what a header of the PROXY protocol, version 2, says of where a connection came from, or that it says nothing that may be believed: nothing is
// guessed and nothing repaired. Trusts nothing of the octets; whose octets they are is judged before (proxied-connection.ts). Pure.
// The PROXY protocol, 2.2 (binary header, version 2); specified in docs/behind-a-proxy.md "PROXY protocol".
import { plainAddress } from "@sallyport/kernel/trusted-proxies.ts";

/** Signature, version and command, family and transport, length of the rest. */
export const startBytes = 16;
/** Of a whole header: what fits the smallest TCP segment, which is what the specification asks senders to stay within. */
export const headerBytesMax = 536;

/** `missing`: what came is no such header at all, version 1 included. */
export type HeaderFault = "missing" | "malformed";

/** `address`: of whom the proxy speaks for; null: it speaks for itself, and the address of the connection is the true one. */
export interface ToldSource {
  readonly address: string | null;
}

const signature = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const version2 = 0x20;
const command = { local: 0, proxy: 1 } as const;
/** TCP over IPv4 and over IPv6: of other families no address is known here, and HTTP comes over no datagrams. */
const addressBytesOf: ReadonlyMap<number, number> = new Map([
  [0x11, 4],
  [0x21, 16],
]);
const checksumType = 0x03;
const checksumBytes = 4;

/** How many octets follow the first 16. `start`: as many as came of these 16. */
export function restLength(start: Uint8Array): number | HeaderFault {
  const octets = view(start);
  if (octets.length < startBytes || !octets.subarray(0, signature.length).equals(signature)) return "missing";
  const asked = octets.readUInt8(12);
  const isKnown = asked === (version2 | command.local) || asked === (version2 | command.proxy);
  const length = octets.readUInt16BE(14);
  return isKnown && length <= headerBytesMax - startBytes ? length : "malformed";
}

/** `header`: the first 16 octets, which `restLength` has judged, and what follows them. */
export function readProxyHeader(header: Uint8Array): ToldSource | HeaderFault {
  const octets = view(header);
  // Of a check of its own the rest means nothing, and is not even read.
  if (octets.readUInt8(12) === (version2 | command.local)) return { address: null };
  const size = addressBytesOf.get(octets.readUInt8(13));
  if (size === undefined) return "malformed";
  const ports = startBytes + 2 * size;
  const extras = ports + 4;
  if (octets.length < extras) return "malformed";
  // No TCP connection has a port 0.
  if (octets.readUInt16BE(ports) === 0 || octets.readUInt16BE(ports + 2) === 0) return "malformed";
  const address = addressIn(octets.subarray(startBytes, startBytes + size));
  return address !== null && areExtrasWhole(octets, extras) ? { address } : "malformed";
}

const view = (octets: Uint8Array): Buffer => Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);

/** In the one spelling addresses have here; null for what stands for no host. */
function addressIn(octets: Buffer): string | null {
  if (octets.every((octet) => octet === 0)) return null;
  if (octets.length === 4) return octets.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => octets.readUInt16BE(2 * i).toString(16));
  return plainAddress(groups.join(":"));
}

/** Type, length, value, to the last octet; a checksum that is there has to fit. */
function areExtrasWhole(octets: Buffer, from: number): boolean {
  let checksumAt: number | null = null;
  let at = from;
  while (at < octets.length) {
    if (at + 3 > octets.length) return false;
    const type = octets.readUInt8(at);
    const value = at + 3;
    at = value + octets.readUInt16BE(value - 2);
    if (type !== checksumType) continue;
    if (checksumAt !== null || at - value !== checksumBytes) return false;
    checksumAt = value;
  }
  if (at !== octets.length) return false;
  return checksumAt === null || octets.readUInt32BE(checksumAt) === checksumOf(octets, checksumAt);
}

/** CRC-32C (Castagnoli) over the header with four zeros where the checksum stands. */
function checksumOf(octets: Buffer, checksumAt: number): number {
  let crc = 0xffff_ffff;
  for (const [at, octet] of octets.entries()) {
    crc ^= at >= checksumAt && at < checksumAt + checksumBytes ? 0 : octet;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
