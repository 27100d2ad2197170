// Promises what decides about tokens of one environment: a slice per token action and provider, or the knowledge that no policy says anything about tokens.
// Trusts the slice compiler of kernel/policy. Specified in docs/policy.md "Policies about tokens".
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { Grant } from "@sallyport/kernel/policy/generated-permit.ts";
import type { PolicySlice } from "@sallyport/kernel/policy/port.ts";
import { type TokenAction, tokenActions, tokensAreUnrestricted } from "@sallyport/kernel/policy/token-slice.ts";
import type { EnvironmentConfig } from "../registry/config/estate.ts";
import { errorAt, type Finding, sortFindings } from "../registry/config/finding.ts";

export interface TokenPolicies {
  /** By `tokenSliceName`; of every action and provider that something is granted of. */
  readonly slices: ReadonlyMap<string, PolicySlice>;
  readonly findings: readonly Finding[];
}

export const tokenSliceName = (action: TokenAction, provider: string): string => `${action} ${provider}`;

/** Null: no policy names a token action, and every policy file could be read. Then the grants alone decide. */
export function compileTokenPolicies(
  environment: EnvironmentConfig,
  isOperation: (name: string) => boolean,
  compiler: SliceCompiler,
): TokenPolicies | null {
  const { policies, systems } = environment;
  if (policies.length === 0 || tokensAreUnrestricted(compiler.parse(policies))) return null;
  const callers = systems.map(({ id, attributes }) => ({ id, attributes }));
  const known = new Set(systems.map(({ id }) => id));
  const slices = new Map<string, PolicySlice>();
  const findings: Finding[] = [];
  for (const provider of callers)
    for (const action of tokenActions) {
      const grants = tokenGrants(environment, action, provider.id).filter(({ from }) => known.has(from));
      if (grants.length === 0) continue;
      const compiled = compiler.compileTokenSlice({ action, provider, callers, grants, isOperation, policies });
      slices.set(tokenSliceName(action, provider.id), compiled.slice);
      findings.push(...compiled.findings.map(asFinding));
    }
  return { slices, findings: sortFindings(findings) };
}

/** Integrations that tokens of this action may be for: exchanged ones are had by clients with a rule, and by gateways for a provider that wants its own. */
export function tokenGrants(
  { integrations, systems }: Pick<EnvironmentConfig, "integrations" | "systems">,
  action: TokenAction,
  provider: string,
): readonly Grant[] {
  const hasOwn = systems.some(({ id, upstream }) => id === provider && upstream?.nextHop !== undefined);
  return integrations
    .filter(({ to, exchange }) => to === provider && (action === "token:issue" || hasOwn || exchange !== undefined))
    .map(({ id, from }) => ({ integration: id, from }));
}

/** Is there such an operation anywhere? Nobody knows what a broken system offers: what policies say about it is not held against them. */
export function operationsOf(environments: readonly EnvironmentConfig[]): (name: string) => boolean {
  const names = new Set(
    environments.flatMap(({ systems }) =>
      systems.flatMap(({ id, operations }) => operations.map(({ name }) => `${id}:${name}`)),
    ),
  );
  const broken = new Set(environments.flatMap((environment) => environment.broken.map(({ object }) => object)));
  return (name) => names.has(name) || broken.has(`system/${name.slice(0, name.indexOf(":"))}`);
}

export function asFinding(said: {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly why: string;
  readonly fix: string;
}): Finding {
  return errorAt({ file: said.file, line: said.line, column: said.column, path: "$" }, said.why, said.fix);
}
