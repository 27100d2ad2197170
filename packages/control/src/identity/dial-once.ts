// Promises one request to a place outside, over the guarded dialer and a connection of its own: https, no redirect, no cookie, no answer beyond its size
// or time, no private address but the one host that is named. Trusts the configuration for where to go and whose certificate to expect. docs/dial.md.
import { type ChannelAnswer, createChannelClient, type RequestOptions } from "@sallyport/kernel/dial/channel-client.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";

/** Somewhere outside that the configuration names. */
export interface OutsidePlace {
  /** https, without a query. */
  readonly uri: string;
  readonly allowPrivate: boolean;
  /** PEM roots in place of the public ones. */
  readonly ca?: string;
}

export interface OutsideNet {
  /** Host name without brackets that may resolve to a private address; null: none may. */
  readonly privateHost: string | null;
  readonly ca?: string | undefined;
}

/** The host of a URL as the dialer compares it: an IPv6 address without brackets. */
export const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "");

/** Rejects with a DialFault. `request.timeoutMs` bounds the connection and then the answer. */
export async function dialOnce(
  dialer: Dialer,
  url: URL,
  { privateHost, ca }: OutsideNet,
  request: RequestOptions,
): Promise<ChannelAnswer> {
  const client = createChannelClient({
    dialer,
    origin: url.origin,
    rules: { allowPrivateHosts: new Set(privateHost === null ? [] : [privateHost]), ownAddresses: new Set() },
    tls: ca === undefined ? {} : { ca },
    connectTimeoutMs: request.timeoutMs,
    connectionsMax: 1,
  });
  try {
    return await client.request(`${url.pathname}${url.search}`, request);
  } finally {
    await client.close();
  }
}

/** The same for a place of the configuration, whose own host is the one that may be private. */
export function dialPlace(
  dialer: Dialer,
  { uri, allowPrivate, ca }: OutsidePlace,
  request: RequestOptions,
): Promise<ChannelAnswer> {
  const url = new URL(uri);
  return dialOnce(dialer, url, { privateHost: allowPrivate ? hostOf(url) : null, ca }, request);
}
