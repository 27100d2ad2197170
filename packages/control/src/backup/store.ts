// Promises that a backup is on record before a byte of it is read, and that a restore ends everything that was issued before it, in one transaction.
// Trusts its caller for the epoch (restore-epoch.ts). Specified in docs/backup.md "After a restore"; tables in docs/backup.md "Tables".
import { strict as assert } from "node:assert";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { endRestoredApiKeys } from "../identity/api-keys/store.ts";
import { endRestoredCredentials } from "../identity/clients/store.ts";
import { appendRevocation, tokenEndMs } from "../identity/revoke.ts";
import { cutOffMs } from "../registry/state-commands.ts";
import {
  type HeldIntegration,
  heldActor,
  heldIntegrations,
  heldReason,
  type Restore,
  restoreOf,
  restoreSelect,
} from "./held.ts";

export const backupMigrations: readonly Migration[] = [
  {
    capability: "backup",
    version: 1,
    name: "restores, and estates applied since",
    up: (t) => [
      `CREATE TABLE backup_restore (epoch ${t.integer} PRIMARY KEY, restored_at ${t.integer} NOT NULL, backup ${t.text} NOT NULL,
        backup_at ${t.integer} NOT NULL, states ${t.text} NOT NULL) ${t.table}`,
      `CREATE TABLE backup_applied (tenant ${t.text} NOT NULL, managed_by ${t.text} NOT NULL, epoch ${t.integer} NOT NULL,
        PRIMARY KEY (tenant, managed_by, epoch)) ${t.table}`,
    ],
  },
];

/** What may have been used, withdrawn or replaced after the backup: pages, codes, refresh tokens and their answers, devices, consents; snapshots. */
const forgotten = [
  "oauth_object",
  "oauth_answer",
  "oauth_device",
  "people_consent",
  "registry_snapshot_blob",
  "registry_snapshot",
  "registry_blob",
  "outbox_drainer",
] as const;

const restoresMax = 1_000;
/** Secrets that are made anew: what gateways joined with, obeyed, and what nonces were made from. Listener keys stay: clients and operators pin them. */
const renewedSecrets = ["nonces", "ca-sallyport-channel"] as const;

export interface BackupRecord {
  readonly tenant: string;
  readonly backup: string;
  readonly actor: string;
  /** To whom: recipient ids, or `passphrase`. */
  readonly to: string;
}

const recordBackup: Command<BackupRecord, null> = {
  audit: "backup.create",
  *body({ tenant, backup, actor, to }, context) {
    yield actStatement(context, {
      tenant,
      environment: "sallyport",
      actor,
      action: "backup.create",
      object: `backup/${backup}`,
      facts: { to },
    });
    return null;
  },
};

export interface FenceRequest {
  readonly tenant: string;
  /** Higher than any epoch and any sequence ever given out here. */
  readonly epoch: number;
  readonly backup: string;
  /** Milliseconds since the epoch. */
  readonly backupAt: number;
  /** `hold`: integrations wait for an operator; `keep`: they come back when their estate is applied. */
  readonly states: "hold" | "keep";
  readonly actor: string;
}

export interface FenceReport {
  readonly nodes: number;
  readonly keys: number;
  readonly operators: number;
  readonly joinTokens: number;
  /** What users had allowed clients. */
  readonly grants: number;
  /** Who may sign in, as at the backup. */
  readonly users: number;
  readonly integrations: number;
}

/** Ends whatever was issued before: docs/backup.md "After a restore" lists it, in this order. */
const fenceRestore: Command<FenceRequest, FenceReport> = {
  audit: "control.restore",
  *body(request, context) {
    const { tenant, epoch, backup, backupAt, states, actor } = request;
    assert.ok(Number.isSafeInteger(epoch) && epoch > 0, "an epoch is a whole number");
    // First: sequences that begin from now on begin above it (identity/revoke.ts, identity/store.ts).
    yield {
      sql: "INSERT INTO backup_restore (epoch, restored_at, backup, backup_at, states) VALUES (?, ?, ?, ?, ?)",
      params: [epoch, context.now, backup, backupAt, states],
    };
    yield* raiseSequences(epoch);
    const keys = yield* endKeys(context);
    const nodes = yield* endNodes(context);
    const operators = yield {
      sql: "UPDATE identity_operator SET revoked_at = ? WHERE revoked_at IS NULL RETURNING kid",
      params: [context.now],
    };
    yield* endRestoredCredentials(context.now);
    yield* endRestoredApiKeys(context.now);
    // Of whoever was erased after the backup they would open payloads again: an operator says when they may.
    yield { sql: "UPDATE payload_key SET locked = 1", params: [] };
    const joinTokens = yield { sql: "DELETE FROM registry_join_token RETURNING secret_hash", params: [] };
    for (const name of renewedSecrets) yield { sql: "DELETE FROM secret_sealed WHERE name = ?", params: [name] };
    yield { sql: "DELETE FROM secret_sealed WHERE name LIKE 'snapshot-%'", params: [] };
    const grants = yield {
      sql: "UPDATE oauth_grant SET ended_at = ? WHERE ended_at IS NULL RETURNING id",
      params: [context.now],
    };
    const users = yield { sql: "SELECT count(*) AS n FROM people_user WHERE state = 'active'", params: [] };
    for (const table of forgotten) yield { sql: `DELETE FROM ${table}`, params: [] };
    yield { sql: "UPDATE registry_group SET epoch = ?, version = 0", params: [epoch] };
    const integrations = yield* holdIntegrations(request, context);
    const report: FenceReport = {
      nodes,
      keys,
      operators: operators.length,
      joinTokens: joinTokens.length,
      grants: grants.length,
      users: Number(users[0]?.["n"]),
      integrations,
    };
    yield actStatement(context, {
      tenant,
      environment: "sallyport",
      actor,
      action: "control.restore",
      object: `backup/${backup}`,
      facts: { epoch, backupAt, states, ...report },
    });
    return report;
  },
};

/** Streams go on above every number a gateway may hold from after the backup: below it, it would take new entries for ones it has. */
function* raiseSequences(epoch: number): Generator<Statement, void, readonly Row[]> {
  for (const table of ["identity_revocation_seq", "identity_ring"])
    yield { sql: `UPDATE ${table} SET seq = ? WHERE seq < ?`, params: [epoch, epoch] };
}

function* endKeys({ now }: CommandContext): Generator<Statement, number, readonly Row[]> {
  const keys = yield {
    sql: "UPDATE identity_key SET state = 'gone', sealed = NULL WHERE state <> 'gone' RETURNING tenant, environment, kid",
    params: [],
  };
  for (const row of keys)
    yield* appendRevocation({
      tenant: String(row["tenant"]),
      environment: String(row["environment"]),
      kind: "kid",
      value: String(row["kid"]),
      notBefore: now,
      until: now + tokenEndMs,
    });
  return keys.length;
}

function* endNodes({ now }: CommandContext): Generator<Statement, number, readonly Row[]> {
  yield { sql: "DELETE FROM registry_node_certificate", params: [] };
  const nodes = yield {
    sql: `SELECT n.node, n.tenant, g.environment FROM registry_node n JOIN registry_group g ON g.tenant = n.tenant AND g.id = n.grp
      WHERE n.state = 'active' ORDER BY n.node`,
    params: [],
  };
  yield { sql: "UPDATE registry_node SET state = 'revoked' WHERE state = 'active'", params: [] };
  for (const row of nodes)
    yield* appendRevocation({
      tenant: String(row["tenant"]),
      environment: String(row["environment"]),
      kind: "node",
      value: String(row["node"]),
      notBefore: now,
      until: now + cutOffMs,
    });
  return nodes.length;
}

/** What was suspended or removed after the backup is not known here: nothing is served before the estate is applied, and, with `hold`, an operator looked. */
function* holdIntegrations(
  { backup, states }: FenceRequest,
  { now }: CommandContext,
): Generator<Statement, number, readonly Row[]> {
  const held = yield {
    sql: `UPDATE registry_state SET state = 'suspended', actor = ?, reason = ?, changed_at = ? WHERE kind = 'integration' AND state = 'active' RETURNING id`,
    params: [heldActor(states), heldReason(backup), now],
  };
  return held.length;
}

/** The highest epoch or sequence that was ever given out, as far as this store knows. */
const highestNumber: Command<null, number> = {
  audit: null,
  *body() {
    const [row] = yield {
      sql: `SELECT max(n) AS highest FROM (SELECT max(epoch) AS n FROM registry_group UNION ALL SELECT max(epoch) FROM backup_restore
        UNION ALL SELECT max(seq) FROM identity_ring UNION ALL SELECT max(seq) FROM identity_revocation_seq) AS numbers`,
      params: [],
    };
    return Number(row?.["highest"] ?? 0);
  },
};

/** Every restore of this store, the newest first. */
const listRestores: Command<null, readonly Restore[]> = {
  audit: null,
  *body() {
    const rows = yield { sql: `${restoreSelect} ORDER BY epoch DESC LIMIT ?`, params: [restoresMax] };
    return rows.map(restoreOf);
  },
};

/** Integrations that the last restore holds, and whether their estate was applied since. */
const listHeld: Command<{ readonly tenant: string }, readonly HeldIntegration[]> = {
  audit: null,
  *body({ tenant }) {
    return yield* heldIntegrations(tenant);
  },
};

export interface ConfirmReport {
  /** `environment/id` of what is in service again. */
  readonly activated: readonly string[];
  /** Not yet: their estate was not applied since the restore. */
  readonly waiting: readonly HeldIntegration[];
}

/** An operator looked: what the restore holds is served again, as far as its estate was applied since. */
const confirmRestore: Command<
  { readonly tenant: string; readonly actor: string; readonly reason: string },
  ConfirmReport
> = {
  audit: "restore.confirm",
  *body({ tenant, actor, reason }, context) {
    const held = yield* heldIntegrations(tenant);
    const ready = held.filter(({ applied }) => applied);
    for (const { environment, id } of ready)
      yield {
        sql: "UPDATE registry_state SET state = 'active', actor = ?, reason = ?, changed_at = ? WHERE tenant = ? AND environment = ? AND kind = 'integration' AND id = ?",
        params: [actor, reason, context.now, tenant, environment, id],
      };
    const waiting = held.filter(({ applied }) => !applied);
    // From now on an estate that is applied for the first time is a new one.
    if (waiting.length === 0)
      yield { sql: "UPDATE backup_restore SET states = 'confirmed' WHERE states = 'hold'", params: [] };
    yield actStatement(context, {
      tenant,
      environment: "sallyport",
      actor,
      action: "restore.confirm",
      object: "restore",
      facts: { activated: ready.length, waiting: waiting.length, reason },
    });
    return { activated: ready.map(({ environment, id }) => `${environment}/${id}`), waiting };
  },
};

export const backupCommands = {
  recordBackup,
  highestNumber,
  fenceRestore,
  listRestores,
  listHeld,
  confirmRestore,
} satisfies CommandTable;

export type BackupCommands = typeof backupCommands;
