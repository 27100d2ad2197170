// Promises one bounded POST of a logout token over the guarded dialer: https, no redirect, no cookie, no answer beyond its size or time.
// Trusts the configuration for where to go and whose certificate to expect. OpenID Connect Back-Channel Logout 1.0 §2.5, docs/dial.md.
import { createChannelClient } from "@sallyport/kernel/dial/channel-client.ts";
import { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { TrustConfig } from "../../registry/config/estate.ts";
import type { IdentityClient } from "../directory.ts";

export const sendTimeoutMs = 5_000;
const answerBytesMax = 16 * 1_024;

export interface LogoutPlace {
  /** https, without a query. */
  readonly uri: string;
  readonly allowPrivate: boolean;
  /** PEM roots in place of the public ones. */
  readonly ca?: string;
}

/** Where a client is told; `missing`: there is no such client (now), `none`: it does not want to hear. */
export type LogoutPlaceVerdict = LogoutPlace | "missing" | "none" | "trust-missing";

export function logoutPlaceOf(
  client: Pick<IdentityClient, "backchannelLogout"> | undefined,
  bundles: readonly Pick<TrustConfig, "name" | "roots">[],
): LogoutPlaceVerdict {
  if (client === undefined) return "missing";
  if (client.backchannelLogout === undefined) return "none";
  const { uri, allowPrivate, trust } = client.backchannelLogout;
  if (trust === undefined) return { uri, allowPrivate };
  const bundle = bundles.find(({ name }) => name === trust);
  // A named bundle that is gone leaves nobody to believe, not everybody.
  return bundle === undefined ? "trust-missing" : { uri, allowPrivate, ca: bundle.roots.join("\n") };
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
