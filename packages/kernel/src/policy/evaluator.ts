// Promises answers of Cedar over parsed policy sets, in a bounded number of slots, and a fresh evaluator after a trap. Trusts requests that were held
// against their schema (fit-request.ts). Specified by the Cedar language reference.
import type { PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";
import type { Cedar } from "./cedar.ts";
import type { Projection } from "./fit-request.ts";
import type { CrossingContext, DecisionInputs, PolicySlice, TokenContext } from "./port.ts";
import type { SliceShapes } from "./slice-schema.ts";

export type Inputs = DecisionInputs<CrossingContext | TokenContext>;
export type Answer = ReturnType<Cedar["statefulIsAuthorized"]>;
export type Request = Omit<Parameters<Cedar["statefulIsAuthorized"]>[0], "preparsedPolicySetId">;

export interface Asked {
  readonly slice: Pick<PolicySlice, "action">;
  readonly shapes: SliceShapes;
  readonly inputs: {
    readonly principal: Pick<Inputs["principal"], "id">;
    readonly resource: Pick<Inputs["resource"], "system">;
  };
  readonly projection: Projection;
}

/** Values are scalars and lists of strings (misfit), so none of them can be taken for an entity or an extension value but those declared as addresses. */
export function request({ slice, shapes, inputs, projection }: Asked): Request {
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

/** What is parsed into a slot. */
export type Policies = Pick<PolicySlice, "action" | "policies">;

/** Cedar keeps parsed policy sets by name and never forgets one, so names are slots that are used again. */
export class Evaluator {
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

  /**
   * Decides over the policies of one slice. A text says why nobody can: they do not parse, or the evaluator trapped and was replaced.
   * @param number names the slice; never used for another one
   */
  ask(slice: Policies, number: number, call: Request): Answer | string {
    try {
      const slot = this.#slot(slice, number);
      if (typeof slot === "string") return slot;
      return this.#cedar.statefulIsAuthorized({ ...call, preparsedPolicySetId: `slot-${slot}` });
    } catch (error) {
      return this.#recover(error);
    }
  }

  /** The JSON form of one policy; null where it is none, or the evaluator trapped and was replaced. */
  parse(text: string): PolicyJson | null {
    try {
      const answer = this.#cedar.policyToJson(text);
      return answer.type === "success" ? answer.json : null;
    } catch (error) {
      this.#recover(error);
      return null;
    }
  }

  /** After a trap the instance's memory is not to be believed any more. Every slice is parsed again into a new one. */
  #recover(error: unknown): string {
    this.#slots = new Map();
    this.#free = [];
    this.#used = 0;
    try {
      this.#cedar = this.#instantiate();
    } catch (again) {
      return `the policy evaluator trapped and could not be started again: ${String(again)}`;
    }
    return `the policy evaluator trapped: ${String(error)}`;
  }

  /** The slot that holds the slice, or why it cannot be parsed. */
  #slot(slice: Policies, number: number): number | string {
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
