// Promises that (epoch, version) of a group only goes up, by one writer at a time, and that a group reads only the blobs its snapshots name.
// Trusts control/snapshot to have compiled and signed. Specified in docs/formats/snapshot.md; tables in docs/registry.md.
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement, auditStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { SignedManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import { type Group, groupOf } from "./gateway-commands.ts";

export const snapshotMigration: Migration = {
  capability: "registry",
  version: 3,
  name: "snapshots and blobs",
  up: (t) => [
    `CREATE TABLE registry_snapshot (tenant ${t.text} NOT NULL, grp ${t.text} NOT NULL, epoch ${t.integer} NOT NULL, version ${t.integer} NOT NULL,
      signed ${t.text} NOT NULL, expires_at ${t.integer} NOT NULL, published_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, grp, epoch, version),
      FOREIGN KEY (tenant, grp) REFERENCES registry_group (tenant, id)) ${t.table}`,
    `CREATE TABLE registry_blob (id ${t.text} PRIMARY KEY, bytes ${t.blob} NOT NULL) ${t.table}`,
    `CREATE TABLE registry_snapshot_blob (tenant ${t.text} NOT NULL, grp ${t.text} NOT NULL, epoch ${t.integer} NOT NULL, version ${t.integer} NOT NULL,
      blob ${t.text} NOT NULL REFERENCES registry_blob (id), PRIMARY KEY (tenant, grp, epoch, version, blob),
      FOREIGN KEY (tenant, grp, epoch, version) REFERENCES registry_snapshot (tenant, grp, epoch, version) ON DELETE CASCADE) ${t.table}`,
    "CREATE INDEX registry_snapshot_blob_blob ON registry_snapshot_blob (blob)",
  ],
};

/** The newest and the one before it: a gateway may still be fetching blobs of the latter. */
const snapshotsKept = 2;
const blobsMax = 50_000;

export interface PublishRequest {
  readonly tenant: string;
  readonly group: string;
  readonly epoch: number;
  /** Exactly one more than the group's. */
  readonly version: number;
  readonly signed: SignedManifest;
  readonly expiresAt: number;
  /** Every blob the manifest names; those the store has already may come without bytes. */
  readonly blobs: readonly { readonly id: string; readonly bytes: Uint8Array | null }[];
  readonly actor: string;
}

export type PublishOutcome =
  | { readonly kind: "published" }
  /** Another control node was first, or the epoch was raised: compile again on these. */
  | { readonly kind: "conflict"; readonly epoch: number; readonly version: number }
  | { readonly kind: "unknown-group" }
  | { readonly kind: "missing-blobs"; readonly ids: readonly string[] };

/** Compare-and-set on the group's (epoch, version); keeps the newest two snapshots and the blobs they name. */
const publishSnapshot: Command<PublishRequest, PublishOutcome> = {
  audit: "snapshot.publish",
  *body(request, context) {
    const { tenant, group, epoch, version } = request;
    assert.ok(request.blobs.length <= blobsMax, "too many blobs in one snapshot");
    const [row] = yield {
      sql: "SELECT tenant, id, environment, region, epoch, version FROM registry_group WHERE tenant = ? AND id = ?",
      params: [tenant, group],
    };
    if (row === undefined) return { kind: "unknown-group" };
    const held = groupOf(row);
    if (held.epoch !== epoch || held.version + 1 !== version)
      return { kind: "conflict", epoch: held.epoch, version: held.version };
    const missing = yield* writeBlobs(request.blobs);
    if (missing.length > 0) return { kind: "missing-blobs", ids: missing };
    yield {
      sql: "UPDATE registry_group SET version = ? WHERE tenant = ? AND id = ?",
      params: [version, tenant, group],
    };
    yield* writeSnapshot(request, context.now);
    yield* forgetOld(request);
    yield actStatement(context, {
      tenant,
      environment: held.environment,
      actor: request.actor,
      action: "snapshot.publish",
      object: `group/${group}`,
      facts: { epoch, version, manifest: createHash("sha256").update(request.signed.manifest).digest("hex") },
    });
    return { kind: "published" };
  },
};

/** Ids that came without bytes and are not there; nothing was written when there are any. */
function* writeBlobs(blobs: PublishRequest["blobs"]): Generator<Statement, string[], readonly Row[]> {
  const missing: string[] = [];
  for (const { id, bytes } of blobs) {
    if (bytes !== null)
      assert.equal(createHash("sha256").update(bytes).digest("hex"), id, "a blob is named by its SHA-256");
    else if ((yield { sql: "SELECT id FROM registry_blob WHERE id = ?", params: [id] }).length === 0) missing.push(id);
  }
  if (missing.length > 0) return missing;
  for (const { id, bytes } of blobs)
    if (bytes !== null)
      yield {
        sql: "INSERT INTO registry_blob (id, bytes) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
        params: [id, bytes],
      };
  return [];
}

function* writeSnapshot(request: PublishRequest, now: number): Generator<Statement, void, readonly Row[]> {
  const key = [request.tenant, request.group, request.epoch, request.version];
  yield {
    sql: "INSERT INTO registry_snapshot (tenant, grp, epoch, version, signed, expires_at, published_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    params: [...key, JSON.stringify(request.signed), request.expiresAt, now],
  };
  for (const id of new Set(request.blobs.map((blob) => blob.id)))
    yield {
      sql: "INSERT INTO registry_snapshot_blob (tenant, grp, epoch, version, blob) VALUES (?, ?, ?, ?, ?)",
      params: [...key, id],
    };
}

function* forgetOld({ tenant, group }: PublishRequest): Generator<Statement, void, readonly Row[]> {
  const old = yield {
    sql: "SELECT epoch, version FROM registry_snapshot WHERE tenant = ? AND grp = ? ORDER BY epoch DESC, version DESC LIMIT 1000 OFFSET ?",
    params: [tenant, group, snapshotsKept],
  };
  for (const row of old) {
    const key = [tenant, group, Number(row["epoch"]), Number(row["version"])];
    const named = yield {
      sql: "SELECT blob FROM registry_snapshot_blob WHERE tenant = ? AND grp = ? AND epoch = ? AND version = ?",
      params: key,
    };
    yield {
      sql: "DELETE FROM registry_snapshot WHERE tenant = ? AND grp = ? AND epoch = ? AND version = ?",
      params: key,
    };
    for (const { blob } of named) {
      yield {
        sql: "DELETE FROM registry_blob WHERE id = ? AND NOT EXISTS (SELECT 1 FROM registry_snapshot_blob WHERE blob = ?)",
        params: [String(blob), String(blob)],
      };
    }
  }
}

export interface PublishedSnapshot {
  readonly epoch: number;
  readonly version: number;
  readonly signed: SignedManifest;
  readonly expiresAt: number;
}

const newestSnapshot: Command<{ readonly tenant: string; readonly group: string }, PublishedSnapshot | null> = {
  audit: null,
  *body({ tenant, group }) {
    const [row] = yield {
      sql: "SELECT epoch, version, signed, expires_at FROM registry_snapshot WHERE tenant = ? AND grp = ? ORDER BY epoch DESC, version DESC LIMIT 1",
      params: [tenant, group],
    };
    if (row === undefined) return null;
    // as: written from the same type above.
    const signed = JSON.parse(String(row["signed"])) as SignedManifest;
    return {
      epoch: Number(row["epoch"]),
      version: Number(row["version"]),
      signed,
      expiresAt: Number(row["expires_at"]),
    };
  },
};

/** Null when no snapshot of this group that is kept names it: another group's blob looks like no blob. */
const readBlob: Command<{ readonly tenant: string; readonly group: string; readonly id: string }, Uint8Array | null> = {
  audit: null,
  *body({ tenant, group, id }) {
    const [row] = yield {
      sql: `SELECT b.bytes FROM registry_blob b WHERE b.id = ?
        AND EXISTS (SELECT 1 FROM registry_snapshot_blob s WHERE s.blob = b.id AND s.tenant = ? AND s.grp = ?)`,
      params: [id, tenant, group],
    };
    return row?.["bytes"] instanceof Uint8Array ? row["bytes"] : null;
  },
};

/** After a restore: all groups of a tenant go on in a new epoch, so that nothing published after the backup is ever obeyed again. */
const raiseEpoch: Command<{ readonly tenant: string; readonly actor: string }, number> = {
  audit: "control.restore",
  *body({ tenant, actor }, context) {
    const [row] = yield { sql: "SELECT max(epoch) AS epoch FROM registry_group WHERE tenant = ?", params: [tenant] };
    const epoch = Number(row?.["epoch"] ?? 0) + 1;
    const groups = yield {
      sql: "UPDATE registry_group SET epoch = ?, version = 0 WHERE tenant = ? RETURNING tenant, id, environment, region, epoch, version",
      params: [epoch, tenant],
    };
    for (const group of groups.map(groupOf))
      yield restoreRecord(group, actor, { id: context.nextId(), at: context.now });
    return epoch;
  },
};

function restoreRecord(
  { tenant, environment, id, epoch }: Group,
  actor: string,
  stamp: { readonly id: string; readonly at: number },
): Statement {
  return auditStatement({
    ...stamp,
    tenant,
    environment,
    actor,
    action: "control.restore",
    object: `group/${id}`,
    facts: { epoch },
  });
}

export const snapshotCommands = { publishSnapshot, newestSnapshot, readBlob, raiseEpoch };
