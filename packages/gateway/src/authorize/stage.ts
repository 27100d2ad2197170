// Promises that the order is the cheap certain checks, then freshness, then attributes, then policies, and that the inputs of the decision are kept
// for the record. Trusts decide.ts, attributes.ts and staleness.ts. Specified in DESIGN §4.
import type { Principal } from "@sallyport/protocol/principal.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { exactIntegersOf } from "../inspect/deciding-members.ts";
import { inspectRequest } from "../inspect/stage.ts";
import type { CompiledOperation, CompiledSystem, Estate, Grant } from "../snapshot/estate.ts";
import { resolveAttributes } from "./attributes.ts";
import { decidePolicy, decideProof, decideScope, decideStepUp } from "./decide.ts";
import { decisionInputs } from "./decision-inputs.ts";
import { decideStaleness } from "./staleness.ts";

interface Bound {
  readonly estate: Estate;
  readonly caller: CompiledSystem;
  readonly operation: CompiledOperation;
  readonly grant: Grant;
  readonly principal: Principal;
  readonly stalenessMs: number;
}

export function authorize(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { lease, caller, operation, grant, principal } = exchange;
  if (lease === null || caller === null || operation === null || grant === null || principal === null)
    return deny("authorize", "not-ready");
  const stalenessMs = gate.freshness.stalenessMs();
  const bound: Bound = { estate: lease.estate, caller, operation, grant, principal, stalenessMs };
  const early =
    decideProof(principal, grant) ??
    decideScope(principal, operation) ??
    decideStepUp(principal, grant, gate.clock.now()) ??
    decideFreshness(bound, gate);
  if (early !== null) return early;
  if (!operation.bodyDecides) return decideWithAttributes(exchange, bound, gate);
  // A policy reads the body, so the body is read, parsed and checked against its schema first.
  const inspected = inspectRequest(exchange, gate);
  if (!(inspected instanceof Promise)) return inspected ?? decideWithAttributes(exchange, bound, gate);
  // The body may have been long in coming: how stale the snapshot is then, the policies are told.
  return inspected.then(
    (verdict) =>
      verdict ?? decideWithAttributes(exchange, { ...bound, stalenessMs: gate.freshness.stalenessMs() }, gate),
  );
}

function decideFreshness({ estate, operation, stalenessMs }: Bound, gate: Gate): Deny | null {
  return decideStaleness({
    stalenessMs,
    boundsMs: estate.object.stalenessMs,
    classification: operation.object.classification,
    offline: operation.object.offline,
    snapshotExpired: gate.clock.now() >= estate.manifest.expiresAt,
  });
}

function decideWithAttributes(exchange: Exchange, bound: Bound, gate: Gate): Deny | null {
  const { request } = exchange;
  if (request === null) return deny("authorize", "not-ready");
  const resolved = resolveAttributes(bound.operation.object.attributes, {
    parameters: exchange.parameters,
    query: request.queryParameters,
    headers: request.headers,
    body: exchange.body === null || !bound.operation.bodyDecides ? undefined : exactIntegersOf(exchange.body),
  });
  if (resolved.kind === "deny") return resolved;
  const slice = sliceOf(bound.operation);
  const signals = slice === null || slice.signals.length === 0 ? undefined : gate.signals.of(slice.signals, exchange);
  const inputs = decisionInputs(signals === undefined ? bound : { ...bound, signals }, resolved.values);
  exchange.decision = inputs;
  const decided = decidePolicy(slice, inputs);
  exchange.policies = decided.policies;
  return decided.deny;
}

/** Null: there is none, or it cannot be loaded. */
function sliceOf(operation: CompiledOperation): ReturnType<CompiledOperation["policy"]> {
  try {
    return operation.policy();
  } catch {
    return null;
  }
}
