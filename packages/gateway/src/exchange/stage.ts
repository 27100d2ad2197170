// Promises that the provider learns who called from this gateway's own short-lived signature and never sees the caller's token.
// Trusts the hop key control certified. Specified in docs/formats/token.md §6, RFC 8693's principle (a narrow token per hop).
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { takeNextHop } from "./next-hop.ts";

export function exchangeToken(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { lease, operation, grant, principal } = exchange;
  if (lease === null || operation === null || grant === null || principal === null)
    return deny("exchange", "not-ready");
  const signer = gate.hopSigner();
  if (signer === null) {
    return deny("exchange", "exchange-unavailable", {
      why: "control has not certified this node's hop key",
      detail: "The gateway has no certified key yet; try again shortly",
    });
  }
  exchange.hopToken = gate.hopTokens.tokenFor(
    {
      identity: {
        iss: lease.estate.object.issuer,
        aud: operation.system.object.audience,
        sub: principal.caller,
        op: operation.fullName,
        int: grant.integration.id,
        ...(principal.subject === undefined ? {} : { subject: principal.subject }),
        ...(principal.act === undefined ? {} : { act: principal.act }),
        ...(principal.issuer === undefined ? {} : { idp: principal.issuer }),
      },
      crossing: exchange.id,
      effect: operation.object.effect,
      lifetimeMs: lease.estate.object.hop.lifetimeMs,
    },
    { snapshot: lease.estate, signer },
  );
  const rule = operation.system.object.upstream?.nextHop;
  return rule === undefined ? null : takeNextHop(exchange, gate, { rule, hopKey: signer.kid });
}
