// Promises to say whether anything that a snapshot serves needs the data-plane store, so that a gateway without such an operation opens none. Pure.
// Trusts the snapshot. Specified in docs/idempotency.md "The data-plane store", docs/limits.md "Quotas".
import type { Estate } from "../snapshot/estate.ts";

export function needsDataPlane({ systems, integrations }: Pick<Estate, "systems" | "integrations">): boolean {
  if (integrations.some(({ quotas }) => quotas !== undefined)) return true;
  for (const { operations } of systems.values())
    for (const { object } of operations)
      if (object.idempotency !== undefined || object.serialize !== undefined) return true;
  return false;
}
