// Promises what a candidate estate decides about a recorded decision, by the compiler and the engine that gateways run; or which input the record lacks
// for it. Trusts kernel/policy. Specified in docs/policy.md "Replay".
import type { SliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { misfit } from "@sallyport/kernel/policy/fit-request.ts";
import type { DecisionInputs, LoadedSlice, PolicyEngine, PolicySlice } from "@sallyport/kernel/policy/port.ts";
import { signalNames } from "@sallyport/kernel/policy/signals.ts";
import { type Shape, type SliceShapes, shapesOf } from "@sallyport/kernel/policy/slice-schema.ts";
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import type { EnvironmentConfig, SystemConfig } from "../registry/config/estate.ts";
import { compilePolicies } from "../snapshot/compile-policies.ts";
import { policySetOf } from "../snapshot/policy-set.ts";
import type { Recorded } from "./recorded.ts";

export interface Candidate {
  decide(recorded: Recorded): DecidedAgain;
}

export type DecidedAgain =
  | { readonly kind: "allow" | "deny"; readonly caller: string; readonly why: string }
  /** What the record does not hold, in words of ours: `context.risk`. */
  | { readonly kind: "unknown"; readonly why: string };

interface Compiled {
  readonly slice: PolicySlice;
  readonly loaded: LoadedSlice;
  /** Null: the slice is broken, and denies whatever the inputs are. */
  readonly shapes: SliceShapes | null;
}

/** Compiles every operation of one environment. */
export function createCandidate(
  environment: EnvironmentConfig,
  { compiler, engine }: { readonly compiler: SliceCompiler; readonly engine: PolicyEngine },
): Candidate {
  const { slices } = compilePolicies(environment, compiler);
  const policySet = policySetOf(slices);
  const systems = new Map(environment.systems.map((system) => [system.id, system]));
  const compiled = new Map<string, Compiled>();
  const compiledOf = (operation: string): Compiled | null => {
    const known = compiled.get(operation);
    const slice = slices.get(operation);
    if (known !== undefined || slice === undefined) return known ?? null;
    // Nothing of a candidate is in shadow for the question what it would decide.
    const { shadow: _, ...enforced } = slice;
    const shapes = slice.broken === undefined ? shapesOf(slice.schema, operation) : null;
    const made = { slice, loaded: engine.load(enforced), shapes };
    compiled.set(operation, made);
    return made;
  };
  return {
    decide(recorded) {
      const found = compiledOf(recorded.operation);
      if (found === null) return { kind: "unknown", why: `${recorded.operation} is not in the estate` };
      const isSameSet = recorded.leaf.policySet === policySet;
      return decideOver(recorded, { ...found, systems, isSameSet });
    },
  };
}

interface Over extends Compiled {
  readonly systems: ReadonlyMap<string, SystemConfig>;
  /** The record was decided by these very slices. */
  readonly isSameSet: boolean;
}

function decideOver(recorded: Recorded, over: Over): DecidedAgain {
  const { slice, shapes, loaded, systems } = over;
  const from = slice.grants[recorded.integration];
  const caller = recorded.inputs?.caller ?? from;
  if (shapes === null) return { kind: "deny", caller: caller ?? "?", why: slice.broken ?? "the slice is broken" };
  if (caller === undefined || from !== caller)
    return { kind: "deny", caller: caller ?? "?", why: `${recorded.integration} does not grant it` };
  const system = systems.get(caller);
  if (system === undefined) return { kind: "deny", caller, why: `there is no system ${caller}` };
  const inputs = inputsFor(recorded, { ...over, shapes, system });
  if (typeof inputs === "string") return { kind: "unknown", why: `the record does not say ${inputs}` };
  const wrong = misfit(shapes, inputs);
  if (wrong !== undefined) return { kind: "unknown", why: `the record does not fit: ${wrong}` };
  const { kind, policies, errors } = loaded.decide(inputs);
  if (kind === "allow") return { kind, caller, why: policies.join(", ") };
  const said = kind === "error" ? errors.join("; ") : policies.join(", ");
  return { kind: "deny", caller, why: said === "" ? "no policy permits it" : said };
}

interface For extends Over {
  readonly shapes: SliceShapes;
  readonly system: SystemConfig;
}

/** Inputs as a gateway would have them, or the name of one that the policies read and nobody knows. */
function inputsFor(recorded: Recorded, on: For): DecisionInputs | string {
  const { slice, shapes, system } = on;
  const resource = filled("resource", shapes.resource, {
    read: slice.reads.resource,
    known: recorded.inputs?.resource ?? {},
  });
  if (typeof resource === "string") return resource;
  // Of zone and attributes the estate has the word: they are declared, and not said by a request.
  const known = { ...contextKnown(recorded), zone: system.zone };
  const doubtful = slice.reads.context.find(
    (name) => !Object.hasOwn(known, name) && !isSurelyAbsent(name, recorded, on),
  );
  if (doubtful !== undefined) return `context.${doubtful}`;
  const context = filled("context", shapes.context, { read: slice.reads.context, known });
  if (typeof context === "string") return context;
  return {
    principal: { id: system.id, attributes: system.attributes },
    resource: { system: slice.action.slice(0, slice.action.indexOf(":")), attributes: scalars(resource) },
    // Its members are those of the slice's own shape, which `misfit` holds them against.
    context: context as unknown as DecisionInputs["context"],
  };
}

/** What the record says: the sealed inputs, or what the leaf has in clear. */
function contextKnown({ leaf, inputs, integration }: Recorded): Readonly<Record<string, unknown>> {
  const place = { addressClass: leaf.addressClass };
  if (inputs !== null) return { ...place, ...inputs.context };
  const issuer = "issuer" in leaf && leaf.issuer !== null ? { issuer: leaf.issuer } : {};
  const proof = leaf.proof === null ? {} : { proof: leaf.proof };
  return { ...place, ...issuer, ...proof, integration, environment: leaf.environment };
}

const ofUser: ReadonlySet<string> = new Set(["subject", "acr", "authTime", "amr", "authAge", "risk", "riskFactors"]);
const signals: ReadonlySet<string> = new Set(signalNames);

/** Was it not there when the crossing was decided? What no policy read then was not made, and may well have been there. */
function isSurelyAbsent(name: string, { leaf, inputs }: Recorded, { isSameSet, shapes }: For): boolean {
  if (shapes.context[name]?.required === true) return false;
  if (name === "issuer") return true;
  if (ofUser.has(name) && leaf.subject === null) return true;
  return inputs !== null && (isSameSet || !signals.has(name));
}

/** Values of the declared names; of one that nobody reads any value does. A text names one that is read and not known. */
function filled(
  area: string,
  shape: Shape,
  { read, known }: { readonly read: readonly string[]; readonly known: Readonly<Record<string, unknown>> },
): Readonly<Record<string, unknown>> | string {
  const values: Record<string, unknown> = {};
  for (const [name, { type, required }] of Object.entries(shape)) {
    if (Object.hasOwn(known, name) && known[name] !== undefined) values[name] = known[name];
    else if (required && read.includes(name)) return `${area}.${name}`;
    else if (required) values[name] = anyOf[type];
  }
  return values;
}

const anyOf = { string: "", long: 0, boolean: false, strings: [], address: "0.0.0.0" } as const;

/** Of a resource: its shape declares nothing else. */
function scalars(values: Readonly<Record<string, unknown>>): Readonly<Record<string, Scalar>> {
  return values as Readonly<Record<string, Scalar>>;
}
