// Promises that a crossing happens under exactly one active integration, or not at all, and that a caller we know is told how to mend it.
// Trusts the snapshot and the revocations. Specified in DESIGN §4 bind and §12 (bind and denials).
import type { IntegrationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { CompiledOperation, CompiledSystem, Estate, Grant } from "../snapshot/estate.ts";

export interface BindInputs {
  readonly estate: Estate;
  readonly caller: CompiledSystem;
  /** null: the path belongs to nobody. */
  readonly system: CompiledSystem | null;
  readonly operation: CompiledOperation | null;
  readonly nowMs: number;
  /** Was this integration cut off after what the caller holds (token or snapshot) was issued? */
  isRevoked(integration: string): boolean;
}

export type Binding = { readonly kind: "bound"; readonly operation: CompiledOperation; readonly grant: Grant } | Deny;

/** Has its declared end come? */
export const isOver = ({ expiresAtMs }: Pick<IntegrationObject, "expiresAtMs">, nowMs: number): boolean =>
  expiresAtMs !== undefined && nowMs >= expiresAtMs;

/** Which integration grants this operation to this caller, and is it served? Pure. */
export function decideBinding(inputs: BindInputs): Binding {
  const { caller, system, operation } = inputs;
  if (caller.object.broken !== undefined) return notServed(`system ${caller.id}`, caller.object.broken);
  if (system === null) return deny("bind", "no-route", { detail: "No system is published under this path" });
  if (system.object.broken !== undefined) return notServed(`system ${system.id}`, system.object.broken);
  if (operation === null || operation.undeclared)
    return deny("bind", "no-route", { detail: `System ${system.id} publishes no operation with this method and path` });
  const grant = operation.grants.get(caller.id);
  if (grant === undefined) return notGranted(inputs, operation);
  return decideState(inputs, { operation, grant });
}

function decideState(inputs: BindInputs, bound: { operation: CompiledOperation; grant: Grant }): Binding {
  const { integration } = bound.grant;
  const where = { integration: integration.id, declaredAt: integration.declaredAt };
  if (integration.broken !== undefined) return notServed(`integration ${integration.id}`, integration.broken);
  const state = isOver(integration, inputs.nowMs) ? "expired" : integration.state;
  if (state !== "active") {
    return deny("bind", "not-active", {
      ...where,
      state,
      detail: `Integration ${integration.id} is ${state}; its owner ${integration.owner} can activate it`,
      fix: `sallyport integration activate ${integration.id}`,
    });
  }
  if (inputs.isRevoked(integration.id)) {
    return deny("bind", "not-active", {
      ...where,
      detail: `Integration ${integration.id} was cut off; fetch a new token once it is active again`,
    });
  }
  return { kind: "bound", ...bound };
}

function notServed(object: string, why: string): Deny {
  return deny("bind", "not-served", {
    detail: `The ${object} is broken and not served until its configuration is mended`,
    broken: why,
  });
}

function notGranted({ estate, caller }: BindInputs, operation: CompiledOperation): Deny {
  const nearest = estate.integrations.find((one) => one.from === caller.id && one.to === operation.system.id);
  if (nearest === undefined) {
    return deny("bind", "not-granted", {
      operation: operation.fullName,
      nearest: "none",
      detail: `No integration leads from ${caller.id} to ${operation.system.id}; declare one that grants ${operation.object.name}`,
      fix: `add to systems/${caller.id}.yaml under uses: { to: ${operation.system.id}, operations: [${operation.object.name}] }`,
    });
  }
  return deny("bind", "not-granted", {
    operation: operation.fullName,
    nearest: nearest.id,
    declaredAt: nearest.declaredAt,
    detail: `Integration ${nearest.id} does not grant ${operation.object.name}; ask its owner ${nearest.owner} to add it`,
    fix: `add ${operation.object.name} to the operations at ${nearest.declaredAt}`,
  });
}
