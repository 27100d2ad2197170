// Promises for each case whether the verdict is the expected one, with the reasons, and what no case has decided. Pure.
// Trusts run-cases.ts for verdicts. Specified in docs/policy-tests.md.
import type { TokenCaseVerdict } from "@sallyport/control/identity/policy/decide-token-case.ts";
import type { PolicyCase } from "@sallyport/control/policy-tests/read-tests.ts";
import type { EnvironmentConfig } from "@sallyport/control/registry/config/estate.ts";
import { errorAt, type Finding } from "@sallyport/control/registry/config/finding.ts";
import { suggest } from "@sallyport/control/registry/config/nearest.ts";

/** The environment a case is for: its own, its file's, the only one, or production. */
export function environmentOf(
  one: PolicyCase,
  environments: readonly EnvironmentConfig[],
): EnvironmentConfig | undefined {
  const [first, second] = environments;
  const name = one.environment ?? (second === undefined ? first?.name : "production");
  return environments.find((environment) => environment.name === name);
}

/** Names in a table that do not exist: such a case would test nothing. */
export function checkCase(one: PolicyCase, environments: readonly EnvironmentConfig[]): readonly Finding[] {
  const environment = environmentOf(one, environments);
  if (environment === undefined) {
    const names = environments.map(({ name }) => name);
    return [errorAt(one.placeOf("environment"), "no such environment", suggest(one.environment ?? "", names))];
  }
  const { systems, broken } = environment;
  const isBroken = (id: string) => broken.some(({ object }) => object === `system/${id}`);
  const ids = systems.map(({ id }) => id);
  const findings: Finding[] = [];
  if (!ids.includes(one.caller))
    findings.push(
      errorAt(
        one.placeOf("caller"),
        said(one.caller, isBroken(one.caller), environment.name),
        suggest(one.caller, ids),
      ),
    );
  if (one.token !== undefined) return [...findings, ...checkToken(one, one.token, environment)];
  const [systemId = "", name = ""] = one.operation.split(":");
  const system = systems.find(({ id }) => id === systemId);
  if (system === undefined) {
    if (!isBroken(systemId))
      findings.push(errorAt(one.placeOf("operation"), said(systemId, false, environment.name), suggest(systemId, ids)));
    return findings;
  }
  const operation = system.operations.find((offered) => offered.name === name);
  if (operation === undefined) {
    const fix = suggest(
      name,
      system.operations.map((offered) => offered.name),
    );
    findings.push(errorAt(one.placeOf("operation"), `\`${systemId}\` has no operation \`${name}\``, fix));
    return findings;
  }
  for (const attribute of Object.keys(one.attributes))
    if (!Object.hasOwn(operation.attributes, attribute)) {
      const fix = suggest(attribute, Object.keys(operation.attributes));
      findings.push(
        errorAt(one.placeOf("attributes"), `\`${one.operation}\` declares no attribute \`${attribute}\``, fix),
      );
    }
  return findings;
}

function checkToken(
  one: PolicyCase,
  token: NonNullable<PolicyCase["token"]>,
  { systems, issuers, broken, name }: EnvironmentConfig,
): readonly Finding[] {
  const findings: Finding[] = [];
  const ids = systems.map(({ id }) => id);
  const at = one.placeOf("token");
  if (!ids.includes(token.for)) {
    const isBroken = broken.some(({ object }) => object === `system/${token.for}`);
    findings.push(errorAt(at, said(token.for, isBroken, name), suggest(token.for, ids)));
  }
  const clients = systems.find(({ id }) => id === one.caller)?.clients.map(({ id }) => id) ?? [];
  if (token.client !== undefined && !clients.includes(token.client))
    findings.push(errorAt(at, `\`${one.caller}\` has no client \`${token.client}\``, suggest(token.client, clients)));
  const trusted = ["own", ...issuers.map(({ id }) => id)];
  if (token.subjectIssuer !== undefined && !trusted.includes(token.subjectIssuer))
    findings.push(errorAt(at, `no issuer is called \`${token.subjectIssuer}\``, suggest(token.subjectIssuer, trusted)));
  return findings;
}

function said(id: string, isBroken: boolean, environment: string): string {
  return isBroken
    ? `the system \`${id}\` is broken in ${environment}`
    : `there is no system \`${id}\` in ${environment}`;
}

export interface JudgedCase {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly name: string;
  readonly environment: string;
  readonly caller: string;
  readonly operation: string;
  readonly expected: string;
  readonly got: string;
  readonly ok: boolean;
  /** Ids of the policies that decided. */
  readonly policies: readonly string[];
  /** What the gateway would have told operators about it. */
  readonly why: readonly string[];
}

/** A verdict of a gateway, or of the token endpoint. */
export type CaseVerdict = TokenCaseVerdict;

export function judgeCase(one: PolicyCase, environment: string, verdict: CaseVerdict): JudgedCase {
  const code = verdict.kind === "deny" ? verdict.code : undefined;
  const isSameCode = one.code === undefined || one.code === code;
  const isSamePolicies = one.policies === undefined || sameSet(one.policies, verdict.policies);
  return {
    file: one.file,
    line: one.line,
    column: one.column,
    name: one.name ?? `${one.caller} ${one.operation}${one.token === undefined ? "" : ` for ${one.token.for}`}`,
    environment,
    caller: one.caller,
    operation: one.operation,
    expected: wordsOf(one.expect, one.code, one.policies),
    got: wordsOf(verdict.kind, code, verdict.policies),
    ok: one.expect === verdict.kind && isSameCode && isSamePolicies,
    policies: verdict.policies,
    why: verdict.kind === "allow" ? [] : Object.entries(verdict.facts).map(([name, value]) => `${name}: ${value}`),
  };
}

function wordsOf(kind: string, code: string | undefined, policies: readonly string[] | undefined): string {
  const by = policies === undefined || policies.length === 0 ? "" : ` by ${policies.join(", ")}`;
  return `${kind}${code === undefined ? "" : ` ${code}`}${by}`;
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((item) => other.includes(item));
}

export interface Coverage {
  readonly operations: Covered;
  readonly policies: Covered;
}

export interface Covered {
  readonly total: number;
  readonly decided: number;
  /** In ascending order: what no case has decided. */
  readonly never: readonly string[];
}

/** Of everything granted and every policy of a file, what some case has decided. */
export function coverageOf(
  judged: readonly JudgedCase[],
  from: { readonly environments: readonly EnvironmentConfig[]; readonly policies: readonly string[] },
): Coverage {
  const granted = from.environments.flatMap(({ integrations }) =>
    integrations.flatMap(({ to, operations }) => operations.map(({ name }) => `${to}:${name}`)),
  );
  const asked = new Set(judged.map(({ operation }) => operation));
  const decided = new Set(judged.flatMap(({ policies }) => policies));
  return { operations: covered(granted, asked), policies: covered(from.policies, decided) };
}

function covered(all: readonly string[], reached: ReadonlySet<string>): Covered {
  const wanted = [...new Set(all)].sort();
  const never = wanted.filter((name) => !reached.has(name));
  return { total: wanted.length, decided: wanted.length - never.length, never };
}
