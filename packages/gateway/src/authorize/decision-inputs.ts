// Promises the inputs of a policy decision from what is bound: the same for a crossing and for whoever asks beforehand (`sallyport policy test`).
// Trusts its parts to be of one snapshot. Pure. Specified in docs/policy.md.
import type { DecisionInputs } from "@sallyport/kernel/policy/port.ts";
import type { Signals } from "@sallyport/kernel/policy/signals.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import type { CompiledOperation, CompiledSystem, Grant } from "../snapshot/estate.ts";

export interface DecisionParts {
  readonly caller: CompiledSystem;
  readonly operation: CompiledOperation;
  readonly grant: Grant;
  readonly principal: Principal;
  readonly stalenessMs: number;
  /** Those that the operation's policies read; absent: none. */
  readonly signals?: Signals;
}

const noScopes: readonly string[] = [];

export function decisionInputs(
  { caller, operation, grant, principal, stalenessMs, signals }: DecisionParts,
  attributes: Readonly<Record<string, Scalar>>,
): DecisionInputs {
  return {
    principal: { id: caller.id, attributes: caller.object.attributes },
    resource: { system: operation.system.id, attributes },
    context: {
      integration: grant.integration.id,
      environment: principal.environment,
      zone: caller.object.zone,
      proof: principal.proof.kind,
      scopes: principal.scopes ?? noScopes,
      ...(principal.issuer === undefined ? {} : { issuer: principal.issuer }),
      ...(principal.subject === undefined ? {} : { subject: principal.subject }),
      ...(principal.acr === undefined ? {} : { acr: principal.acr }),
      ...(principal.authTime === undefined ? {} : { authTime: principal.authTime }),
      stalenessMs: Math.round(stalenessMs),
      ...signals,
    },
  };
}
