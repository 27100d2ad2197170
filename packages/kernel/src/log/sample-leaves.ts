// Promises leaves like those of real traffic, for the crash suite and the benchmark. Trusts nothing.
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";

const place = { tenant: "main", environment: "production", region: "eu", node: "gw-1" } as const;
/** Of the log that they are in. */
export const sampleIdentity = { ...place, role: "gateway", version: "0.1.0" } as const;
const pseudonym = "2026:abcdefghijklmnopqrstuQ";

/** The n-th event id; sorts by n. */
export function sampleId(n: number): string {
  return `gw-1-0${String(n).padStart(25, "0")}`;
}

const decision = {
  kind: "api",
  caller: pseudonym,
  subject: null,
  proof: "dpop",
  operation: "billing:invoice.read",
  integration: "orders-to-billing",
  mode: "enforce",
  verdict: "allow",
  code: null,
  stage: null,
  policies: ["grant:orders-to-billing"],
  policySet: "5a".repeat(32),
  inputs: null,
  address: pseudonym,
  addressClass: "private",
} as const;

const outcome = {
  outcome: "success",
  status: 200,
  upstreamStatus: 200,
  bytesIn: 0,
  bytesOut: 512,
  totalUs: 1850,
  upstreamUs: 900,
} as const;

/** One leaf of a type, with the n-th id. `inputs` is the hash of a reference, when there is one. */
export function sampleLeaf(
  t: "crossing" | "intent" | "outcome" | "admin",
  n: number,
  inputs: string | null = null,
): Uint8Array {
  const common = { id: sampleId(n), at: 1_795_305_600_000 + n, ...place };
  const leaves: Record<typeof t, Leaf> = {
    crossing: { t: "crossing", ...common, ...decision, inputs, ...outcome },
    intent: { t: "intent", ...common, ...decision, inputs },
    outcome: { t: "outcome", ...common, ...outcome },
    admin: {
      t: "admin",
      ...common,
      actor: pseudonym,
      action: "integration.suspend",
      object: "integration/orders-to-billing",
      facts: inputs,
    },
  };
  return printLeaf(leaves[t]);
}
