// Promises one way to tell what a restore put on hold, and what lets it go: first the estate as it is now, then, unless told otherwise, an operator.
// Trusts the registry's rows. Specified in docs/backup.md "Integrations after a restore".
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { CommandContext, Row, Statement } from "@sallyport/kernel/store/port.ts";

export interface Restore {
  readonly epoch: number;
  /** Milliseconds since the epoch. */
  readonly restoredAt: number;
  readonly backup: string;
  readonly backupAt: number;
  /** `hold`: integrations wait for an operator; `keep`: for their estate alone; `confirmed`: an operator looked. */
  readonly states: "hold" | "keep" | "confirmed";
}

export interface HeldIntegration {
  readonly environment: string;
  readonly id: string;
  readonly managedBy: string;
  /** Was its estate applied since the restore? */
  readonly applied: boolean;
}

type Reading<T> = Generator<Statement, T, readonly Row[]>;

const heldMax = 100_000;
export const restoreSelect = "SELECT epoch, restored_at, backup, backup_at, states FROM backup_restore";
const isHeld = "kind = 'integration' AND state = 'suspended' AND actor IN ('restore:hold', 'restore:keep')";

/** The actor of a state that a restore set; no operator, estate or part of ours has such a name. */
export function heldActor(states: "hold" | "keep"): string {
  return `restore:${states}`;
}

/** Did a restore, and nobody since, decide this row of registry_state? */
export function isHeldByRestore(state: Row | undefined): boolean {
  return state?.["actor"] === heldActor("hold") || state?.["actor"] === heldActor("keep");
}

export function heldReason(backup: string): string {
  return `restored from backup ${backup}`;
}

export function restoreOf(row: Row): Restore {
  return {
    epoch: Number(row["epoch"]),
    restoredAt: Number(row["restored_at"]),
    backup: String(row["backup"]),
    backupAt: Number(row["backup_at"]),
    states: row["states"] === "keep" ? "keep" : row["states"] === "confirmed" ? "confirmed" : "hold",
  };
}

/** The last restore, or null for an installation that never was. */
function* lastRestore(): Reading<Restore | null> {
  const [row] = yield { sql: `${restoreSelect} ORDER BY epoch DESC LIMIT 1`, params: [] };
  return row === undefined ? null : restoreOf(row);
}

function* wasApplied(tenant: string, managedBy: string, { epoch }: Restore): Reading<boolean> {
  const rows = yield {
    sql: "SELECT epoch FROM backup_applied WHERE tenant = ? AND managed_by = ? AND epoch = ?",
    params: [tenant, managedBy, epoch],
  };
  return rows.length > 0;
}

export function* heldIntegrations(tenant: string): Reading<readonly HeldIntegration[]> {
  const rows = yield {
    sql: `SELECT o.environment, o.id, o.managed_by, a.epoch AS applied FROM registry_object o
      JOIN registry_state s ON s.tenant = o.tenant AND s.environment = o.environment AND s.kind = o.kind AND s.id = o.id
      LEFT JOIN backup_applied a ON a.tenant = o.tenant AND a.managed_by = o.managed_by AND a.epoch = (SELECT max(epoch) FROM backup_restore)
      WHERE o.tenant = ? AND o.kind = 'integration' AND s.state = 'suspended' AND s.actor IN ('restore:hold', 'restore:keep')
      ORDER BY o.environment, o.id LIMIT ?`,
    params: [tenant, heldMax],
  };
  return rows.map((row) => ({
    environment: String(row["environment"]),
    id: String(row["id"]),
    managedBy: String(row["managed_by"]),
    applied: row["applied"] !== null,
  }));
}

/** Why what a restore put on hold may not be activated yet, or null. */
export function* refuseStale(held: {
  readonly tenant: string;
  readonly actor: string;
  readonly managedBy: string;
}): Reading<string | null> {
  const { tenant, actor, managedBy } = held;
  if (!isHeldByRestore({ actor })) return null;
  const restore = yield* lastRestore();
  if (restore === null || (yield* wasApplied(tenant, managedBy, restore))) return null;
  return `this installation was restored and ${managedBy} was not applied since: what it removed after the backup would be back. Apply it first (sallyport apply, or serve --config)`;
}

/**
 * An estate was applied: its files say what is true now. The first time after a restore, what the restore was told to keep is in service
 * again; where it was told to hold, what this apply made is on hold too: it may have been suspended under the same name before.
 */
export function* estateApplied(
  apply: {
    readonly tenant: string;
    readonly managedBy: string;
    readonly actor: string;
    /** Integrations this apply made, as `environment/kind/id`. */
    readonly created: readonly string[];
  },
  context: CommandContext,
): Reading<void> {
  const restore = yield* lastRestore();
  const { tenant, managedBy, actor } = apply;
  if (restore === null || (yield* wasApplied(tenant, managedBy, restore))) return;
  yield {
    sql: "INSERT INTO backup_applied (tenant, managed_by, epoch) VALUES (?, ?, ?)",
    params: [tenant, managedBy, restore.epoch],
  };
  let held = 0;
  for (const key of restore.states === "hold" ? apply.created : []) {
    const [environment = "", kind = "", id = ""] = key.split("/");
    const rows = yield {
      sql: `UPDATE registry_state SET state = 'suspended', actor = ?, reason = ?, changed_at = ?
        WHERE tenant = ? AND environment = ? AND kind = ? AND id = ? AND kind = 'integration' AND state = 'active' RETURNING id`,
      params: [heldActor("hold"), heldReason(restore.backup), context.now, tenant, environment, kind, id],
    };
    held += rows.length;
  }
  const released = yield {
    sql: `UPDATE registry_state SET state = 'active', actor = ?, reason = 'as in the backup', changed_at = ?
      WHERE tenant = ? AND ${isHeld} AND actor = 'restore:keep' AND EXISTS (SELECT 1 FROM registry_object o
        WHERE o.tenant = registry_state.tenant AND o.environment = registry_state.environment AND o.kind = registry_state.kind
          AND o.id = registry_state.id AND o.managed_by = ?) RETURNING id`,
    params: [actor, context.now, tenant, managedBy],
  };
  yield actStatement(context, {
    tenant,
    environment: "sallyport",
    actor,
    action: "estate.apply",
    object: `estate/${managedBy.replace(/^config:/, "")}`,
    facts: { epoch: restore.epoch, released: released.length, held },
  });
}
