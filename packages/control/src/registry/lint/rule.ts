// Promises what a lint rule is: an id, what it means to a reader, and a pure check that says where. Trusts the loader's trees for places.
// Specified in docs/lint/README.md; the table of all rules is rules.ts.
import type { ParsedPolicies } from "@sallyport/kernel/policy/policy-text.ts";
import type {
  EnvironmentConfig,
  Estate,
  EstateSources,
  IntegrationConfig,
  IssuerConfig,
  SystemConfig,
  TrustConfig,
} from "../config/estate.ts";
import { fileSpot, type Spot } from "../config/finding.ts";
import type { OperationConfig } from "../config/operation-config.ts";
import { type MapTree, spotOf } from "../config/yaml-tree.ts";

export type Severity = "error" | "warning" | "info";

export interface Hit {
  readonly at: Spot;
  /** What is wrong here, without a full stop. */
  readonly message: string;
  /** What to do here, where the rule's own words are not enough. */
  readonly fix?: string;
  /** Lower than the rule's, where this case is milder. */
  readonly severity?: Severity;
}

export interface Rule {
  /** kebab-case; the name of its page docs/lint/<id>.md. */
  readonly id: string;
  /** The highest severity of its findings. */
  readonly severity: Severity;
  readonly title: string;
  /** What can happen, for somebody who would rather ignore it. */
  readonly why: string;
  readonly fix: string;
  /** False: says that nothing works here, or is about waivers themselves. */
  readonly waivable: boolean;
  /** Absent: said by the loader, the policy compiler or the waivers. */
  readonly check?: (subject: LintSubject) => readonly Hit[];
}

/** Everything a rule may look at. */
export interface LintSubject {
  readonly estate: Estate;
  readonly sources: EstateSources;
  readonly environments: readonly LintEnvironment[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface LintEnvironment {
  readonly config: EnvironmentConfig;
  readonly policies: ParsedPolicies;
  readonly systems: readonly SystemSubject[];
  readonly integrations: readonly IntegrationSubject[];
  readonly trust: readonly TrustSubject[];
  readonly issuers: readonly IssuerSubject[];
}

type Path = readonly (string | number)[];
/** The spot of a value, or of the nearest thing that was written around it. */
type At = (...path: Path) => Spot;

export interface SystemSubject {
  readonly system: SystemConfig;
  readonly environment: EnvironmentConfig;
  readonly at: At;
  readonly operations: readonly OperationSubject[];
}

export interface OperationSubject {
  readonly system: SystemConfig;
  readonly operation: OperationConfig;
  readonly environment: EnvironmentConfig;
  /** `billing:invoice.create` */
  readonly action: string;
  readonly isEffect: boolean;
  /** Integrations that grant it. */
  readonly grantedBy: readonly IntegrationConfig[];
  readonly at: At;
}

export interface IntegrationSubject {
  readonly integration: IntegrationConfig;
  readonly environment: EnvironmentConfig;
  /** The providing system, when it is whole. */
  readonly provider: SystemConfig | undefined;
  readonly consumer: SystemConfig | undefined;
  readonly granted: readonly OperationConfig[];
  readonly at: At;
}

export interface TrustSubject {
  readonly trust: TrustConfig;
  readonly environment: EnvironmentConfig;
  readonly at: At;
}

export interface IssuerSubject {
  readonly issuer: IssuerConfig;
  readonly environment: EnvironmentConfig;
  readonly at: At;
}

export interface LintInput {
  readonly estate: Estate;
  readonly sources: EstateSources;
  /** Parsed policy files by environment. */
  readonly policies: ReadonlyMap<string, ParsedPolicies>;
  readonly now: number;
}

const noPolicies: ParsedPolicies = { policies: [], unreadable: [], texts: new Map() };

export function subjectOf(input: LintInput): LintSubject {
  const environments = input.estate.environments.map((config) => environmentSubject(config, input));
  return { estate: input.estate, sources: input.sources, environments, now: input.now };
}

function environmentSubject(config: EnvironmentConfig, input: LintInput): LintEnvironment {
  const sources = input.sources.environments.get(config.name);
  const byId = new Map(config.systems.map((system) => [system.id, system]));
  const grants = Map.groupBy(
    config.integrations.flatMap((integration) =>
      integration.operations.map(({ name }) => ({ action: `${integration.to}:${name}`, integration })),
    ),
    ({ action }) => action,
  );
  const grantedBy = (action: string) => (grants.get(action) ?? []).map(({ integration }) => integration);
  return {
    config,
    policies: input.policies.get(config.name) ?? noPolicies,
    systems: config.systems.map((system) => {
      const at = placesIn(sources?.systems.get(system.id), system.declaredAt.file);
      const operations = system.operations.map(
        (operation): OperationSubject => ({
          system,
          operation,
          environment: config,
          action: `${system.id}:${operation.name}`,
          isEffect: !["GET", "HEAD", "OPTIONS"].includes(operation.method),
          grantedBy: grantedBy(`${system.id}:${operation.name}`),
          at: (...path) => at("operations", operation.name, ...path),
        }),
      );
      return { system, environment: config, at, operations };
    }),
    integrations: config.integrations.map((integration) => {
      const provider = byId.get(integration.to);
      const names = new Set(integration.operations.map(({ name }) => name));
      return {
        integration,
        environment: config,
        provider,
        consumer: byId.get(integration.from),
        granted: provider?.operations.filter(({ name }) => names.has(name)) ?? [],
        at: placesIn(sources?.integrations.get(integration.id), integration.declaredAt.file),
      };
    }),
    trust: config.trust.map((trust) => ({
      trust,
      environment: config,
      at: placesIn(sources?.trust.get(trust.name), trust.declaredAt.file),
    })),
    issuers: config.issuers.map((issuer) => ({
      issuer,
      environment: config,
      at: placesIn(sources?.issuers.get(issuer.id), issuer.declaredAt.file),
    })),
  };
}

function placesIn(tree: MapTree | undefined, file: string): At {
  return (...path) => (tree === undefined ? fileSpot(file) : spotOf(tree, path));
}

/** A spot in sallyport.yaml, or its first line where it is absent. */
export function estatePlace(sources: EstateSources, ...path: Path): Spot {
  return sources.root === null ? fileSpot("sallyport.yaml") : spotOf(sources.root, path);
}

type Check = NonNullable<Rule["check"]>;
type Found = readonly Hit[] | Hit | null | false;

/** Whatever a check found, as a list. */
export function listed(found: Found): readonly Hit[] {
  if (found === null || found === false) return [];
  return Array.isArray(found) ? found : [found as Hit]; // not an array, so the one hit
}

export function onSystems(check: (subject: SystemSubject, lint: LintSubject) => Found): Check {
  return (lint) =>
    lint.environments.flatMap(({ systems }) => systems.flatMap((subject) => listed(check(subject, lint))));
}

export function onOperations(check: (subject: OperationSubject, lint: LintSubject) => Found): Check {
  return onSystems(({ operations }, lint) => operations.flatMap((subject) => listed(check(subject, lint))));
}

export function onIntegrations(check: (subject: IntegrationSubject, lint: LintSubject) => Found): Check {
  return (lint) =>
    lint.environments.flatMap(({ integrations }) => integrations.flatMap((subject) => listed(check(subject, lint))));
}

export function onTrust(check: (subject: TrustSubject, lint: LintSubject) => Found): Check {
  return (lint) => lint.environments.flatMap(({ trust }) => trust.flatMap((subject) => listed(check(subject, lint))));
}

export function onIssuers(check: (subject: IssuerSubject, lint: LintSubject) => Found): Check {
  return (lint) =>
    lint.environments.flatMap(({ issuers }) => issuers.flatMap((subject) => listed(check(subject, lint))));
}

export function onEnvironments(check: (environment: LintEnvironment, lint: LintSubject) => Found): Check {
  return (lint) => lint.environments.flatMap((environment) => listed(check(environment, lint)));
}

export const dayMs = 86_400_000;

/** `2027-06-30` of the end of a day as the configuration holds it. */
export function dayOf(endMs: number): string {
  return new Date(endMs - 1).toISOString().slice(0, 10);
}

/** The most sensitive classes: what leaks there is told to an authority. */
export function isSensitive({ classification }: OperationConfig): boolean {
  return classification === "confidential" || classification === "restricted";
}

/** True where a system or an integration is broken: then what is unused is not known, because nobody knows what the broken one uses. */
export function isIncomplete(lint: LintSubject): boolean {
  return lint.estate.environments.some(({ broken }) =>
    broken.some(({ object }) => /^(system|integration|environment)\//.test(object)),
  );
}
