// Promises what the policies would say, by the engine that gateways run, on the attributes a request would carry. Trusts kernel/policy.
// Specified in docs/policy.md and docs/cli/why.md.
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import type { DecisionInputs, PolicyDecision, PolicyEngine } from "@sallyport/kernel/policy/port.ts";
import type { SignalName, Signals } from "@sallyport/kernel/policy/signals.ts";
import type { AttributeSource, Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import type { EnvironmentConfig, PolicyFile, SystemConfig } from "../registry/config/estate.ts";
import { suggest } from "../registry/config/nearest.ts";
import type { OperationConfig } from "../registry/config/operation-config.ts";
import { compileOperationPolicy } from "../snapshot/compile-policies.ts";
import { QuestionFault } from "./explanation.ts";

export interface PolicyPorts {
  readonly compiler: SliceCompiler;
  readonly engine: PolicyEngine;
}

export interface PolicyCase {
  readonly environment: EnvironmentConfig;
  readonly system: SystemConfig;
  readonly operation: OperationConfig;
  readonly given: Readonly<Record<string, string>>;
  readonly principal: DecisionInputs["principal"];
  readonly context: DecisionInputs["context"];
  /** Signals that the policies read. */
  readonly signals: (names: readonly SignalName[]) => Signals;
}

export type PolicyAnswer =
  /** Attributes the policies read and nobody named. */
  | { readonly kind: "missing"; readonly names: readonly string[] }
  | { readonly kind: "decided"; readonly decision: PolicyDecision; readonly assumed: readonly SignalName[] };

export function explainPolicy(on: PolicyCase, ports: PolicyPorts): PolicyAnswer {
  const { slice } = compileOperationPolicy(on.environment, on, ports.compiler);
  const attributes = readAttributes(on.operation, on.given);
  const missing = slice.reads.resource.filter((name) => !Object.hasOwn(attributes, name));
  if (missing.length > 0) return { kind: "missing", names: missing };
  const loaded = ports.engine.load(slice);
  const inputs: DecisionInputs = {
    principal: on.principal,
    resource: { system: on.system.id, attributes: { ...placeholders(on.operation), ...attributes } },
    context: { ...on.context, ...on.signals([...loaded.signals, ...loaded.shadowSignals]) },
  };
  const decision = loaded.decide(inputs);
  const guessed = (slice.shadow?.reads.resource ?? []).some((name) => !Object.hasOwn(attributes, name));
  return { kind: "decided", decision: guessed ? withoutShadow(decision) : decision, assumed: loaded.signals };
}

/** Of an attribute that nobody named, policies in shadow would be told a placeholder. */
function withoutShadow({ kind, policies, errors }: PolicyDecision): PolicyDecision {
  return { kind, policies, errors };
}

/** Every declared attribute must be there for the request to fit; of those that no policy reads any value will do. */
function placeholders(operation: OperationConfig): Readonly<Record<string, Scalar>> {
  const of = { string: "", long: 0, boolean: false } as const;
  return Object.fromEntries(Object.entries(operation.attributes).map(([name, { type }]) => [name, of[type]]));
}

/** `--attr` values in their declared types. Throws QuestionFault for a name or a value that does not fit. */
function readAttributes(
  operation: OperationConfig,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, Scalar>> {
  return Object.fromEntries(
    Object.entries(given).map(([name, text]) => {
      const declared = Object.hasOwn(operation.attributes, name) ? operation.attributes[name] : undefined;
      if (declared === undefined)
        throw new QuestionFault(
          `${operation.name} declares no attribute ${name}`,
          suggest(name, Object.keys(operation.attributes)),
        );
      const value = attributeValue(declared, text);
      if (value === null)
        throw new QuestionFault(`${name}=${text} is not a ${declared.type}`, `write a ${declared.type}`);
      return [name, value];
    }),
  );
}

function attributeValue({ type }: AttributeSource, text: string): Scalar | null {
  if (type === "string") return text;
  if (type === "boolean") return text === "true" ? true : text === "false" ? false : null;
  return /^-?\d{1,15}$/.test(text) ? Number(text) : null;
}

/** `policies/regions.cedar:7`, where an `@id` or the name `<file>#<n>` says so; null for generated permits. */
export function placeOfPolicy(id: string, files: readonly PolicyFile[]): string | null {
  for (const { file, text } of files) {
    const line = text.split("\n").findIndex((one) => one.includes(`@id("${id}")`));
    if (line !== -1) return `${file}:${line + 1}`;
  }
  const named = /^(.+)#(\d+)$/.exec(id)?.[1];
  return named !== undefined && files.some(({ file }) => file === named) ? named : null;
}
