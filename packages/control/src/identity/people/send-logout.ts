// Promises one bounded POST of a logout token over the guarded dialer: https, no redirect, no cookie, no answer beyond its size or time.
// Trusts the configuration for where to go and whose certificate to expect. OpenID Connect Back-Channel Logout 1.0 §2.5, docs/dial.md.
import { createChannelClient } from "@sallyport/kernel/dial/channel-client.ts";
import { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";

export const sendTimeoutMs = 5_000;
const answerBytesMax = 16 * 1_024;

export interface LogoutPlace {
  /** https, without a query. */
  readonly uri: string;
  readonly allowPrivate: boolean;
  /** PEM roots in place of the public ones. */
  readonly ca?: string;
}

/** null: the client has taken it; else why it has not, as a code that holds nothing of what it sent. Never rejects. */
export type SendLogout = (place: LogoutPlace, token: string) => Promise<string | null>;

export const createSendLogout =
  (dialer: Dialer, timeoutMs = sendTimeoutMs): SendLogout =>
  async ({ uri, allowPrivate, ca }, token) => {
    const url = new URL(uri);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const client = createChannelClient({
      dialer,
      origin: url.origin,
      rules: { allowPrivateHosts: new Set(allowPrivate ? [host] : []), ownAddresses: new Set() },
      tls: ca === undefined ? {} : { ca },
      connectTimeoutMs: timeoutMs,
      connectionsMax: 1,
    });
    try {
      const { status } = await client.request(url.pathname, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
        body: new URLSearchParams({ logout_token: token }).toString(),
        answerBytesMax,
        timeoutMs,
      });
      // §2.8 says 200; frameworks turn an empty one into 204.
      return status === 200 || status === 204 ? null : `status-${status}`;
    } catch (fault) {
      return fault instanceof DialFault ? fault.code : "send-failed";
    } finally {
      await client.close();
    }
  };
