// Promises a decision for every crossing, in which anything that is not a clean permit is a deny: no permit, a forbid, an error, a trap.
// Trusts slices from a verified snapshot; their inputs come from callers and are checked against the slice's schema first.
// Specified in docs/policy.md and the Cedar language reference.
import { createHash } from "node:crypto";
import { type Cedar, instantiateCedar } from "./cedar.ts";
import { memoKey, misfit, type Projection, project } from "./fit-request.ts";
import { Memo } from "./memo.ts";
import type {
  CrossingContext,
  DecisionInputs,
  LoadedSlice,
  PolicyDecision,
  PolicyEngine,
  PolicySlice,
  TokenContext,
} from "./port.ts";
import { signalNames } from "./signals.ts";
import { type SliceShapes, shapesOf } from "./slice-schema.ts";

export interface PolicyEngineOptions {
  /** Remembered answers over all slices; 0 remembers none. */
  readonly memoEntriesMax: number;
  /** Slices kept parsed inside the evaluator; others are parsed again when asked. Default 2,048. */
  readonly parsedSlicesMax?: number;
  /** Slices that `load` recognises by their bytes. Default 4,096. */
  readonly loadedSlicesMax?: number;
  /** Makes evaluators; tests bring one that breaks. */
  readonly instantiate?: () => Cedar;
}

/** Replies of Cedar are remembered; traps and misfits are not. */
interface Evaluated {
  readonly decision: PolicyDecision;
  readonly remember: boolean;
}

const deniedByDefault: PolicyDecision = { kind: "deny", policies: [], errors: [] };

function failed(why: string): PolicyDecision {
  return { kind: "error", policies: [], errors: [why] };
}

/**
 * An engine with an evaluator and a memo of its own; one per thread. Throws when the WebAssembly module cannot be loaded;
 * `load` and `decide` never throw.
 */
export function createPolicyEngine(options: PolicyEngineOptions): PolicyEngine {
  const memo = new Memo<PolicyDecision>(options.memoEntriesMax);
  const evaluator = new Evaluator(options.instantiate ?? instantiateCedar, options.parsedSlicesMax ?? 2048);
  const loaded = new Memo<LoadedSlice>(options.loadedSlicesMax ?? 4096);
  let slices = 0;
  return {
    load(slice) {
      const bytes = createHash("sha256").update(JSON.stringify(slice)).digest("base64");
      const known = loaded.get(bytes);
      if (known !== undefined) return known;
      slices += 1;
      const made = loadSlice({ slice, number: slices, evaluator, memo });
      loaded.set(bytes, made);
      return made;
    },
  };
}

interface Loading {
  readonly slice: PolicySlice;
  /** Never used twice by one engine: it separates the slices in the memo and in the evaluator. */
  readonly number: number;
  readonly evaluator: Evaluator;
  readonly memo: Memo<PolicyDecision>;
}

function loadSlice({ slice, number, evaluator, memo }: Loading): LoadedSlice {
  const { action } = slice;
  const shapes = loadShapes(slice);
  if (typeof shapes === "string") return { action, signals: [], decide: () => failed(shapes) };
  const grants = new Map<unknown, string>(Object.entries(slice.grants));
  const system = slice.system ?? action.slice(0, action.indexOf(":"));
  return {
    action,
    signals: signalNames.filter((name) => Object.hasOwn(shapes.context, name)),
    decide(inputs) {
      if (!isUnderGrant(grants, inputs)) return deniedByDefault;
      if (inputs.resource.system !== system) return failed("the resource belongs to another system than the action");
      const wrong = misfit(shapes, inputs);
      if (wrong !== undefined) return failed(`the request does not fit the schema of ${action}: ${wrong}`);
      const projection = project(slice.reads, inputs);
      const key = `${number}|${memoKey(slice.reads, inputs.principal.id, projection)}`;
      const known = memo.get(key);
      if (known !== undefined) return known;
      const { decision, remember } = evaluator.evaluate(slice, number, request({ slice, shapes, inputs, projection }));
      // Frozen, because the next crossing gets this very object.
      if (remember) memo.set(key, freezeDecision(decision));
      return decision;
    },
  };
}

/** The ceiling: whatever the policies say, only the consumer of that very integration can be permitted. */
function isUnderGrant(
  grants: ReadonlyMap<unknown, string>,
  { principal, context }: DecisionInputs<CrossingContext | TokenContext>,
): boolean {
  const named = "integrations" in context ? context.integrations : [context.integration];
  // A caller and an integration that are both absent do not match each other.
  return named.length > 0 && named.every((name) => grants.has(name) && grants.get(name) === principal.id);
}

function freezeDecision(decision: PolicyDecision): PolicyDecision {
  Object.freeze(decision.policies);
  return Object.freeze(decision);
}

function loadShapes(slice: PolicySlice): SliceShapes | string {
  if (slice.broken !== undefined) return slice.broken;
  if (typeof slice.grants !== "object" || slice.grants === null) return `the slice of ${slice.action} names no grants`;
  try {
    return shapesOf(slice.schema, slice.action);
  } catch (error) {
    return `the slice of ${slice.action} cannot be used: ${String(error)}`;
  }
}

type Request = Omit<Parameters<Cedar["statefulIsAuthorized"]>[0], "preparsedPolicySetId">;

interface Asked {
  readonly slice: PolicySlice;
  readonly shapes: SliceShapes;
  readonly inputs: DecisionInputs<CrossingContext | TokenContext>;
  readonly projection: Projection;
}

/** Values are scalars and lists of strings (misfit), so none of them can be taken for an entity or an extension value but those declared as addresses. */
function request({ slice, shapes, inputs, projection }: Asked): Request {
  const principal = { type: "Workload", id: inputs.principal.id };
  const resource = { type: "Resource", id: inputs.resource.system };
  return {
    principal,
    action: { type: "Action", id: slice.action },
    resource,
    // Cedar's declarations want mutable lists; it is given JSON and changes nothing.
    context: withAddresses(shapes, projection.context) as Request["context"],
    validateRequest: false,
    entities: [
      {
        uid: principal,
        attrs: projection.principal as Request["context"],
        parents: [{ type: "System", id: principal.id }],
      },
      {
        uid: resource,
        attrs: projection.resource as Request["context"],
        parents: [{ type: "System", id: resource.id }],
      },
    ],
  };
}

function withAddresses(shapes: SliceShapes, context: Projection["context"]): Readonly<Record<string, unknown>> {
  const addresses = Object.keys(context).filter((name) => shapes.context[name]?.type === "address");
  if (addresses.length === 0) return context;
  const wrapped = addresses.map((name) => [name, { __extn: { fn: "ip", arg: context[name] } }] as const);
  return { ...context, ...Object.fromEntries(wrapped) };
}

/** Cedar keeps parsed policy sets by name and never forgets one, so names are slots that are used again. */
class Evaluator {
  readonly #instantiate: () => Cedar;
  readonly #slotsMax: number;
  /** Slice number -> slot, least recently used first. */
  #slots = new Map<number, number>();
  #free: number[] = [];
  #used = 0;
  #cedar: Cedar;

  constructor(instantiate: () => Cedar, slotsMax: number) {
    this.#instantiate = instantiate;
    this.#slotsMax = slotsMax;
    this.#cedar = instantiate();
  }

  evaluate(slice: PolicySlice, number: number, call: Request): Evaluated {
    try {
      const slot = this.#slot(slice, number);
      if (typeof slot === "string") return { decision: failed(slot), remember: false };
      return read(this.#cedar.statefulIsAuthorized({ ...call, preparsedPolicySetId: `slot-${slot}` }));
    } catch (error) {
      return { decision: this.#recover(error), remember: false };
    }
  }

  /** After a trap the instance's memory is not to be believed any more. Every slice is parsed again into a new one. */
  #recover(error: unknown): PolicyDecision {
    this.#slots = new Map();
    this.#free = [];
    this.#used = 0;
    try {
      this.#cedar = this.#instantiate();
    } catch (again) {
      return failed(`the policy evaluator trapped and could not be started again: ${String(again)}`);
    }
    return failed(`the policy evaluator trapped: ${String(error)}`);
  }

  /** The slot that holds the slice, or why it cannot be parsed. */
  #slot(slice: PolicySlice, number: number): number | string {
    const held = this.#slots.get(number);
    if (held !== undefined) {
      this.#slots.delete(number);
      this.#slots.set(number, held);
      return held;
    }
    const slot = this.#freeSlot();
    const answer = this.#cedar.preparsePolicySet(`slot-${slot}`, { staticPolicies: { ...slice.policies } });
    if (answer.type === "failure") {
      this.#free.push(slot);
      return `the policies of ${slice.action} cannot be parsed: ${answer.errors.map((error) => error.message).join("; ")}`;
    }
    this.#slots.set(number, slot);
    return slot;
  }

  /** A slot that no slice holds: returned, never used, or taken from the slice that was asked longest ago. */
  #freeSlot(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#used < this.#slotsMax) {
      this.#used += 1;
      return this.#used - 1;
    }
    const [oldest] = this.#slots;
    if (oldest === undefined) throw new Error("no slot for a policy set: parsedSlicesMax must be at least 1");
    this.#slots.delete(oldest[0]);
    return oldest[1];
  }
}

function read(answer: ReturnType<Cedar["statefulIsAuthorized"]>): Evaluated {
  if (answer.type === "failure")
    return { decision: failed(answer.errors.map((error) => error.message).join("; ")), remember: false };
  const { decision, diagnostics } = answer.response;
  // Cedar skips a policy that errors, also a forbid: what is left would be an allow that nobody meant.
  if (diagnostics.errors.length > 0) {
    const errors = diagnostics.errors.map(({ policyId, error }) => `${policyId}: ${error.message}`);
    return {
      decision: { kind: "error", policies: diagnostics.errors.map(({ policyId }) => policyId).toSorted(), errors },
      remember: true,
    };
  }
  return { decision: { kind: decision, policies: diagnostics.reason.toSorted(), errors: [] }, remember: true };
}
