// Promises what every chapter is told with: the marketplace, the story, the planted values, and the callers that stay the same throughout.
// Trusts its members.
import type { CertificateCaller, SdkCaller, Send } from "./callers.ts";
import { certificateSend, curlCaller, openidCaller } from "./callers.ts";
import type { Marketplace } from "./marketplace.ts";
import type { Planted } from "./planted.ts";
import type { Story } from "./story.ts";

export interface Telling {
  readonly market: Marketplace;
  readonly story: Story;
  readonly planted: Planted;
  /** portal -> orders by openid-client. */
  readonly portal: Send;
  /** orders -> billing by the SDK. */
  readonly orders: SdkCaller;
  /** analytics -> billing by curl over mTLS. */
  readonly analytics: CertificateCaller;
}

/** Gets the tokens the story starts with. */
export async function prepareTelling(of: Pick<Telling, "market" | "story" | "planted">): Promise<Telling> {
  const { market, planted } = of;
  const workloads = market.workloads.production;
  const portal = await openidCaller(market.target("production", "orders"), {
    clientId: "portal",
    key: workloads.clients.portal,
  });
  const orders = market.caller("production", "orders", "billing");
  planted.token("the portal's access token", portal.token);
  planted.token("the access token of orders", (await orders.token()).token);
  const { file, pem } = market.roots.production;
  return {
    ...of,
    portal: portal.send,
    orders,
    analytics: curlCaller(market.urls.production, workloads.analytics, file, pem),
  };
}

/** analytics of an environment, at the production gateway. */
export function analyticsOf(market: Marketplace, environment: "production" | "staging"): Send {
  return certificateSend(market.urls.production, market.workloads[environment].analytics, market.roots.production.pem);
}
