// Promises what an apply writes: the difference and nothing else, only what its manager owns, held back where approval is the rule. Pure.
// Trusts the rows it is given to be of one tenant. Specified in docs/registry.md, "Apply".

export interface WantedObject {
  readonly environment: string;
  /** `system`, `integration`, `trust`, `policy-file`, `listener`, `rules`, ... */
  readonly kind: string;
  readonly id: string;
  /** SHA-256 (hex) of `json`. */
  readonly hash: string;
  readonly json: string;
}

export interface HeldObject {
  readonly environment: string;
  readonly kind: string;
  readonly id: string;
  readonly managedBy: string;
  readonly hash: string;
  /** Null: nothing waits for approval. `removal` waits without content. */
  readonly pending: { readonly kind: "change"; readonly hash: string } | { readonly kind: "removal" } | null;
  /** Who proposed it; null once it was approved or needed no approval. */
  readonly proposedBy: string | null;
}

export type Approval = "none" | "operator";

export type ApplyStep =
  | { readonly step: "create" | "propose" | "change" | "propose-change"; readonly object: WantedObject }
  | { readonly step: "remove" | "propose-removal" | "withdraw"; readonly object: HeldObject };

export interface ApplyConflict {
  readonly environment: string;
  readonly kind: string;
  readonly id: string;
  /** Who has it. */
  readonly managedBy: string;
  /** Who wants it. */
  readonly wantedBy: string;
}

export type ApplyPlan =
  | { readonly kind: "conflict"; readonly conflicts: readonly ApplyConflict[] }
  | { readonly kind: "plan"; readonly steps: readonly ApplyStep[] };

export interface ApplyInput {
  readonly managedBy: string;
  readonly held: readonly HeldObject[];
  readonly wanted: readonly WantedObject[];
  /** The rule in force for an environment. */
  readonly approval: (environment: string) => Approval;
}

/** One name for an object of a tenant. */
export function objectKey({ environment, kind, id }: Pick<HeldObject, "environment" | "kind" | "id">): string {
  return `${environment}/${kind}/${id}`;
}

/** The steps in ascending order of object; empty when nothing differs. */
export function decideApply(input: ApplyInput): ApplyPlan {
  const held = new Map(input.held.map((object) => [objectKey(object), object]));
  const wanted = new Map(input.wanted.map((object) => [objectKey(object), object]));
  const conflicts: ApplyConflict[] = [];
  for (const [key, { environment, kind, id }] of wanted) {
    const there = held.get(key);
    if (there && there.managedBy !== input.managedBy)
      conflicts.push({ environment, kind, id, managedBy: there.managedBy, wantedBy: input.managedBy });
  }
  if (conflicts.length > 0) return { kind: "conflict", conflicts };
  const ours = input.held.filter((object) => object.managedBy === input.managedBy);
  const gone = ours.filter((object) => !wanted.has(objectKey(object)));
  const steps = [
    ...[...wanted].map(([key, object]) => stepFor(object, held.get(key), input.approval(object.environment))),
    ...gone.map((object) => removalOf(object, input.approval(object.environment))),
  ].filter((step) => step !== null);
  return { kind: "plan", steps: steps.sort((a, b) => (objectKey(a.object) < objectKey(b.object) ? -1 : 1)) };
}

function stepFor(object: WantedObject, there: HeldObject | undefined, approval: Approval): ApplyStep | null {
  if (!there) return { step: approval === "none" ? "create" : "propose", object };
  if (object.hash === there.hash) return there.pending ? { step: "withdraw", object: there } : null;
  // What nobody has approved yet is served by nobody: its text may change in place.
  if (approval === "none" || (there.proposedBy !== null && there.pending === null)) return { step: "change", object };
  const waiting = there.pending?.kind === "change" && there.pending.hash === object.hash;
  return waiting ? null : { step: "propose-change", object };
}

function removalOf(object: HeldObject, approval: Approval): ApplyStep | null {
  const neverApproved = object.proposedBy !== null && object.pending === null;
  if (approval === "none" || neverApproved) return { step: "remove", object };
  // Taking a policy away can give access, so a removal waits like any other change.
  return object.pending?.kind === "removal" ? null : { step: "propose-removal", object };
}
