// Promises the tables of applied objects and the statements both of their stores share. Trusts the commands that yield them.
// Tables: docs/registry.md, "Tables".
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { AuditRow, CommandContext, Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { HeldObject, WantedObject } from "./decide-apply.ts";
import type { ObjectState } from "./decide-state.ts";

export const objectMigration: Migration = {
  capability: "registry",
  version: 1,
  name: "applied objects and their states",
  up: (t) => [
    `CREATE TABLE registry_object (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, kind ${t.text} NOT NULL, id ${t.text} NOT NULL,
      managed_by ${t.text} NOT NULL, hash ${t.text} NOT NULL, json ${t.text} NOT NULL, pending ${t.text}, pending_hash ${t.text},
      pending_json ${t.text}, proposed_by ${t.text}, changed_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, kind, id)) ${t.table}`,
    // A state is a row by id, not a column of the object: it outlives the object where it must.
    `CREATE TABLE registry_state (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, kind ${t.text} NOT NULL, id ${t.text} NOT NULL,
      state ${t.text} NOT NULL, actor ${t.text} NOT NULL, reason ${t.text} NOT NULL, changed_at ${t.integer} NOT NULL,
      PRIMARY KEY (tenant, environment, kind, id)) ${t.table}`,
    `CREATE TABLE registry_approval (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, rule ${t.text} NOT NULL,
      PRIMARY KEY (tenant, environment)) ${t.table}`,
  ],
};

const jsonLengthMax = 4_000_000;
export const reasonLengthMax = 500;

export interface ObjectName {
  readonly tenant: string;
  readonly environment: string;
  readonly kind: string;
  readonly id: string;
}

export const whereObject = "tenant = ? AND environment = ? AND kind = ? AND id = ?";

export function objectParams({ tenant, environment, kind, id }: ObjectName): [string, string, string, string] {
  return [tenant, environment, kind, id];
}

/** The record of one act on one object. */
export function objectRecord(
  context: CommandContext,
  act: ObjectName & { readonly actor: string; readonly action: string; readonly facts: AuditRow["facts"] },
): Statement {
  const { tenant, environment, actor, action, facts } = act;
  return actStatement(context, {
    tenant,
    environment,
    actor,
    action,
    object: `${act.kind}/${act.id}`,
    facts,
  });
}

/** Asserts that the content is what its hash says: everything that compares hashes relies on it. */
export function assertContent({ hash, json, kind, id }: WantedObject): void {
  assert.ok(json.length <= jsonLengthMax, `${kind}/${id} is too large`);
  assert.equal(
    createHash("sha256").update(json).digest("hex"),
    hash,
    `${kind}/${id}: the hash is not that of its content`,
  );
}

export function heldObjectOf(row: Row): HeldObject {
  return {
    environment: String(row["environment"]),
    kind: String(row["kind"]),
    id: String(row["id"]),
    managedBy: String(row["managed_by"]),
    hash: String(row["hash"]),
    pending:
      row["pending"] === "change"
        ? { kind: "change", hash: String(row["pending_hash"]) }
        : row["pending"] === "removal"
          ? { kind: "removal" }
          : null,
    proposedBy: row["proposed_by"] === null ? null : String(row["proposed_by"]),
  };
}

export function stateOf(row: Row | undefined): ObjectState | null {
  // as: written from the same type.
  return row === undefined ? null : (String(row["state"]) as ObjectState);
}

/** Deletes the object, and its state unless that one must outlive it. */
export function* deleteObject(name: ObjectName): Generator<Statement, void, readonly Row[]> {
  yield { sql: `DELETE FROM registry_object WHERE ${whereObject}`, params: objectParams(name) };
  yield {
    sql: `DELETE FROM registry_state WHERE ${whereObject} AND state NOT IN ('suspended', 'retired')`,
    params: objectParams(name),
  };
}
