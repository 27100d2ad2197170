// Promises one bounded GET of a key set over the guarded dialer: https, no redirect, no cookie, no answer beyond its size or time.
// Trusts the configuration for where to go and whose certificate to expect. docs/dial.md, docs/identity/outside-issuers.md.
import { createChannelClient } from "@sallyport/kernel/dial/channel-client.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import { jwksBytesMax } from "@sallyport/protocol/token/outside-jwk.ts";

export const fetchTimeoutMs = 5_000;

export interface JwksPlace {
  readonly uri: string;
  readonly allowPrivate: boolean;
  /** PEM roots in place of the public ones. */
  readonly ca?: string;
}

/** The bytes of a key set; rejects with the reason, which never holds what the other side sent. */
export type FetchJwks = (place: JwksPlace) => Promise<Uint8Array>;

const types = /^application\/(?:json|jwk-set\+json)(?:\s*;.*)?$/i;

export const createFetchJwks =
  (dialer: Dialer): FetchJwks =>
  async ({ uri, allowPrivate, ca }) => {
    const url = new URL(uri);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const client = createChannelClient({
      dialer,
      origin: url.origin,
      rules: { allowPrivateHosts: new Set(allowPrivate ? [host] : []), ownAddresses: new Set() },
      tls: ca === undefined ? {} : { ca },
      connectTimeoutMs: fetchTimeoutMs,
      connectionsMax: 1,
    });
    try {
      const { status, headers, body } = await client.request(url.pathname, {
        method: "GET",
        headers: { accept: "application/jwk-set+json, application/json" },
        answerBytesMax: jwksBytesMax,
        timeoutMs: fetchTimeoutMs,
      });
      if (status !== 200) throw new Error(`the key set was answered with ${status}`);
      if (!types.test(String(headers["content-type"] ?? ""))) throw new Error("the key set is not declared as JSON");
      return body;
    } finally {
      await client.close();
    }
  };
