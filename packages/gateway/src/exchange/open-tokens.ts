// Promises the tokens that providers are shown, put together once for a gateway. Trusts gateway.ts to say what changes. docs/formats/token.md, docs/identity/next-hop.md.
import { ProviderNonces } from "../forward/next-hop-fields.ts";
import type { Gate } from "../gate.ts";
import type { GatewayOptions } from "../ports.ts";
import { createHopTokens } from "./hop-tokens.ts";
import { NextHopTokens } from "./next-hop-tokens.ts";

export function openTokens({
  clock,
  random,
  feed,
}: Pick<GatewayOptions, "clock" | "random" | "feed">): Pick<Gate, "hopTokens" | "nextHops" | "providerNonces"> {
  return {
    hopTokens: createHopTokens({ clock, random }),
    nextHops: new NextHopTokens({ ask: (request) => feed.nextHopToken(request), clock }),
    providerNonces: new ProviderNonces(),
  };
}
