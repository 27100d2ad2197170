// Promises that the order is the cheap certain checks, then freshness, then attributes, then policies, and that the inputs of the decision are kept
// for the record. Trusts decide.ts, attributes.ts and staleness.ts. Specified in DESIGN §4.
import type { LoadedSlice } from "@sallyport/kernel/policy/port.ts";
import type { Signals } from "@sallyport/kernel/policy/signals.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange, ReadBody } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { exactIntegersOf, hasCaseTwin } from "../inspect/deciding-members.ts";
import { inspectRequest } from "../inspect/stage.ts";
import type { CompiledOperation, CompiledSystem, Estate, Grant } from "../snapshot/estate.ts";
import { resolveAttributes } from "./attributes.ts";
import { decideKeyScope, decidePolicy, decideProof, decideScope, decideStepUp } from "./decide.ts";
import { decisionInputs } from "./decision-inputs.ts";
import { lookUp } from "./look-up.ts";
import type { LookedUp } from "./lookups.ts";
import { askOutside, policyOf } from "./outside-decision.ts";
import { decideStaleness } from "./staleness.ts";

interface Bound {
  readonly estate: Estate;
  readonly caller: CompiledSystem;
  readonly operation: CompiledOperation;
  readonly grant: Grant;
  readonly principal: Principal;
  readonly stalenessMs: number;
  /** The provider's, where it decides and is there. */
  readonly answer?: ReadBody;
}

export function authorize(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const bound = boundOf(exchange, gate);
  if (bound === null) return deny("authorize", "not-ready");
  const { operation, grant, principal } = bound;
  const early =
    decideProof(principal, grant) ??
    decideKeyScope(principal, grant) ??
    decideScope(principal, operation) ??
    decideStepUp(principal, grant, gate.clock.now()) ??
    decideFreshness(bound, gate);
  if (early !== null) return early;
  if (operation.object.lookups !== undefined && exchange.lookedUp === null)
    return operation.bodyDecides
      ? Promise.resolve(inspectRequest(exchange, gate)).then((verdict) => verdict ?? decideLookedUp(exchange, gate))
      : decideLookedUp(exchange, gate);
  if (!operation.bodyDecides) return narrow(exchange, bound, decideWithAttributes(exchange, bound, gate));
  // A policy reads the body, so the body is read, parsed and checked against its schema first.
  const inspected = inspectRequest(exchange, gate);
  if (!(inspected instanceof Promise))
    return inspected ?? narrow(exchange, bound, decideWithAttributes(exchange, bound, gate));
  // The body may have been long in coming: how stale the snapshot is then, the policies are told.
  return inspected.then((verdict) => {
    const late = { ...bound, stalenessMs: gate.freshness.stalenessMs() };
    return verdict ?? narrow(exchange, late, decideWithAttributes(exchange, late, gate));
  });
}

/** Looked up once everything that is certain here has said yes; how stale the snapshot is by then, policies are told. */
async function decideLookedUp(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const refused = await lookUp(exchange, gate);
  const bound = boundOf(exchange, gate);
  if (refused !== null) exchange.policies = refused.policies;
  if (refused !== null || bound === null) return refused ?? deny("authorize", "not-ready");
  return narrow(exchange, bound, decideWithAttributes(exchange, bound, gate));
}

/** What policies here allowed, a decision point outside may deny; it is asked about nothing else. */
function narrow(
  exchange: Exchange,
  { operation, answer }: Bound,
  decided: Deny | null,
): Deny | null | Promise<Deny | null> {
  // Nothing was decided yet.
  if (operation.responseDecides && answer === undefined) return decided;
  const { opa } = operation.object;
  const { decision: inputs, lease } = exchange;
  if (decided !== null || opa === undefined) return decided;
  if (inputs === null) return deny("authorize", "not-ready");
  // A stream that is asked about again: the yes was for this crossing, as long as the same rule gives it.
  if (exchange.outside?.policy === policyOf(opa)) {
    exchange.policies = [...exchange.policies, exchange.outside.policy];
    return exchange.outside.deny;
  }
  const asked = { pool: lease?.pools.poolOfDecisions(opa), action: operation.fullName, inputs };
  return askOutside(opa, asked).then((outside) => {
    exchange.outside = outside;
    exchange.policies = outside.deny === null ? [...exchange.policies, outside.policy] : outside.deny.policies;
    return outside.deny;
  });
}

function boundOf({ lease, caller, operation, grant, principal }: Exchange, gate: Gate): Bound | null {
  if (lease === null || caller === null || operation === null || grant === null || principal === null) return null;
  return { estate: lease.estate, caller, operation, grant, principal, stalenessMs: gate.freshness.stalenessMs() };
}

type Attributes = CompiledOperation["object"]["attributes"];

function ofRequest(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, { from }]) => from !== "response"));
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

/**
 * The policies of an operation with attributes from its answer, once that is there and before any of it is released. What was fresh enough when the
 * crossing began has to be so still. Errors, and values that are not there, are denials as ever.
 */
export function authorizeAnswer(exchange: Exchange, answer: ReadBody, gate: Gate): Deny | null | Promise<Deny | null> {
  const bound = boundOf(exchange, gate);
  if (bound === null) return deny("authorize", "not-ready");
  const { attributes } = bound.operation.object;
  if (hasCaseTwin(attributes, answer.value, "response"))
    return deny("authorize", "attribute-missing", { why: "names in the answer that differ in case only" });
  const decided = decideFreshness(bound, gate) ?? decideWithAttributes(exchange, { ...bound, answer }, gate);
  return narrow(exchange, { ...bound, answer }, decided);
}

function decideWithAttributes(exchange: Exchange, bound: Bound, gate: Gate): Deny | null {
  const { request } = exchange;
  if (request === null) return deny("authorize", "not-ready");
  const { operation, answer } = bound;
  const isLater = operation.responseDecides && answer === undefined;
  const declared = operation.object.attributes;
  const resolved = resolveAttributes(isLater ? ofRequest(declared) : declared, {
    ...(answer === undefined ? {} : { response: exactIntegersOf(answer) }),
    ...(exchange.lookedUp === null ? {} : { found: foundOf(exchange.lookedUp) }),
    parameters: exchange.parameters,
    query: request.queryParameters,
    headers: request.headers,
    body: exchange.body === null || !bound.operation.bodyDecides ? undefined : exactIntegersOf(exchange.body),
  });
  if (resolved.kind === "deny" || isLater) return resolved.kind === "deny" ? resolved : null;
  const slice = sliceOf(bound.operation);
  const signals = signalsOf(slice, exchange, gate);
  const inputs = decisionInputs(signals === undefined ? bound : { ...bound, signals }, resolved.values);
  exchange.decision = inputs;
  const decided = decidePolicy(slice, inputs);
  exchange.policies = decided.policies;
  exchange.shadow = decided.shadow;
  return decided.deny;
}

/** What its policies read of the log-in and its place, those in shadow among them; undefined: nothing. */
function signalsOf(slice: LoadedSlice | null, exchange: Exchange, gate: Gate): Signals | undefined {
  if (slice === null) return undefined;
  const { signals, shadowSignals } = slice;
  if (shadowSignals.length > 0) return gate.signals.of([...signals, ...shadowSignals], exchange);
  return signals.length === 0 ? undefined : gate.signals.of(signals, exchange);
}

function foundOf(looked: readonly LookedUp[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    looked.flatMap(({ name, found }) => (found === null || typeof found === "string" ? [] : [[name, found.value]])),
  );
}

/** Null: there is none, or it cannot be loaded. */
function sliceOf(operation: CompiledOperation): ReturnType<CompiledOperation["policy"]> {
  try {
    return operation.policy();
  } catch {
    return null;
  }
}
