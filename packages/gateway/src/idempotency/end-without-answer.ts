// Promises what a crossing that ends without its provider's answer means for repeats of it. Pure. Trusts the exchange. Specified in docs/idempotency.md.
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { decideAnswered } from "./effect-end.ts";

/** Of a crossing whose answer, if there is one, its caller does not get. */
export function endWithoutAnswer(exchange: Exchange, verdict: Deny): "not-begun" | "unkept" | "unknown" {
  const { upstream, operation, attempts, claim } = exchange;
  if (upstream === null || operation === null || wasTurnedAway(exchange, verdict)) return "not-begun";
  // A provider that honours keys is asked again after attempts that it may have taken.
  const wasAsked = upstream.wasSent || (attempts !== null && claim?.providerKey !== null);
  if (!wasAsked) return "not-begun";
  const isFinal = upstream.whole && decideAnswered(upstream.status, operation.object.businessErrors) === "final";
  return isFinal ? "unkept" : "unknown";
}

/** Its provider did not take the token it was shown, each time it was asked: it began nothing. */
function wasTurnedAway({ upstream, nextHop, attempts }: Exchange, { code, stage }: Deny): boolean {
  const isAboutToken = code === "next-hop-rejected" || (stage === "exchange" && nextHop === null);
  return isAboutToken && upstream?.status === 401 && (attempts ?? []).every(({ ended }) => ended === "status-401");
}
