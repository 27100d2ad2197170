// Promises what a record says of one policy decision: what the policies said, and over which inputs; or why it holds no decision that could be taken
// again. Nothing is guessed. Pure. Trusts the leaf's format; an opened reference is read like anybody's JSON. Specified in docs/policy.md "Replay".
import type { DecisionInputs } from "@sallyport/kernel/policy/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";

/** A leaf that holds a decision about a crossing. */
export type DecisionLeaf = Extract<Leaf, { t: "crossing" | "intent" }>;

export interface Recorded {
  readonly leaf: DecisionLeaf;
  /** `billing:invoice.read` */
  readonly operation: string;
  readonly integration: string;
  readonly allowed: boolean;
  /** Null: the record's sealed part is not there or not readable, and only what the leaf says in clear is known. */
  readonly inputs: RecordedInputs | null;
}

export interface RecordedInputs {
  readonly caller: string;
  readonly resource: Readonly<Record<string, Scalar>>;
  readonly context: DecisionInputs["context"];
}

/** Why a record is none that policies decided. */
export type Undecided =
  /** Denied before any policy was asked: no policy changes that. */
  | "before-policies"
  /** Allowed, and the policies were to be asked once the answer was there. */
  | "decided-by-answer"
  /** Of a system with passthrough: no integration, no policies. */
  | "undeclared"
  /** The sealed part says nothing that fits its leaf. */
  | "unreadable";

const policyCodes: ReadonlySet<string> = new Set(["policy-denied", "policy-error"]);

/** @param opened the sealed part, null where it is gone or cannot be opened */
export function readRecorded(
  leaf: DecisionLeaf,
  opened: Readonly<Record<string, unknown>> | null,
): Recorded | Undecided {
  const { operation, integration } = leaf;
  if (operation?.endsWith(":(undeclared)") === true) return "undeclared";
  if (operation === null || integration === null) return "before-policies";
  if (opened === null) return fromClear(leaf, { operation, integration });
  const { decision } = opened;
  if (decision === null) return leaf.verdict === "allow" ? "decided-by-answer" : "before-policies";
  const inputs = inputsOf(decision);
  if (inputs === null || inputs.context.integration !== integration) return "unreadable";
  return { leaf, operation, integration, allowed: !isDeniedByPolicies(leaf, opened), inputs };
}

function fromClear(leaf: DecisionLeaf, of: Pick<Recorded, "operation" | "integration">): Recorded | Undecided {
  const isByPolicies = leaf.stage === "authorize" && leaf.code !== null && policyCodes.has(leaf.code);
  // What an outside decision point refused, the policies had allowed.
  const byOutside = leaf.policies.some((id) => id.startsWith("opa:"));
  if (leaf.verdict === "allow" || isByPolicies)
    return { leaf, ...of, allowed: leaf.verdict === "allow" || byOutside, inputs: null };
  return "before-policies";
}

/** Also where the denial passed, as the first or after another one. */
function isDeniedByPolicies(leaf: DecisionLeaf, opened: Readonly<Record<string, unknown>>): boolean {
  const also = Array.isArray(opened["also"]) ? opened["also"] : [];
  const codes = [leaf.verdict === "deny" ? leaf.code : null, ...also.map((one: unknown) => memberOf(one, "code"))];
  const isDenied = codes.some((code) => typeof code === "string" && policyCodes.has(code));
  // An outside decision point is asked about what the policies allowed, and about nothing else.
  return isDenied && memberOf(opened["outside"], "policy") === undefined;
}

function inputsOf(decision: unknown): RecordedInputs | null {
  const caller = memberOf(memberOf(decision, "principal"), "id");
  const resource = scalarsOf(memberOf(memberOf(decision, "resource"), "attributes"));
  const context = memberOf(decision, "context");
  if (typeof caller !== "string" || resource === null || !isContext(context)) return null;
  return { caller, resource, context };
}

function scalarsOf(value: unknown): Readonly<Record<string, Scalar>> | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const isScalar = (one: unknown) => ["string", "number", "boolean"].includes(typeof one);
  // Each member was looked at a line above.
  return Object.values(value).every(isScalar) ? ({ ...value } as Record<string, Scalar>) : null;
}

/** The rest is held against the schema of the slice before it is decided over (kernel/policy/fit-request.ts). */
function isContext(value: unknown): value is DecisionInputs["context"] {
  return typeof memberOf(value, "integration") === "string" && typeof memberOf(value, "stalenessMs") === "number";
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name]; // an object that has it
}
