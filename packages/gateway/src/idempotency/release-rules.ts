// Promises that an answer is released again only under the declarations it was released under the first time: where what may be seen of it has changed since,
// it is not. Trusts the snapshot. Specified in docs/idempotency.md "Replays".
import { hash } from "node:crypto";
import type { CompiledOperation, Grant } from "../snapshot/estate.ts";

/** What is judged anew for each replay, or says nothing about what an answer may hold. Any other member counts, also one that a later version adds. */
const saysNothing: ReadonlySet<string> = new Set([
  "attributes",
  "authorize",
  "bodyBytesMax",
  "businessErrors",
  "idempotency",
  "offline",
  "policy",
  "precondition",
  "record",
  "serialize",
  "stepUp",
  "timeoutMs",
]);

const known = new WeakMap<Grant, Uint8Array>();

/** SHA-256 over what an operation and this grant of it declare. */
export function releaseRules({ object, fullName }: CompiledOperation, grant: Grant): Uint8Array {
  const found = known.get(grant);
  if (found !== undefined) return found;
  const granted = grant.integration.operations.find(({ name }) => name === object.name);
  const { id, data = null } = grant.integration;
  const told = [fullName, id, data, declared(object), declared(granted ?? {})];
  const rules = hash("sha256", JSON.stringify(told), "buffer");
  known.set(grant, rules);
  return rules;
}

function declared(object: object): readonly (readonly [string, unknown])[] {
  return Object.entries(object)
    .filter(([name]) => !saysNothing.has(name))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
