// Promises the only way out of the process. Trusts the resolver it is given and nothing else. Rules: docs/dial.md, RFC 6890.
import type { Dispatcher } from "undici";
import type { UpstreamPool } from "./upstream-port.ts";

export interface DialRules {
  /** Hosts (exact, lower case) that may resolve to private, link-local or loopback addresses, because the config names them so. */
  readonly allowPrivateHosts: ReadonlySet<string>;
  /** Addresses of this node's own listeners (`ip:port`), refused unless the host is in allowPrivateHosts. */
  readonly ownAddresses: ReadonlySet<string>;
}

export interface DialTls {
  /** PEM roots; absent: the runtime's public roots. */
  readonly ca?: string;
  /** Client certificate and key, PEM; a key that is asked for at each connection may throw a DialFault. */
  readonly cert?: string;
  readonly key?: string | (() => string);
  /** What `cert` is called where it was refused, for operators. */
  readonly shown?: string;
  /** SHA-256 of the peer's SPKI, base64: when given one must match, also in place of chain building when `pinOnly`. */
  readonly pins?: readonly string[];
  readonly pinOnly?: boolean;
}

export interface DialOptions {
  readonly rules: DialRules;
  readonly tls?: DialTls;
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
}

export interface Dialer {
  /** A pooled dispatcher to one origin; every new socket is resolved, checked and dialled at the checked address. Close it when its snapshot goes. */
  pool(origin: string, options: DialOptions): Dispatcher;
  /** The same over our own client, for requests of callers. */
  upstream(origin: string, options: DialOptions): UpstreamPool;
  /** The same over HTTP/2: agreed on in the handshake, or spoken at once where the origin is plain http. */
  upstreamHttp2(origin: string, options: DialOptions): UpstreamPool;
}
