// Promises a decision for every crossing, in which anything that is not a clean permit is a deny: no permit, a forbid, an error, a trap.
// Trusts slices from a verified snapshot; their inputs come from callers and are checked against the slice's schema first.
// Specified in docs/policy.md and the Cedar language reference.
import { createHash } from "node:crypto";
import { type Cedar, instantiateCedar } from "./cedar.ts";
import { type Closures, Decider, type Later, type Reply, stepwise } from "./decider.ts";
import { Evaluator, type Inputs } from "./evaluator.ts";
import { memoKey, misfit, project } from "./fit-request.ts";
import { Memo } from "./memo.ts";
import type { LoadedSlice, PolicyDecision, PolicyEngine, PolicySlice } from "./port.ts";
import { loadShadow } from "./shadow-engine.ts";
import { type Judged, withShadow } from "./shadow-verdicts.ts";
import { type SignalName, signalNames } from "./signals.ts";
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
  /** Have the evaluator decide everything: for benchmarks and for tests that compare the two. */
  readonly closuresOff?: boolean;
  /** When sets are compiled and compared; by default beside what goes on, a step at a time. */
  readonly later?: Later;
  /** Told of compiled policies that are not used because they gave another answer than the evaluator. */
  readonly warn?: (message: string) => void;
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
  const makeEvaluator = () => new Evaluator(options.instantiate ?? instantiateCedar, options.parsedSlicesMax ?? 2048);
  const evaluator = makeEvaluator();
  let shadowed: Evaluator | undefined;
  const ofShadow = () => {
    shadowed ??= makeEvaluator();
    return shadowed;
  };
  const judged = new Memo<Judged>(options.memoEntriesMax);
  const loaded = new Memo<LoadedSlice>(options.loadedSlicesMax ?? 4096);
  const closures: Closures = {
    off: options.closuresOff ?? false,
    counts: { compiled: 0, evaluated: 0, disagreed: 0 },
    warn: options.warn ?? (() => {}),
    later: options.later ?? stepwise(),
  };
  let slices = 0;
  return {
    standing: () => ({ ...closures.counts }),
    load(slice) {
      const bytes = createHash("sha256").update(JSON.stringify(slice)).digest("base64");
      const known = loaded.get(bytes);
      if (known !== undefined) return known;
      // Two: one for what decides, one for what is in shadow.
      slices += 2;
      const made = loadSlice({ slice, number: slices, evaluator, ofShadow, closures, memo, judged });
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
  /** One that policies in shadow may break without what is enforced noticing; made on first use. */
  readonly ofShadow: () => Evaluator;
  readonly closures: Closures;
  readonly memo: Memo<PolicyDecision>;
  readonly judged: Memo<Judged>;
}

function loadSlice(loading: Loading): LoadedSlice {
  const { slice, number, evaluator, closures, memo, judged } = loading;
  const { action } = slice;
  const shapes = loadShapes(slice);
  if (typeof shapes === "string") return { action, signals: [], shadowSignals: [], decide: () => failed(shapes) };
  const system = slice.system ?? action.slice(0, action.indexOf(":"));
  const shadow =
    slice.shadow === undefined
      ? null
      : loadShadow(slice.shadow, {
          action,
          system,
          number: number + 1,
          evaluator: loading.ofShadow,
          closures,
          judged,
          shapes,
        });
  const grants = new Map<unknown, string>(Object.entries(slice.grants));
  const form = { slice, shapes, reads: slice.reads, system };
  const decider = new Decider({ form, policies: slice.policies, number, evaluator: () => evaluator, closures });
  const decideOf = (inputs: Inputs): PolicyDecision => {
    if (inputs.resource.system !== system) return failed("the resource belongs to another system than the action");
    const wrong = misfit(shapes, inputs, shadow?.declared);
    if (wrong !== undefined) return failed(`the request does not fit the schema of ${action}: ${wrong}`);
    const projection = project(slice.reads, inputs);
    const key = `${number}|${memoKey(slice.reads, inputs.principal.id, projection)}`;
    const known = memo.get(key);
    if (known !== undefined) return known;
    const { decision, remember } = read(decider.ask({ slice, shapes, inputs, projection }));
    // Frozen, because the next crossing gets this very object.
    if (remember) memo.set(key, freezeDecision(decision));
    return decision;
  };
  const signals = signalsOf(shapes);
  return {
    action,
    signals,
    shadowSignals: shadow?.shapes == null ? [] : signalsOf(shadow.shapes).filter((name) => !signals.includes(name)),
    decide(inputs) {
      if (!isUnderGrant(grants, inputs)) return deniedByDefault;
      const decision = decideOf(inputs);
      return shadow === null ? decision : withShadow(decision, shadow, inputs);
    },
  };
}

function signalsOf({ context }: SliceShapes): readonly SignalName[] {
  return signalNames.filter((name) => Object.hasOwn(context, name));
}

/** The ceiling: whatever the policies say, only the consumer of that very integration can be permitted. */
function isUnderGrant(grants: ReadonlyMap<unknown, string>, { principal, context }: Inputs): boolean {
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

function read(reply: Reply | string): Evaluated {
  if (typeof reply === "string") return { decision: failed(reply), remember: false };
  const { decision, reason, errors } = reply;
  // Cedar skips a policy that errors, also a forbid: what is left would be an allow that nobody meant.
  if (errors.length > 0) {
    const said = errors.map(({ policyId, message }) => `${policyId}: ${message}`);
    const failing = errors.map(({ policyId }) => policyId).toSorted();
    return { decision: { kind: "error", policies: failing, errors: said }, remember: true };
  }
  return { decision: { kind: decision, policies: reason.toSorted(), errors: [] }, remember: true };
}
