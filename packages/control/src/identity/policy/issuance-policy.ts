// Promises that the policies in force are asked about every token before it is signed, and that whatever is not a clean permit is a no. Trusts the slices
// compiled for the estate in force and kernel/policy. Specified in docs/policy.md "Policies about tokens".
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { generatedPermitId } from "@sallyport/kernel/policy/generated-permit.ts";
import { place } from "@sallyport/kernel/policy/policy-text.ts";
import type { LoadedSlice, PolicyEngine, TokenContext } from "@sallyport/kernel/policy/port.ts";
import type { TokenSignalName } from "@sallyport/kernel/policy/token-signals.ts";
import { type TokenAction, tokenSignalsRead } from "@sallyport/kernel/policy/token-slice.ts";
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import type { EnvironmentConfig } from "../../registry/config/estate.ts";
import { compileTokenPolicies, tokenSliceName } from "../../snapshot/compile-token-policies.ts";

export interface TokenQuestion {
  readonly action: TokenAction;
  /** The system of the client: the principal. */
  readonly system: string;
  /** The system the token is for: the resource. */
  readonly provider: string;
  readonly context: Omit<TokenContext, "environment">;
}

export type TokenRuling =
  /** Ids of the permits that hold. */
  | { readonly kind: "allow"; readonly policies: readonly string[] }
  | {
      readonly kind: "deny";
      readonly code: "policy-denied" | "policy-error";
      /** Ids of the forbids, or of the policies that failed. */
      readonly policies: readonly string[];
      /** For operators only. */
      readonly errors: readonly string[];
      /** `file:line` of each of the policies, for operators only. */
      readonly places: readonly string[];
    };

export interface IssuancePolicy {
  /** The signals that its policies read. */
  readonly signals: readonly TokenSignalName[];
  rule(question: TokenQuestion): TokenRuling;
}

export interface IssuancePolicyOptions {
  readonly environment: EnvironmentConfig;
  readonly isOperation: (name: string) => boolean;
  readonly compiler: SliceCompiler;
  /** Asked for only where some policy names a token action: an evaluator costs memory. */
  readonly engine: () => PolicyEngine;
}

/** Grants are the ceiling and were asked before; each permits, as its generated permit would say. */
export const grantsAlone: IssuancePolicy = {
  signals: [],
  rule: ({ context }) => ({ kind: "allow", policies: context.integrations.map(generatedPermitId) }),
};

/** Compiles what decides about tokens of one environment in force. */
export function createIssuancePolicy(options: IssuancePolicyOptions): IssuancePolicy {
  const { environment, isOperation, compiler } = options;
  const compiled = compileTokenPolicies(environment, isOperation, compiler);
  if (compiled === null) return grantsAlone;
  const engine = options.engine();
  const loaded = new Map<string, LoadedSlice>([...compiled.slices].map(([name, slice]) => [name, engine.load(slice)]));
  const attributes = new Map<string, Readonly<Record<string, Scalar>>>(
    environment.systems.map((system) => [system.id, system.attributes]),
  );
  const places = placesOf(environment, compiler);
  return {
    signals: tokenSignalsRead(compiler.parse(environment.policies)),
    rule: (question) => ruleBy(question, { environment: environment.name, loaded, attributes, places }),
  };
}

function placesOf({ policies }: EnvironmentConfig, compiler: SliceCompiler): ReadonlyMap<string, string> {
  const { policies: parsed, texts } = compiler.parse(policies);
  return new Map(parsed.map(({ id, file, offset }) => [id, `${file}:${place(texts.get(file) ?? "", offset).line}`]));
}

interface Rules {
  /** Policy id -> `file:line`. */
  readonly places: ReadonlyMap<string, string>;
  readonly environment: string;
  readonly loaded: ReadonlyMap<string, LoadedSlice>;
  readonly attributes: ReadonlyMap<string, Readonly<Record<string, Scalar>>>;
}

function ruleBy({ action, system, provider, context }: TokenQuestion, rules: Rules): TokenRuling {
  const slice = rules.loaded.get(tokenSliceName(action, provider));
  if (slice === undefined) {
    const why = `nothing was compiled for ${action} of ${provider}`;
    return { kind: "deny", code: "policy-error", policies: [], errors: [why], places: [] };
  }
  const { kind, policies, errors } = slice.decide({
    principal: { id: system, attributes: rules.attributes.get(system) ?? {} },
    resource: { system: provider, attributes: rules.attributes.get(provider) ?? {} },
    context: { ...context, environment: rules.environment },
  });
  if (kind === "allow") return { kind, policies };
  const code = kind === "error" ? "policy-error" : "policy-denied";
  const places = policies.flatMap((id) => rules.places.get(id) ?? []);
  return { kind: "deny", code, policies, errors, places };
}
