// Promises the grants that come closest to one that is missing, and the line that would make it. Pure.
// Trusts the environment's integrations. Specified in docs/cli/why.md.
import type { EnvironmentConfig, IntegrationConfig, SystemConfig } from "../registry/config/estate.ts";
import type { Fix, Nearest } from "./explanation.ts";

const nearestMax = 3;

export interface Wanted {
  readonly environment: EnvironmentConfig;
  readonly from: SystemConfig;
  readonly to: string;
  readonly operation: string;
}

export function nearestGrants({ environment, from, to, operation }: Wanted): readonly Nearest[] {
  const same = environment.integrations.filter((one) => one.from === from.id && one.to === to);
  const others = environment.integrations.filter(
    (one) => one.from !== from.id && one.to === to && one.operations.some(({ name }) => name === operation),
  );
  return [
    ...same.map((one) => nearestOf(one, "same caller, other operations")),
    ...others.map((one) => nearestOf(one, "same operation, other caller")),
  ].slice(0, nearestMax);
}

function nearestOf(one: IntegrationConfig, why: Nearest["why"]): Nearest {
  const { id, from, operations, declaredAt } = one;
  return {
    integration: id,
    from,
    operations: operations.map(({ name }) => name),
    declaredAt: `${declaredAt.file}:${declaredAt.line}`,
    why,
  };
}

/** One operation more at an integration that is there, else a `uses` entry of the caller. */
export function grantFix({ environment, from, to, operation }: Wanted): Fix {
  const there = environment.integrations.find((one) => one.from === from.id && one.to === to);
  if (there === undefined) {
    const purpose = "    purpose: <why this data crosses>";
    return {
      says: `declare that ${from.id} uses ${operation} of ${to}`,
      file: from.declaredAt.file,
      line: from.declaredAt.line,
      yaml: ["uses:", `  - to: ${to}`, purpose, `    operations: [${operation}]`].join("\n"),
    };
  }
  const names = [...there.operations.map(({ name }) => name), operation];
  return {
    says: `add ${operation} to the operations of ${there.id}; ${there.owner} answers for it`,
    file: there.declaredAt.file,
    line: there.declaredAt.line,
    yaml: `operations: [${names.join(", ")}]`,
  };
}
