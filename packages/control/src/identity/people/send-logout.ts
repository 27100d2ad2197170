// Promises one bounded POST of a logout token over the guarded dialer: https, no redirect, no cookie, no answer beyond its size or time.
// Trusts the configuration for where to go and whose certificate to expect. OpenID Connect Back-Channel Logout 1.0 §2.5, docs/dial.md.
import { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { TrustConfig } from "../../registry/config/estate.ts";
import { dialPlace, type OutsidePlace } from "../dial-once.ts";
import type { IdentityClient } from "../directory.ts";

export const sendTimeoutMs = 5_000;
const answerBytesMax = 16 * 1_024;

/** Where a client is told; `missing`: there is no such client (now), `none`: it does not want to hear. */
export type LogoutPlaceVerdict = OutsidePlace | "missing" | "none" | "trust-missing";

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
export type SendLogout = (place: OutsidePlace, token: string) => Promise<string | null>;

export const createSendLogout =
  (dialer: Dialer, timeoutMs = sendTimeoutMs): SendLogout =>
  async (place, token) => {
    try {
      const { status } = await dialPlace(dialer, place, {
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
    }
  };
