// Promises a provider that asks for it an access token of its own, made for this caller and this operation, and for want of one no crossing at all: neither the
// caller's token nor a weaker word takes its place. Trusts control, which makes it. Specified in docs/identity/next-hop.md, RFC 8693.
import type { NextHopToken } from "@sallyport/protocol/channel/next-hop.ts";
import type { NextHopObject } from "@sallyport/protocol/snapshot/upstream-object.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { nextHopWanted } from "./next-hop-key.ts";
import type { NextHopWanted } from "./next-hop-tokens.ts";

/** What a crossing goes on with. */
export interface NextHop {
  readonly rule: NextHopObject;
  readonly wanted: NextHopWanted;
  readonly token: NextHopToken;
}

/** Writes `nextHop` of the exchange. */
export function takeNextHop(
  exchange: Exchange,
  gate: Gate,
  on: { readonly rule: NextHopObject; readonly hopKey: string },
): Deny | null | Promise<Deny | null> {
  if (exchange.asked !== null)
    return deny("exchange", "not-in-authorizer-mode", {
      detail: "The provider is called with a token of its own, which a proxy is not given; call it through the gateway",
    });
  const wanted = nextHopWanted(exchange, on.rule, on.hopKey);
  if (wanted === null)
    return deny("exchange", "next-hop-refused", {
      why: "the caller proved itself without an access token",
      detail: "The provider is called with a token made from the caller's: call with an access token of this issuer",
    });
  const found = gate.nextHops.find(wanted);
  return found instanceof Promise
    ? found.then((late) => keep(exchange, { rule: on.rule, wanted }, late))
    : keep(exchange, { rule: on.rule, wanted }, found);
}

/** What was asked for and nothing that is worth more to whoever finds it. */
function keep(exchange: Exchange, on: Omit<NextHop, "token">, found: NextHopToken | Deny): Deny | null {
  if (found.kind === "deny") return found;
  if (found.scheme !== on.rule.scheme)
    return deny("exchange", "next-hop-unavailable", { why: `a ${found.scheme} token, where ${on.rule.scheme} holds` });
  exchange.nextHop = { ...on, token: found };
  return null;
}
