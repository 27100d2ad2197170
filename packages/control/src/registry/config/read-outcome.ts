// Promises what answers of an operation mean for its outcome, as a gateway obeys it. Trusts the types (outcome-schema.ts). Specified in docs/inspection.md "Outcome".
import type { OperationConfig } from "./operation-config.ts";
import type { OutcomeSource } from "./outcome-schema.ts";

export function readOutcome(
  source: OutcomeSource | undefined,
): Pick<OperationConfig, "businessErrors" | "businessErrorsIn"> {
  const businessErrors = [...new Set(source?.["business-error"] ?? [])].sort((a, b) => a - b);
  const signs = source?.["business-error-in"] ?? [];
  return {
    businessErrors,
    ...(signs.length === 0
      ? {}
      : { businessErrorsIn: signs.map(({ path, is }) => ({ path, ...(is === undefined ? {} : { is }) })) }),
  };
}
