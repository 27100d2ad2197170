// Promises at least one leaf of every type and of every turn a mapping takes, for tests. Trusts the printer to refuse one that cannot exist.
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { type ExportedRecord, readRecord } from "../exported-record.ts";

const at = 1_795_305_600_000;
const place = { at, tenant: "main", environment: "production", region: "eu", node: "gw-1" };
const id = "gw-1-01KAMZZZZZ0000000000000000";
export const callerPseudonym = "2026:abcdefghijklmnopqrstuQ";
export const subjectPseudonym = "2026:bbcdefghijklmnopqrstuQ";
const hash = "ab".repeat(32);
export const sampleOrigin = "sallyport.local/main/production/gw-1/gateway/2026";

const decision = {
  kind: "api",
  caller: callerPseudonym,
  subject: null,
  proof: "dpop",
  operation: "billing:invoice.create",
  integration: "orders-to-billing",
  mode: "enforce",
  verdict: "allow",
  code: null,
  stage: null,
  policies: ["grant:orders-to-billing"],
  policySet: hash,
  inputs: hash,
  address: callerPseudonym,
  addressClass: "private",
} as const;
const refused = { verdict: "deny", code: "policy-denied", stage: "authorize" } as const;
const outcome = {
  outcome: "success",
  status: 200,
  upstreamStatus: 200,
  bytesIn: 12,
  bytesOut: 210,
  totalUs: 900,
  upstreamUs: 400,
} as const;
const issuance = {
  id,
  ...place,
  client: callerPseudonym,
  audience: "https://issuer.example/main/production/systems/billing",
  verdict: "allow",
  code: null,
  token: subjectPseudonym,
  proof: "dpop",
  expiresAt: at + 300_000,
  grantType: "client_credentials",
  subject: null,
  grants: [],
  operations: ["billing:invoice.create"],
  policies: [],
  inputs: null,
} as const;

const unidentified = {
  caller: null,
  proof: null,
  operation: null,
  integration: null,
  policies: [],
  policySet: null,
  inputs: null,
  address: null,
} as const;
const denied = { ...outcome, outcome: "denied", status: 403, upstreamStatus: 0 } as const;
const admin = { t: "admin", id: "01KAMZZZZZ0000000000000000", ...place, actor: callerPseudonym, facts: hash } as const;

export const everyLeaf: readonly Leaf[] = [
  { t: "origin", ...place, origin: sampleOrigin, previous: null, previousOrigin: null, previousSize: 0 },
  { t: "start", ...place, role: "gateway", version: "0.1.0-rc.1", recovered: 2 },
  { t: "crossing", id, ...place, ...decision, ...outcome },
  {
    t: "crossing",
    id,
    ...place,
    ...decision,
    subject: subjectPseudonym,
    issuer: "partner",
    ...outcome,
    outcome: "system-error",
    status: 502,
  },
  { t: "crossing", id, ...place, ...decision, operation: "billing:invoice.read", ...refused, ...denied },
  {
    t: "crossing",
    id,
    ...place,
    ...decision,
    operation: "billing:ledger.close",
    ...refused,
    mode: "observe",
    ...outcome,
  },
  {
    t: "crossing",
    id,
    ...place,
    ...decision,
    operation: "billing:(undeclared)",
    mode: "passthrough",
    ...outcome,
    outcome: "unobserved",
  },
  {
    t: "crossing",
    id,
    ...place,
    ...decision,
    ...unidentified,
    ...refused,
    code: "token-expired",
    stage: "identify",
    ...denied,
  },
  { t: "intent", id, ...place, ...decision, operation: "billing:invoice.constructor" },
  { t: "intent", id, ...place, ...decision, issuer: null, token: subjectPseudonym },
  { t: "progress", id, ...place, bytesIn: 1, bytesOut: 2 },
  { t: "outcome", id, ...place, ...outcome },
  { t: "outcome", id, ...place, ...outcome, outcome: "unknown", status: 0, upstreamStatus: 0 },
  { t: "denials", id, ...place, code: "token-expired", prefix: callerPseudonym, count: 41, windowMs: 10_000 },
  {
    t: "payload",
    id,
    ...place,
    direction: "request",
    dataSubject: subjectPseudonym,
    key: "0123456789abcdef",
    content: hash,
    bytes: 412,
    endsAt: at + 90 * 86_400_000,
  },
  { t: "unkept", id, ...place, direction: "response", reason: "not-json", bytes: 210 },
  { t: "issuance", ...issuance },
  { t: "issuance", ...issuance, subject: subjectPseudonym, grantType: "authorization_code", grants: ["grt_abc"] },
  { t: "issuance", ...issuance, subject: subjectPseudonym, grantType: "refresh_token", grants: ["grt_abc"] },
  { t: "issuance", ...issuance, grantType: "token-exchange", operations: null },
  {
    t: "issuance",
    ...issuance,
    client: null,
    grantType: null,
    verdict: "deny",
    code: "invalid_client",
    token: null,
    proof: null,
    expiresAt: 0,
  },
  ...["integration.suspend", "estate.apply", "status.read", "key.kill", "gateway.token", "people.something"].map(
    (action): Leaf => ({
      ...admin,
      action,
      object: action === "status.read" ? "status" : "integration/orders-to-billing",
    }),
  ),
  ...["finding.raise", "finding.acknowledge", "finding.resolve"].map(
    (action): Leaf => ({ ...admin, action, object: "finding/token-audience/fnd-01KAMZZZZZ0000000000000000" }),
  ),
  { ...admin, action: "finding.list", object: "finding" },
  {
    ...{ t: "tally", id, ...place, from: at - 60_000, to: at, seen: 9, crossings: 6, intents: 1, counted: 2 },
    ...{ refused: 0, unread: 3, closed: "time" },
  },
  { t: "buffered", id, ...place, upTo: 1_024 },
  { t: "settled", id, ...place, early: 12 },
];

/** As a sink gets them: in order, each after the one before. */
export function everyRecord(origin: string = sampleOrigin): readonly ExportedRecord[] {
  return everyLeaf.map((leaf, index) =>
    readRecord(origin, { index, leaf: printLeaf(leaf), reference: null }, index === 0 ? null : index - 1),
  );
}
