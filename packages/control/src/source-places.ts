// Promises that one network cannot take every connection of a listener: so many per /24 or /56, and each one over is closed and counted.
// Trusts the kernel's textual form of the peer address. Specified in docs/control.md "Connections".
import { BlockList, isIP, type Server, type Socket } from "node:net";

/** Connections of one network (/24 of IPv4, /56 of IPv6) at one listener. */
export const sourceConnectionsMax = 64;
/** Loopback is this machine: everything on it shares one address, so it has more, but never all of a listener's places. */
export const loopbackConnectionsMax = 192;

/** A proxy that ends TLS has one connection for many clients at a time; it has more, but never all of a listener's places. */
export const proxyConnectionsMax = 512;

export interface SourcePlaces {
  /** This connection no longer counts against its network: its handshake is over, and something else bounds it. */
  free(socket: Pick<Socket, "remoteAddress" | "remotePort">): void;
}

/**
 * Bounds `server` by source from now on; `refused` is called for each connection it, or `maxConnections`, turns away.
 * `isProxy`: who comes from there stands for many.
 */
export function boundSources(
  server: Server,
  refused: () => void,
  isProxy: (address: string) => boolean = () => false,
): SourcePlaces {
  const counts = new Map<string, number>();
  const held = new Map<string, string>();
  const leave = (key: string) => {
    const prefix = held.get(key);
    if (prefix === undefined) return;
    held.delete(key);
    const left = (counts.get(prefix) ?? 1) - 1;
    if (left === 0) counts.delete(prefix);
    else counts.set(prefix, left);
  };
  server.on("drop", refused);
  server.prependListener("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    const network = sourcePrefix(address);
    // Counted apart: a proxy leaves its neighbours their places, and they leave it its own.
    const prefix = isProxy(address) ? `proxy ${network}` : network;
    const count = counts.get(prefix) ?? 0;
    if (count >= boundOf(prefix)) {
      refused();
      socket.destroy();
      return;
    }
    const key = keyOf(socket);
    counts.set(prefix, count + 1);
    held.set(key, prefix);
    socket.once("close", () => leave(key));
  });
  return { free: (socket) => leave(keyOf(socket)) };
}

function boundOf(prefix: string): number {
  if (prefix.startsWith("proxy ")) return proxyConnectionsMax;
  return prefix === "loopback" ? loopbackConnectionsMax : sourceConnectionsMax;
}

const keyOf = ({ remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">) =>
  `${remoteAddress} ${remotePort}`;

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** `loopback`, `203.0.113` or the first 14 hexadecimal digits of an IPv6 address; `other` for what is no address. */
export function sourcePrefix(remote: string): string {
  const zoneless = remote.split("%", 1)[0] ?? remote;
  const address = /^::ffff:[\d.]+$/i.test(zoneless) ? zoneless.slice(7) : zoneless;
  const version = isIP(address);
  if (version === 0) return "other";
  if (loopback.check(address, version === 4 ? "ipv4" : "ipv6")) return "loopback";
  if (version === 4) return address.slice(0, address.lastIndexOf("."));
  const [head = "", tail = ""] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0");
  return [...left, ...zeros, ...right]
    .map((group) => group.padStart(4, "0"))
    .join("")
    .toLowerCase()
    .slice(0, 14);
}
