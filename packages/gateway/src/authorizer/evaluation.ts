// Promises a service one answer to whether a system, or a user it acts for, may do one of the service's own operations: what the gateway itself would
// decide, as far as it can be decided without the caller's request; what cannot be is a no. Trusts the service for who its caller is and what the
// attributes are. Specified in docs/authorizer.md "Checks inside services"; the form is that of the AuthZEN Authorization API 1.0.
import type { ShadowVerdict } from "@sallyport/kernel/policy/port.ts";
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { decidePolicy } from "../authorize/decide.ts";
import { decisionInputs } from "../authorize/decision-inputs.ts";
import { askOutside, type OutsideDecision } from "../authorize/outside-decision.ts";
import { decideStaleness } from "../authorize/staleness.ts";
import { type BindInputs, decideBinding } from "../bind/decide.ts";
import type { PoolLease } from "../forward/upstream-pools.ts";
import type { CompiledOperation, CompiledSystem, Estate, Grant } from "../snapshot/estate.ts";

export interface Question {
  /** Id of the calling system. */
  readonly caller: string;
  /** The user it acts for. */
  readonly user: string | null;
  /** Name of an operation of the asking service, without its system. */
  readonly operation: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

const textMax = 256;
const attributesMax = 64;

const malformed = (detail: string): Deny => deny("inspect", "body-malformed", { why: detail, detail });
const foreign = (asker: string): Deny =>
  deny("bind", "not-granted", { detail: `A service asks about its own operations: those of ${asker}` });

/** Reads a question strictly: a member that would not be looked at is refused. Pure. */
export function readQuestion(value: unknown, asker: string): Question | Deny {
  const whole = membersOf(value, ["subject", "action", "resource", "context"]);
  const subject = membersOf(whole?.get("subject"), ["type", "id", "properties"]);
  const action = membersOf(whole?.get("action"), ["name", "properties"]);
  const resource = membersOf(whole?.get("resource"), ["type", "id", "properties"]);
  if (whole === null || subject === null || action === null || resource === null)
    return malformed("A question has `subject`, `action` and `resource`, and no other members than the page names");
  for (const [what, ignored] of [
    ["context", whole.get("context")],
    ["properties of the action", action.get("properties")],
  ] as const)
    if (membersOf(ignored ?? {}, []) === null) return malformed(`The ${what} would not be looked at: leave it out`);
  const properties = membersOf(subject.get("properties") ?? {}, ["user"]);
  const attributes = membersOf(resource.get("properties") ?? {}, null);
  if (properties === null || attributes === null || attributes.size > attributesMax)
    return malformed("`properties` of the subject have `user` alone, those of the resource are its attributes");
  const [caller, name, type, id] = [subject.get("id"), action.get("name"), resource.get("type"), resource.get("id")];
  const user = properties.get("user") ?? null;
  if (subject.get("type") !== "system")
    return malformed("`subject.type` is `system`; a user stands in its `properties`");
  if (!isText(caller) || !isText(name) || !isText(type) || !isText(id) || (user !== null && !isText(user)))
    return malformed(`Ids, types and names are texts of 1 to ${textMax} characters`);
  const [before = "", after] = name.split(":", 2);
  const [system, operation] = after === undefined ? [asker, before] : [before, after];
  if (system !== asker || type !== asker) return foreign(asker);
  return { caller, user, operation, attributes: Object.fromEntries(attributes) };
}

const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= textMax;

/** Own members of a plain object; null where it is none, or has another member than `known` (null: any). */
function membersOf(value: unknown, known: readonly string[] | null): ReadonlyMap<string, unknown> | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const members = new Map<string, unknown>(Object.entries(value));
  if (known !== null && [...members.keys()].some((name) => !known.includes(name))) return null;
  return members;
}

export interface Evaluation {
  /** Null: yes. */
  readonly deny: Deny | null;
  readonly policies: readonly string[];
  readonly outside: readonly OutsideDecision[];
  /** What policies in shadow would have changed; absent: nothing. */
  readonly shadow?: readonly ShadowVerdict[];
}

export interface EvaluationGround {
  readonly estate: Estate;
  readonly pools: PoolLease;
  readonly asker: CompiledSystem;
  readonly stalenessMs: number;
  readonly nowMs: number;
  readonly isRevoked: BindInputs["isRevoked"];
}

/** Decides it as for a crossing that proves itself in whichever way its integration accepts: a yes is one for all of them. */
export async function evaluate(question: Question, on: EvaluationGround): Promise<Evaluation> {
  const no = (verdict: Deny): Evaluation => ({ deny: verdict, policies: verdict.policies, outside: [] });
  const caller = on.estate.systems.get(question.caller);
  if (caller === undefined)
    return no(deny("bind", "not-granted", { detail: `There is no system ${question.caller} in this environment` }));
  const operation = on.asker.operations.find(({ object }) => object.name === question.operation) ?? null;
  const binding = decideBinding({ ...on, caller, system: on.asker, operation });
  if (binding.kind === "deny") return no(binding);
  const early = decideKnown(binding, on);
  if (early !== null) return no(early);
  const attributes = attributesOf(binding.operation, question.attributes);
  if (attributes.kind === "deny") return no(attributes);
  return decideEach(question, on, { ...binding, caller, attributes: attributes.values });
}

interface Bound {
  readonly operation: CompiledOperation;
  readonly grant: Grant;
}

/** What can be said without attributes. */
function decideKnown({ operation, grant }: Bound, { estate, stalenessMs, nowMs }: EvaluationGround): Deny | null {
  const { object } = operation;
  if (grant.stepUp !== undefined)
    return deny("authorize", "insufficient-user-authentication", {
      detail: "The operation asks for a log-in, which nobody shows here",
    });
  if (readsSignals(operation))
    return deny("authorize", "not-in-authorizer-mode", {
      detail: "Policies of this operation read signals of the caller's own connection",
    });
  return decideStaleness({
    stalenessMs,
    boundsMs: estate.object.stalenessMs,
    classification: object.classification,
    offline: object.offline,
    snapshotExpired: nowMs >= estate.manifest.expiresAt,
  });
}

/** A `forbid` that first asks whether a signal is there would forbid nothing where there is none. */
function readsSignals(operation: CompiledOperation): boolean {
  try {
    return (operation.policy()?.signals.length ?? 0) > 0;
  } catch {
    // It cannot be loaded: the policy step says so.
    return false;
  }
}

type Attributes = { readonly kind: "attributes"; readonly values: Readonly<Record<string, Scalar>> } | Deny;

/** Exactly those that the operation declares, wherever a request would have them, each of its type. */
function attributesOf({ object }: CompiledOperation, given: Question["attributes"]): Attributes {
  const values: Record<string, Scalar> = {};
  const stray = Object.keys(given).find((name) => !Object.hasOwn(object.attributes, name));
  if (stray !== undefined)
    return deny("authorize", "attribute-missing", {
      detail: "A property of the resource is no attribute of the operation",
    });
  for (const [attribute, { type }] of Object.entries(object.attributes)) {
    const value = Object.hasOwn(given, attribute) ? given[attribute] : undefined;
    const isTyped =
      type === "long"
        ? Number.isSafeInteger(value)
        : type === "boolean"
          ? typeof value === "boolean"
          : typeof value === "string";
    if (!isTyped)
      return deny("authorize", "attribute-missing", {
        attribute,
        type,
        detail: `The operation declares the attribute ${attribute}, a ${type}: give it as a property of the resource`,
      });
    values[attribute] = value as Scalar; // judged a line above
  }
  return { kind: "attributes", values };
}

async function decideEach(
  { user }: Question,
  on: EvaluationGround,
  bound: Bound & { readonly caller: CompiledSystem; readonly attributes: Readonly<Record<string, Scalar>> },
): Promise<Evaluation> {
  const { operation, grant, caller, attributes } = bound;
  const { tenant, environment } = on.estate.manifest;
  const policies = new Set<string>();
  const outside: OutsideDecision[] = [];
  const shadow: ShadowVerdict[] = [];
  const seen = () => (shadow.length === 0 ? { outside } : { outside, shadow });
  const inputsFor = (kind: ProofKind) => {
    const subject = user === null ? {} : { subject: user };
    const proven = { tenant, environment, caller: caller.id, proof: { kind }, scopes: null, expiresAtMs: on.nowMs };
    const { stalenessMs } = on;
    return decisionInputs({ caller, operation, grant, principal: { ...proven, ...subject }, stalenessMs }, attributes);
  };
  const { proof } = grant.integration;
  if (proof.length === 0)
    return { deny: deny("authorize", "proof-not-accepted", { detail: "It accepts no proof" }), policies: [], outside };
  for (const kind of proof) {
    const inputs = inputsFor(kind);
    const decided = decidePolicy(loaded(operation), inputs);
    for (const policy of decided.policies) policies.add(policy);
    shadow.push(...(decided.shadow ?? []).filter((one) => !shadow.some((said) => isSameVerdict(said, one))));
    if (decided.deny !== null) return { deny: decided.deny, policies: decided.policies, ...seen() };
    const { opa } = operation.object;
    if (opa === undefined) continue;
    const said = await askOutside(opa, { pool: on.pools.poolOfDecisions(opa), action: operation.fullName, inputs });
    outside.push(said);
    if (said.deny !== null) return { deny: said.deny, policies: said.deny.policies, ...seen() };
    policies.add(said.policy);
  }
  return { deny: null, policies: [...policies], ...seen() };
}

/** Asked once for each proof that is accepted, a policy mostly says the same. */
function isSameVerdict(one: ShadowVerdict, other: ShadowVerdict): boolean {
  return one.policy === other.policy && one.would === other.would;
}

function loaded(operation: CompiledOperation): ReturnType<CompiledOperation["policy"]> {
  try {
    return operation.policy();
  } catch {
    return null;
  }
}
