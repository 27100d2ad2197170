// Promises to know a host that is private by its very name, so that configuration can ask for the word. Trusts nothing.
// What a name resolves to is judged at every dial (kernel/dial), not here. Source: IANA special-purpose registries (RFC 6890).
import { BlockList, isIP } from "node:net";

/** True for `localhost` and literal loopback, private, link-local and unspecified addresses. */
export function needsPrivateWord(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (host === "localhost" || host.endsWith(".localhost")) return true;
  const family = isIP(host);
  if (family === 0) return false;
  return family === 4 ? blocks4.check(host, "ipv4") : blocks6.check(host, "ipv6");
}

// Two lists: in one, `::ffff:0:0/96` would be the mapped form of every IPv4 address, and all of them private.
const blocks4 = new BlockList();
for (const [net, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
] as const)
  blocks4.addSubnet(net, bits, "ipv4");

const blocks6 = new BlockList();
for (const [net, bits] of [
  ["::", 127],
  ["::ffff:0:0", 96],
  ["fc00::", 7],
  ["fe80::", 10],
] as const)
  blocks6.addSubnet(net, bits, "ipv6");
