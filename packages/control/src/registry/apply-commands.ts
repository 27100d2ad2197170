// Promises that an apply is one transaction that touches only what its manager owns, and that what needs approval waits for somebody else's.
// Trusts its caller to have read the estate (registry/config). Decisions: decide-apply.ts. Specified in docs/registry.md, "Apply".
import { strict as assert } from "node:assert";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { estateApplied } from "../backup/held.ts";
import {
  type ApplyConflict,
  type ApplyStep,
  type Approval,
  decideApply,
  objectKey,
  type WantedObject,
} from "./decide-apply.ts";
import { isOwnRequest } from "./decide-state.ts";
import {
  assertContent,
  deleteObject,
  heldObjectOf,
  type ObjectName,
  objectParams,
  objectRecord,
  whereObject,
} from "./object-tables.ts";

const objectsMax = 20_000;

export interface ApplyRequest {
  readonly tenant: string;
  /** `operator:<id>` or `config:<estate>`: who asks. */
  readonly actor: string;
  /** `config:<estate>`, `api` or `built-in`: whose objects these are. */
  readonly managedBy: string;
  /** What the estate says about each environment. Tightening holds at once; relaxing is setApproval's. */
  readonly approvals: Readonly<Record<string, Approval>>;
  /** Everything this manager wants to exist, in all environments. */
  readonly objects: readonly WantedObject[];
}

/** `environment/kind/id` */
export type ObjectKey = string;

export type ApplyOutcome =
  | { readonly kind: "conflict"; readonly conflicts: readonly ApplyConflict[] }
  | {
      readonly kind: "applied";
      readonly created: readonly ObjectKey[];
      readonly changed: readonly ObjectKey[];
      readonly removed: readonly ObjectKey[];
      /** Waiting for approval (new, changed or to be removed), as of this apply. */
      readonly proposed: readonly ObjectKey[];
      /** Environments whose stored rule is stricter than the estate's word; the stored one holds. */
      readonly approvalKept: readonly string[];
    };

const applyObjects: Command<ApplyRequest, ApplyOutcome> = {
  audit: "estate.apply",
  *body(request, context) {
    const { tenant, managedBy, objects } = request;
    assert.ok(objects.length <= objectsMax, "too many objects in one apply");
    assert.equal(new Set(objects.map(objectKey)).size, objects.length, "an object is wanted twice");
    for (const object of objects) assertContent(object);
    const rows = yield {
      sql: `SELECT environment, kind, id, managed_by, hash, pending, pending_hash, proposed_by FROM registry_object WHERE tenant = ?`,
      params: [tenant],
    };
    const rules = yield* readRules(tenant);
    // An environment nobody wrote down yet is under the rule it comes with; one that is gone from the estate, under the one it had.
    const approval = (environment: string): Approval =>
      stricter(rules.get(environment) ?? "none", request.approvals[environment] ?? "none");
    const plan = decideApply({ managedBy, held: rows.map(heldObjectOf), wanted: objects, approval });
    if (plan.kind === "conflict") return plan;
    for (const step of plan.steps) yield* applyStep(step, request, context);
    const tightened = yield* tighten(request, rules, context);
    if (plan.steps.length + tightened === 0) yield unchangedRecord(request, context);
    const named = (...steps: ApplyStep["step"][]) =>
      plan.steps.filter(({ step }) => steps.includes(step)).map(({ object }) => objectKey(object));
    const created = named("create");
    yield* estateApplied({ tenant, managedBy, actor: request.actor, created }, context);
    return {
      kind: "applied",
      created,
      changed: named("change", "withdraw"),
      removed: named("remove"),
      proposed: named("propose", "propose-change", "propose-removal"),
      approvalKept: [...rules]
        .filter(([environment, rule]) => rule === "operator" && request.approvals[environment] === "none")
        .map(([environment]) => environment),
    };
  },
};

function stricter(a: Approval, b: Approval): Approval {
  return a === "operator" || b === "operator" ? "operator" : "none";
}

function* readRules(tenant: string): Generator<Statement, Map<string, Approval>, readonly Row[]> {
  const rows = yield {
    sql: "SELECT environment, rule FROM registry_approval WHERE tenant = ? ORDER BY environment",
    params: [tenant],
  };
  return new Map(rows.map((row) => [String(row["environment"]), row["rule"] === "operator" ? "operator" : "none"]));
}

function* tighten(
  request: ApplyRequest,
  rules: ReadonlyMap<string, Approval>,
  context: CommandContext,
): Generator<Statement, number, readonly Row[]> {
  let count = 0;
  for (const [environment, rule] of Object.entries(request.approvals)) {
    if (rules.get(environment) === rule || rules.get(environment) === "operator") continue;
    yield* writeRule({ ...request, environment, rule, action: "estate.apply" }, context);
    count += 1;
  }
  return count;
}

/** An apply that found everything as it wanted it: somebody ordered it all the same. */
function unchangedRecord({ tenant, managedBy, actor, objects }: ApplyRequest, context: CommandContext): Statement {
  return actStatement(context, {
    ...{ tenant, environment: "sallyport", actor, action: "estate.apply" },
    object: `estate/${managedBy.replace(/^config:/, "")}`,
    facts: { step: "unchanged", objects: objects.length },
  });
}

interface RuleWrite {
  readonly tenant: string;
  readonly environment: string;
  readonly rule: Approval;
  readonly actor: string;
  readonly action: string;
}

function* writeRule(
  { tenant, environment, rule, actor, action }: RuleWrite,
  context: CommandContext,
): Generator<Statement, void, readonly Row[]> {
  yield {
    sql: "INSERT INTO registry_approval (tenant, environment, rule) VALUES (?, ?, ?) ON CONFLICT (tenant, environment) DO UPDATE SET rule = excluded.rule",
    params: [tenant, environment, rule],
  };
  yield objectRecord(context, {
    tenant,
    environment,
    kind: "approval",
    id: environment,
    actor,
    action,
    facts: { rule },
  });
}

function* applyStep(
  step: ApplyStep,
  request: ApplyRequest,
  context: CommandContext,
): Generator<Statement, void, readonly Row[]> {
  const { tenant, actor } = request;
  const { environment, kind, id } = step.object;
  const name: ObjectName = { tenant, environment, kind, id };
  switch (step.step) {
    case "create":
    case "propose":
      yield* insertObject(name, step.object, { request, context, proposed: step.step === "propose" });
      break;
    case "change":
      yield {
        sql: `UPDATE registry_object SET hash = ?, json = ?, changed_at = ?, pending = NULL, pending_hash = NULL, pending_json = NULL,
          proposed_by = CASE WHEN proposed_by IS NULL OR pending IS NOT NULL THEN NULL ELSE ? END WHERE ${whereObject}`,
        params: [step.object.hash, step.object.json, context.now, actor, ...objectParams(name)],
      };
      break;
    case "propose-change":
      yield {
        sql: `UPDATE registry_object SET pending = 'change', pending_hash = ?, pending_json = ?, proposed_by = ? WHERE ${whereObject}`,
        params: [step.object.hash, step.object.json, actor, ...objectParams(name)],
      };
      break;
    case "propose-removal":
      yield {
        sql: `UPDATE registry_object SET pending = 'removal', pending_hash = NULL, pending_json = NULL, proposed_by = ? WHERE ${whereObject}`,
        params: [actor, ...objectParams(name)],
      };
      break;
    case "withdraw":
      yield {
        sql: `UPDATE registry_object SET pending = NULL, pending_hash = NULL, pending_json = NULL, proposed_by = NULL WHERE ${whereObject}`,
        params: objectParams(name),
      };
      break;
    case "remove":
      yield* deleteObject(name);
      break;
  }
  yield objectRecord(context, {
    ...name,
    actor,
    action: "estate.apply",
    facts: { step: step.step, hash: step.object.hash, managedBy: request.managedBy },
  });
}

function* insertObject(
  name: ObjectName,
  object: WantedObject,
  how: { readonly request: ApplyRequest; readonly context: CommandContext; readonly proposed: boolean },
): Generator<Statement, void, readonly Row[]> {
  const { request, context, proposed } = how;
  yield {
    sql: `INSERT INTO registry_object (tenant, environment, kind, id, managed_by, hash, json, proposed_by, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    params: [
      ...objectParams(name),
      request.managedBy,
      object.hash,
      object.json,
      proposed ? request.actor : null,
      context.now,
    ],
  };
  // A state that outlived an earlier object of this id is still in force.
  yield {
    sql: `INSERT INTO registry_state (tenant, environment, kind, id, state, actor, reason, changed_at) VALUES (?, ?, ?, ?, ?, ?, 'applied', ?)
      ON CONFLICT (tenant, environment, kind, id) DO NOTHING`,
    params: [...objectParams(name), proposed ? "proposed" : "active", request.actor, context.now],
  };
}

export interface ApprovalRequest {
  readonly tenant: string;
  readonly actor: string;
  /** `hash`: of the content seen by the approver; `removal` for a removal. */
  readonly approvals: readonly {
    readonly environment: string;
    readonly kind: string;
    readonly id: string;
    readonly hash: string;
  }[];
}

export type ApprovalOutcome =
  | { readonly kind: "approved"; readonly objects: readonly ObjectKey[] }
  | {
      readonly kind: "refused";
      readonly object: ObjectKey;
      readonly why: "nothing-proposed" | "other-content" | "own-request";
    };

/** All or nothing: approves exactly the content the approver saw. */
const approveObjects: Command<ApprovalRequest, ApprovalOutcome> = {
  audit: "estate.approve",
  *body({ tenant, actor, approvals }, context) {
    assert.ok(approvals.length <= objectsMax, "too many approvals at once");
    for (const wanted of approvals) {
      const [row] = yield {
        sql: `SELECT environment, kind, id, managed_by, hash, pending, pending_hash, proposed_by FROM registry_object WHERE ${whereObject}`,
        params: objectParams({ tenant, ...wanted }),
      };
      const held = row === undefined ? null : heldObjectOf(row);
      const object = objectKey(wanted);
      if (held === null || held.proposedBy === null) return { kind: "refused", object, why: "nothing-proposed" };
      const proposed =
        held.pending === null ? held.hash : held.pending.kind === "change" ? held.pending.hash : "removal";
      if (proposed !== wanted.hash) return { kind: "refused", object, why: "other-content" };
      if (isOwnRequest(held.proposedBy, actor)) return { kind: "refused", object, why: "own-request" };
    }
    for (const { hash, ...object } of approvals) {
      const name: ObjectName = { tenant, ...object };
      yield* approveOne(name, { hash, actor, now: context.now });
      yield objectRecord(context, { ...name, actor, action: "estate.approve", facts: { hash } });
    }
    return { kind: "approved", objects: approvals.map(objectKey) };
  },
};

function* approveOne(
  name: ObjectName,
  how: { readonly hash: string; readonly actor: string; readonly now: number },
): Generator<Statement, void, readonly Row[]> {
  if (how.hash === "removal") return yield* deleteObject(name);
  yield {
    sql: `UPDATE registry_object SET hash = COALESCE(pending_hash, hash), json = COALESCE(pending_json, json), changed_at = ?,
      pending = NULL, pending_hash = NULL, pending_json = NULL, proposed_by = NULL WHERE ${whereObject}`,
    params: [how.now, ...objectParams(name)],
  };
  yield {
    sql: `UPDATE registry_state SET state = 'active', actor = ?, reason = 'approved', changed_at = ? WHERE ${whereObject} AND state = 'proposed'`,
    params: [how.actor, how.now, ...objectParams(name)],
  };
}

/** The only way to relax the rule of an environment: an operator's own act, never a file's. */
const setApproval: Command<
  { readonly tenant: string; readonly environment: string; readonly rule: Approval; readonly actor: string },
  null
> = {
  audit: "estate.approval",
  *body(request, context) {
    const rules = yield* readRules(request.tenant);
    if (rules.get(request.environment) !== request.rule)
      yield* writeRule({ ...request, action: "estate.approval" }, context);
    return null;
  },
};

export const applyCommands = { applyObjects, approveObjects, setApproval };
