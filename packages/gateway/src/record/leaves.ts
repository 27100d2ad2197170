// Promises leaves put together from their parts, member by member: spreading them would make an object whose every member is looked up anew.
// Trusts its caller for the parts. Members: protocol/audit/leaf.ts; the printer refuses a leaf that lacks one.
import type { DecisionFields, OutcomeFields, Pseudonym } from "@sallyport/protocol/audit/leaf.ts";
import type { UnsealedLeaf } from "./sealed-records.ts";

/** Where this gateway stands. */
export interface LeafPlace {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly node: string;
}

interface Parts {
  readonly decision: DecisionFields;
  readonly outcome: OutcomeFields;
}

/** The leaf of a crossing that is decided and over. */
export function wholeLeaf(place: LeafPlace, at: number, { decision, outcome }: Parts): UnsealedLeaf {
  return withToken(decision, {
    t: "crossing",
    id: decision.id,
    at,
    tenant: place.tenant,
    environment: place.environment,
    region: place.region,
    node: place.node,
    kind: decision.kind,
    caller: decision.caller,
    subject: decision.subject,
    proof: decision.proof,
    operation: decision.operation,
    integration: decision.integration,
    mode: decision.mode,
    verdict: decision.verdict,
    code: decision.code,
    stage: decision.stage,
    policies: decision.policies,
    policySet: decision.policySet,
    inputs: null,
    address: decision.address,
    addressClass: decision.addressClass,
    outcome: outcome.outcome,
    status: outcome.status,
    upstreamStatus: outcome.upstreamStatus,
    bytesIn: outcome.bytesIn,
    bytesOut: outcome.bytesOut,
    totalUs: outcome.totalUs,
    upstreamUs: outcome.upstreamUs,
  });
}

/** The leaf of a crossing that is decided and about to have an effect. */
export function intentLeaf(place: LeafPlace, at: number, decision: DecisionFields): UnsealedLeaf {
  return withToken(decision, {
    t: "intent",
    id: decision.id,
    at,
    tenant: place.tenant,
    environment: place.environment,
    region: place.region,
    node: place.node,
    kind: decision.kind,
    caller: decision.caller,
    subject: decision.subject,
    proof: decision.proof,
    operation: decision.operation,
    integration: decision.integration,
    mode: decision.mode,
    verdict: decision.verdict,
    code: decision.code,
    stage: decision.stage,
    policies: decision.policies,
    policySet: decision.policySet,
    inputs: null,
    address: decision.address,
    addressClass: decision.addressClass,
  });
}

/** A leaf names its issuer and its token where a token was presented, and has no member for them where none was. */
function withToken(
  { issuer, token }: DecisionFields,
  leaf: UnsealedLeaf & { issuer?: string | null; token?: Pseudonym },
): UnsealedLeaf {
  if (issuer !== undefined) leaf.issuer = issuer;
  if (token !== undefined) leaf.token = token;
  return leaf;
}
