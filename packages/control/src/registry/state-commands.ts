// Promises that activation, suspension and retirement are one transaction with their record and, where access ends, with its revocation.
// Trusts api.ts for the actor. Decisions: decide-state.ts. Specified in docs/registry.md, "States".
import { strict as assert } from "node:assert";
import type { Command, CommandContext, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { isHeldByRestore, refuseStale } from "../backup/held.ts";
import { appendRevocation } from "../identity/revoke.ts";
import { decideState, isOwnRequest, type ObjectState, type StateEvent } from "./decide-state.ts";
import { type ObjectName, objectParams, objectRecord, reasonLengthMax, stateOf, whereObject } from "./object-tables.ts";

/** Longer than any snapshot or token issued before a cut-off can live. */
export const cutOffMs = 400 * 86_400_000;
const readMax = 100_000;

export interface StateRequest extends Omit<ObjectName, "kind"> {
  readonly actor: string;
  readonly reason: string;
  /** Suspend also an id that nothing is known of. */
  readonly absent?: boolean;
}

export type StateOutcome =
  | { readonly kind: "done"; readonly state: ObjectState; readonly changed: boolean }
  | { readonly kind: "not-found" }
  | { readonly kind: "refused"; readonly why: string };

/**
 * `integration.activate`, `integration.suspend` or `integration.retire`. With `absent` an id may be cut off before it
 * exists; without, an id nobody knows is most likely a slip, and the one that was meant would stay in service. Activating what is proposed approves its content.
 */
function changeIntegration(event: StateEvent): Command<StateRequest, StateOutcome> {
  const action = `integration.${event}`;
  return {
    audit: action,
    *body(request, context) {
      const { actor, reason } = request;
      const name: ObjectName = { ...request, kind: "integration" };
      assert.ok(reason.length > 0 && reason.length <= reasonLengthMax, "a change of state has a reason");
      const [object] = yield {
        sql: `SELECT proposed_by, pending, managed_by FROM registry_object WHERE ${whereObject}`,
        params: objectParams(name),
      };
      const [row] = yield {
        sql: `SELECT state, actor FROM registry_state WHERE ${whereObject}`,
        params: objectParams(name),
      };
      const from = stateOf(row);
      const mayBeAbsent = event === "suspend" && request.absent === true;
      if (from === null && object === undefined && !mayBeAbsent) return { kind: "not-found" };
      const verdict = decideState(from ?? "active", event);
      if (verdict.kind === "refused") return verdict;
      // What a restore suspended is not yet suspended by anybody: an operator who says it means it, also after the confirmation.
      const isDecided = !isHeldByRestore(row);
      if (verdict.kind === "stays" && from !== null && isDecided) {
        // It changes nothing, and was ordered all the same.
        yield objectRecord(context, { ...name, actor, action, facts: { from, to: from, reason } });
        return { kind: "done", state: from, changed: false };
      }
      const unapproved =
        object !== undefined && object["pending"] === null && object["proposed_by"] !== null
          ? String(object["proposed_by"])
          : null;
      if (event === "activate" && isOwnRequest(unapproved, actor))
        return { kind: "refused", why: "nobody approves their own request: another operator has to activate it" };
      const stale = event === "activate" ? yield* refuseStale(heldOf(name, row, object)) : null;
      if (stale !== null) return { kind: "refused", why: stale };
      const to = verdict.kind === "moves" ? verdict.to : (from ?? "active");
      // Without an object there is nothing to be active: the id is free again, and approval starts over.
      if (object === undefined && to === "active")
        yield { sql: `DELETE FROM registry_state WHERE ${whereObject}`, params: objectParams(name) };
      else yield* writeState(name, { to, actor, reason, now: context.now });
      if (event === "activate" && unapproved !== null)
        yield { sql: `UPDATE registry_object SET proposed_by = NULL WHERE ${whereObject}`, params: objectParams(name) };
      if (event !== "activate") yield* cutOff(name, context);
      yield objectRecord(context, { ...name, actor, action, facts: { from: from ?? "absent", to, reason } });
      return { kind: "done", state: to, changed: true };
    },
  };
}

function heldOf({ tenant }: ObjectName, state: Row | undefined, object: Row | undefined) {
  return { tenant, actor: String(state?.["actor"]), managedBy: String(object?.["managed_by"]) };
}

function* writeState(
  name: ObjectName,
  change: { readonly to: ObjectState; readonly actor: string; readonly reason: string; readonly now: number },
): Generator<Statement, void, readonly Row[]> {
  yield {
    sql: `INSERT INTO registry_state (tenant, environment, kind, id, state, actor, reason, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (tenant, environment, kind, id) DO UPDATE SET state = excluded.state, actor = excluded.actor, reason = excluded.reason, changed_at = excluded.changed_at`,
    params: [...objectParams(name), change.to, change.actor, change.reason, change.now],
  };
}

function* cutOff(
  { tenant, environment, id }: ObjectName,
  { now }: CommandContext,
): Generator<Statement, void, readonly Row[]> {
  yield* appendRevocation({
    tenant,
    environment,
    kind: "integration",
    value: id,
    notBefore: now,
    until: now + cutOffMs,
  });
}

export interface RegisteredObject {
  readonly environment: string;
  readonly kind: string;
  readonly id: string;
  readonly managedBy: string;
  readonly state: ObjectState;
  readonly hash: string;
  /** The content in force (of a proposed object: what waits for approval). */
  readonly json: string;
  /** What would change on approval; `hash` is `removal` where it would go. */
  readonly pending: { readonly hash: string; readonly json: string | null; readonly proposedBy: string } | null;
  readonly proposedBy: string | null;
  readonly changedAt: number;
}

const columns = `o.environment, o.kind, o.id, o.managed_by, o.hash, o.json, o.pending, o.pending_hash, o.pending_json, o.proposed_by, o.changed_at, s.state
  FROM registry_object o JOIN registry_state s ON s.tenant = o.tenant AND s.environment = o.environment AND s.kind = o.kind AND s.id = o.id`;

function registeredOf(row: Row): RegisteredObject {
  const proposedBy = row["proposed_by"] === null ? null : String(row["proposed_by"]);
  const pendingJson = row["pending_json"] === null ? null : String(row["pending_json"]);
  return {
    environment: String(row["environment"]),
    kind: String(row["kind"]),
    id: String(row["id"]),
    managedBy: String(row["managed_by"]),
    state: stateOf(row) ?? "proposed",
    hash: String(row["hash"]),
    json: String(row["json"]),
    pending:
      row["pending"] === null
        ? null
        : { hash: String(row["pending_hash"] ?? "removal"), json: pendingJson, proposedBy: proposedBy ?? "" },
    proposedBy,
    changedAt: Number(row["changed_at"]),
  };
}

/** Applied objects in ascending order; serve only those whose state is `active`. `environment` or `kind` null: all. */
const listObjects: Command<
  { readonly tenant: string; readonly environment: string | null; readonly kind: string | null },
  readonly RegisteredObject[]
> = {
  audit: null,
  *body({ tenant, environment, kind }) {
    const rows = yield {
      sql: `SELECT ${columns} WHERE o.tenant = ? AND (CAST(? AS TEXT) IS NULL OR o.environment = ?) AND (CAST(? AS TEXT) IS NULL OR o.kind = ?)
        ORDER BY o.environment, o.kind, o.id LIMIT ?`,
      params: [tenant, environment, environment, kind, kind, readMax],
    };
    return rows.map(registeredOf);
  },
};

const getObject: Command<ObjectName, RegisteredObject | null> = {
  audit: null,
  *body(name) {
    const [row] = yield {
      sql: `SELECT ${columns} WHERE o.tenant = ? AND o.environment = ? AND o.kind = ? AND o.id = ?`,
      params: objectParams(name),
    };
    return row === undefined ? null : registeredOf(row);
  },
};

export interface DecidedState {
  readonly kind: string;
  readonly id: string;
  readonly state: ObjectState;
  readonly actor: string;
  readonly reason: string;
  readonly changedAt: number;
}

/** Every decided state of an environment, also of objects that are not there at the moment. */
const listStates: Command<{ readonly tenant: string; readonly environment: string }, readonly DecidedState[]> = {
  audit: null,
  *body({ tenant, environment }) {
    const rows = yield {
      sql: "SELECT kind, id, state, actor, reason, changed_at FROM registry_state WHERE tenant = ? AND environment = ? ORDER BY kind, id LIMIT ?",
      params: [tenant, environment, readMax],
    };
    return rows.map((row) => ({
      kind: String(row["kind"]),
      id: String(row["id"]),
      state: stateOf(row) ?? "proposed",
      actor: String(row["actor"]),
      reason: String(row["reason"]),
      changedAt: Number(row["changed_at"]),
    }));
  },
};

export const stateCommands = {
  activateIntegration: changeIntegration("activate"),
  suspendIntegration: changeIntegration("suspend"),
  retireIntegration: changeIntegration("retire"),
  listObjects,
  getObject,
  listStates,
};
