// Promises one policy slice per operation of an environment, and what is wrong with policy files at its place.
// Trusts the slice compiler of kernel/policy, which never gives a weaker slice than the files say. Specified in docs/policy.md.
import { checkPolicyScopes } from "@sallyport/kernel/policy/applies.ts";
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { isEnforced, type ParsedPolicies, type ParsedPolicy, place } from "@sallyport/kernel/policy/policy-text.ts";
import type { PolicySlice } from "@sallyport/kernel/policy/port.ts";
import { isAboutToken, tokenActions } from "@sallyport/kernel/policy/token-slice.ts";
import type { EnvironmentConfig, Estate, SystemConfig } from "../registry/config/estate.ts";
import { type Finding, sortFindings, warningAt } from "../registry/config/finding.ts";
import type { OperationConfig } from "../registry/config/operation-config.ts";
import { asFinding, compileTokenPolicies, operationsOf } from "./compile-token-policies.ts";

export interface CompiledPolicies {
  /** Action -> slice, in ascending order of action. */
  readonly slices: ReadonlyMap<string, PolicySlice>;
  readonly findings: readonly Finding[];
  /** Policies in shadow that cannot be judged: nothing is denied for them. */
  readonly shadowFindings: readonly Finding[];
}

/**
 * Slices hold every whole integration whatever its state: `bind` refuses what is not active, and a suspension changes one blob only.
 */
export function compilePolicies(environment: EnvironmentConfig, compiler: SliceCompiler): CompiledPolicies {
  const slices = new Map<string, PolicySlice>();
  const findings: Finding[] = [];
  const shadowFindings: Finding[] = [];
  for (const system of environment.systems) {
    for (const operation of system.operations) {
      const compiled = compileOperationPolicy(environment, { system, operation }, compiler);
      slices.set(compiled.slice.action, compiled.slice);
      findings.push(...compiled.findings.map(asFinding));
      shadowFindings.push(...(compiled.shadowFindings ?? []).map(asShadowFinding));
    }
  }
  return { slices, findings: sortFindings(findings), shadowFindings };
}

/** The slice of one operation, as it stands in the snapshot. */
export function compileOperationPolicy(
  environment: EnvironmentConfig,
  { system, operation }: { readonly system: SystemConfig; readonly operation: OperationConfig },
  compiler: SliceCompiler,
): ReturnType<SliceCompiler["compileSlice"]> {
  return compiler.compileSlice({
    action: `${system.id}:${operation.name}`,
    system: system.id,
    resourceAttributes: typesOf(operation),
    ...partiesOf(environment, `${system.id}:${operation.name}`),
    authorize: operation.authorize,
    policies: environment.policies,
  });
}

function typesOf(operation: OperationConfig): Record<string, "string" | "long" | "boolean"> {
  return Object.fromEntries(Object.entries(operation.attributes).map(([name, { type }]) => [name, type]));
}

type Parties = Pick<Parameters<SliceCompiler["compileSlice"]>[0], "callers" | "grants">;

interface PartiesOfEnvironment {
  readonly callers: Parties["callers"];
  /** By action, in the order of the integrations. */
  readonly grants: ReadonlyMap<string, Parties["grants"]>;
}

/** An environment never changes once it is loaded, and has hundreds of operations that ask the same. */
const knownParties = new WeakMap<EnvironmentConfig, PartiesOfEnvironment>();

function partiesOf(environment: EnvironmentConfig, action: string): Parties {
  const known = knownParties.get(environment) ?? gatherParties(environment);
  knownParties.set(environment, known);
  return { callers: known.callers, grants: known.grants.get(action) ?? [] };
}

function gatherParties({ systems, integrations }: EnvironmentConfig): PartiesOfEnvironment {
  const grants = new Map<string, { integration: string; from: string }[]>();
  for (const { id, from, to, operations } of integrations) {
    for (const action of new Set(operations.map(({ name }) => `${to}:${name}`))) {
      const granted = grants.get(action);
      if (granted === undefined) grants.set(action, [{ integration: id, from }]);
      else granted.push({ integration: id, from });
    }
  }
  return { callers: systems.map(({ id, attributes }) => ({ id, attributes })), grants };
}

/**
 * Everything wrong with the policy files of an estate, for `check`, `plan` and the start: per environment what its slices refuse,
 * and over all environments scopes that name an operation or a system which nowhere exists.
 */
export function checkPolicies(estate: Estate, compiler: SliceCompiler): Finding[] {
  const findings: Finding[] = [];
  const actions = new Set<string>(tokenActions);
  const systems = new Set<string>();
  const isOperation = operationsOf(estate.environments);
  for (const environment of estate.environments) {
    const compiled = compilePolicies(environment, compiler);
    findings.push(...compiled.findings, ...compiled.shadowFindings);
    findings.push(...(compileTokenPolicies(environment, isOperation, compiler)?.findings ?? []));
    for (const { object } of environment.broken)
      if (object.startsWith("system/")) systems.add(object.slice("system/".length));
    for (const system of environment.systems) {
      systems.add(system.id);
      for (const operation of system.operations) actions.add(`${system.id}:${operation.name}`);
    }
  }
  const brokenSystems = new Set(estate.environments.flatMap(({ broken }) => broken.map(({ object }) => object)));
  for (const environment of estate.environments) {
    // Nobody knows what a broken system offers: what policies say about it is not held against them.
    for (const { text } of environment.policies) {
      for (const [, system, name] of text.matchAll(/Action::"([a-z][a-z0-9-]*):([^"]{1,200})"/g)) {
        if (brokenSystems.has(`system/${system}`)) actions.add(`${system}:${name}`);
      }
    }
    const parsed = compiler.parse(environment.policies);
    const [enforced, inShadow] = [
      parsed.policies.filter(isEnforced),
      parsed.policies.filter((one) => !isEnforced(one)),
    ];
    const known = { actions, systems };
    findings.push(...checkPolicyScopes({ ...parsed, policies: enforced }, known).map(asFinding));
    findings.push(...checkPolicyScopes({ ...parsed, policies: inShadow }, known).map(asShadowFinding));
    findings.push(...inShadow.filter(({ json }) => isAboutTokens(json)).map((policy) => unjudged(policy, parsed)));
  }
  return sortFindings(findings);
}

/** A warning: what is enforced is not touched by it. */
function asShadowFinding({ file, line, column, why, fix }: Parameters<typeof asFinding>[0]): Finding {
  return warningAt({ file, line, column, path: "$" }, { rule: "shadow-policy-invalid", message: why, fix });
}

/** Nothing would say what it did, and its author would take the silence for a yes. */
function unjudged({ file, offset, id }: ParsedPolicy, { texts }: ParsedPolicies): Finding {
  const why = `${id} names a token action, and policies about tokens are not judged in shadow in this version`;
  const fix = "have it name operations alone, or remove `@shadow`";
  return asShadowFinding({ file, ...place(texts.get(file) ?? "", offset), why, fix });
}

function isAboutTokens(policy: ParsedPolicy["json"]): boolean {
  return tokenActions.some((action) => isAboutToken(policy, action));
}
