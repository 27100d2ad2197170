// Promises what changes in what requests and answers of an operation may be, in words, for whoever reads a plan. Pure. Trusts both sides to be loaded the
// same way; operations that come or go are objects of the plan, not words of this one. Specified in docs/cli/plan.md.
import type { EnvironmentConfig } from "./config/estate.ts";
import type { OperationConfig } from "./config/operation-config.ts";
import { schemaDifferences } from "./schema-differences.ts";

export interface SchemaChange {
  readonly environment: string;
  /** `billing:invoice.create` */
  readonly operation: string;
  /** `parameters`, `body`, `answer 404` */
  readonly part: string;
  readonly says: readonly string[];
}

/** Operations that both sides have, in ascending order of environment, operation and part. */
export function schemaChanges(
  held: readonly EnvironmentConfig[],
  wanted: readonly EnvironmentConfig[],
): readonly SchemaChange[] {
  return wanted.flatMap((environment) => {
    const before = operationsOf(held.filter(({ name }) => name === environment.name));
    return [...operationsOf([environment])]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([operation, now]) => {
        const old = before.get(operation);
        if (old === undefined) return [];
        const [was, is] = [partsOf(old), partsOf(now)];
        return [...new Set([...was.keys(), ...is.keys()])].sort().flatMap((part): SchemaChange[] => {
          const says = wordsOf(was.get(part), is.get(part));
          return says.length === 0 ? [] : [{ environment: environment.name, operation, part, says }];
        });
      });
  });
}

function operationsOf(environments: readonly EnvironmentConfig[]): ReadonlyMap<string, OperationConfig> {
  return new Map(
    environments.flatMap(({ systems }) =>
      systems.flatMap(({ id, operations }) => operations.map((one) => [`${id}:${one.name}`, one] as const)),
    ),
  );
}

function partsOf({ parameters, body, response }: OperationConfig): ReadonlyMap<string, unknown> {
  return new Map([
    ...(parameters === undefined ? [] : [["parameters", parameters.schema] as const]),
    ...(body?.schema === undefined ? [] : [["body", body.schema] as const]),
    ...Object.entries(response?.schemas ?? {}).map(([status, schema]) => [`answer ${status}`, schema] as const),
  ]);
}

function wordsOf(old: unknown, now: unknown): readonly string[] {
  if (old === undefined) return ["is held against a schema"];
  return now === undefined ? ["is held against no schema any more"] : schemaDifferences(old, now);
}
