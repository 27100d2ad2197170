// Promises one name for all policy slices of an environment: what records call the policy set. Pure. Specified in docs/formats/leaf.md (`policySet`).
import { createHash } from "node:crypto";
import type { PolicySlice } from "@sallyport/kernel/policy/port.ts";
import { stableJson } from "./stable-json.ts";

/** @param ids action -> id of its blob (hex) */
export function policySetOfBlobs(ids: ReadonlyMap<string, string>): string {
  const rows = [...ids].sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(stableJson(rows)).digest("hex");
}

export function policySetOf(slices: ReadonlyMap<string, PolicySlice>): string {
  const idOf = (slice: PolicySlice) => createHash("sha256").update(stableJson(slice)).digest("hex");
  return policySetOfBlobs(new Map([...slices].map(([action, slice]) => [action, idOf(slice)])));
}
