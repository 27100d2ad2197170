// Promises that the binding is decided on the snapshot this crossing began under and the revocations known now. Trusts decide.ts.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { decideBinding } from "./decide.ts";
import { noRouteFacts } from "./no-route.ts";

export function bind(exchange: Exchange, gate: Gate): Deny | null {
  const { lease, caller, system, operation } = exchange;
  if (lease === null || caller === null) return deny("bind", "not-ready");
  // A certificate has no time of issue that means anything here: the snapshot that granted stands for it.
  const issuedAtMs = exchange.tokenIssuedAtMs ?? lease.estate.manifest.issuedAt;
  const binding = decideBinding({
    estate: lease.estate,
    caller,
    system,
    operation,
    nowMs: gate.clock.now(),
    isRevoked: (integration) => gate.identify.revocations.revokesIntegration(integration, issuedAtMs),
  });
  if (binding.kind === "deny") return withRoute(exchange, binding);
  exchange.grant = binding.grant;
  return null;
}

function withRoute({ request, lease, system }: Exchange, verdict: Deny): Deny {
  if (verdict.code !== "no-route" || request === null || lease === null) return verdict;
  const facts = noRouteFacts(request, { estate: lease.estate, system });
  return deny(verdict.stage, verdict.code, { ...verdict.facts, ...facts });
}
