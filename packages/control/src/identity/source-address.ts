// Promises one answer to where a request came from and whose certificate its connection shows, for throttles, records, policies and proofs.
// Trusts the connection, and of a connection from a proxy that its operator named the one field that proxy writes. docs/behind-a-proxy.md.
import type { X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { decideSource, plainAddress, type TrustedProxies } from "@sallyport/kernel/trusted-proxies.ts";

/** What was found when a request came in; absent: nobody stands before this listener. */
const known = new WeakMap<IncomingMessage, { readonly address: string; readonly isForwarded: boolean }>();

/** Settles once, before anybody asks, where a request came from. */
export function settleSource(req: IncomingMessage, proxies: TrustedProxies): void {
  const peer = req.socket.remoteAddress ?? "";
  const { rawHeaders } = req;
  const lines = rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === proxies.field);
  known.set(req, {
    address: decideSource(proxies, peer, lines),
    isForwarded: proxies.isTrusted(plainAddress(peer) ?? ""),
  });
}

/** The address that counts; empty when the connection is gone. */
export function addressOf(req: IncomingMessage): string {
  return known.get(req)?.address ?? req.socket.remoteAddress ?? "";
}

/** The TLS connection of the caller itself. Null behind a proxy that ends TLS: its certificate, if it shows one, would prove every caller to be it. */
export function callerConnection(req: IncomingMessage): TLSSocket | null {
  const { socket } = req;
  return socket instanceof TLSSocket && known.get(req)?.isForwarded !== true ? socket : null;
}

/** What the caller's own connection shows; never text of a header (RFC 9440 is not read). */
export function certificateOf(req: IncomingMessage): X509Certificate | null {
  return callerConnection(req)?.getPeerX509Certificate() ?? null;
}
