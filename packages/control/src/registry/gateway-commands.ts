// Promises that a join token makes one gateway, that a node is what its token said, and that a revoked node is revoked everywhere at once.
// Trusts control/gateways to have proven keys and certificates. Specified in docs/formats/join.md; tables in docs/registry.md.
import { strict as assert } from "node:assert";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, Row } from "@sallyport/kernel/store/port.ts";
import { appendRevocation } from "../identity/revoke.ts";
import { reasonLengthMax } from "./object-tables.ts";
import { cutOffMs } from "./state-commands.ts";

export const gatewayMigration: Migration = {
  capability: "registry",
  version: 2,
  name: "groups, join tokens, nodes",
  up: (t) => [
    `CREATE TABLE registry_group (tenant ${t.text} NOT NULL, id ${t.text} NOT NULL, environment ${t.text} NOT NULL, region ${t.text} NOT NULL,
      epoch ${t.integer} NOT NULL, version ${t.integer} NOT NULL, created_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, id)) ${t.table}`,
    `CREATE TABLE registry_join_token (secret_hash ${t.text} PRIMARY KEY, tenant ${t.text} NOT NULL, grp ${t.text} NOT NULL, created_by ${t.text} NOT NULL,
      created_at ${t.integer} NOT NULL, expires_at ${t.integer} NOT NULL, used_at ${t.integer}, used_by ${t.text},
      FOREIGN KEY (tenant, grp) REFERENCES registry_group (tenant, id)) ${t.table}`,
    `CREATE TABLE registry_node (node ${t.text} PRIMARY KEY, tenant ${t.text} NOT NULL, grp ${t.text} NOT NULL, spki ${t.text} NOT NULL,
      seal_key ${t.text} NOT NULL, state ${t.text} NOT NULL, joined_at ${t.integer} NOT NULL, last_seen_at ${t.integer} NOT NULL,
      FOREIGN KEY (tenant, grp) REFERENCES registry_group (tenant, id)) ${t.table}`,
    `CREATE TABLE registry_node_certificate (thumbprint ${t.text} PRIMARY KEY, node ${t.text} NOT NULL REFERENCES registry_node (node),
      not_after ${t.integer} NOT NULL, issued_at ${t.integer} NOT NULL) ${t.table}`,
    "CREATE INDEX registry_node_certificate_node ON registry_node_certificate (node)",
  ],
};

const groupsMax = 10_000;
const nodesMax = 100_000;
const tokenLifetimeMsMax = 7 * 86_400_000;
/** Used and expired tokens are kept this long, so that a second use can still be told from an unknown secret in the log. */
const tokenKeptMs = 30 * 86_400_000;

export interface Group {
  readonly tenant: string;
  readonly id: string;
  readonly environment: string;
  readonly region: string;
  /** The newest published snapshot is (epoch, version); version 0: none yet in this epoch. */
  readonly epoch: number;
  readonly version: number;
}

export interface RegisteredNode {
  readonly node: string;
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly group: string;
  /** SubjectPublicKeyInfo (DER, base64url) of the key it joined with. */
  readonly spki: string;
  /** Raw X25519 public key, base64url. */
  readonly sealKey: string;
  readonly state: "active" | "revoked";
  /** Milliseconds since the epoch. */
  readonly joinedAt: number;
  readonly lastSeenAt: number;
}

const groupColumns = "tenant, id, environment, region, epoch, version";

export function groupOf(row: Row): Group {
  return {
    tenant: String(row["tenant"]),
    id: String(row["id"]),
    environment: String(row["environment"]),
    region: String(row["region"]),
    epoch: Number(row["epoch"]),
    version: Number(row["version"]),
  };
}

/** Makes a group, once. A group never changes its environment or region: null when the id is taken by another one. */
const ensureGroup: Command<Omit<Group, "epoch" | "version"> & { readonly actor: string }, Group | null> = {
  audit: "group.create",
  *body({ tenant, id, environment, region, actor }, context) {
    const [there] = yield {
      sql: `SELECT ${groupColumns} FROM registry_group WHERE tenant = ? AND id = ?`,
      params: [tenant, id],
    };
    if (there !== undefined) {
      const group = groupOf(there);
      return group.environment === environment && group.region === region ? group : null;
    }
    const [epoch] = yield {
      sql: "SELECT max(epoch) AS epoch FROM (SELECT epoch FROM registry_group WHERE tenant = ? UNION ALL SELECT epoch FROM backup_restore) AS epochs",
      params: [tenant],
    };
    const group: Group = { tenant, id, environment, region, epoch: Number(epoch?.["epoch"] ?? 1), version: 0 };
    yield {
      sql: "INSERT INTO registry_group (tenant, id, environment, region, epoch, version, created_at) VALUES (?, ?, ?, ?, ?, 0, ?)",
      params: [tenant, id, environment, region, group.epoch, context.now],
    };
    yield actStatement(context, {
      tenant,
      environment,
      actor,
      action: "group.create",
      object: `group/${id}`,
      facts: { region },
    });
    return group;
  },
};

const listGroups: Command<{ readonly tenant: string }, readonly Group[]> = {
  audit: null,
  *body({ tenant }) {
    return (yield {
      sql: `SELECT ${groupColumns} FROM registry_group WHERE tenant = ? ORDER BY id LIMIT ?`,
      params: [tenant, groupsMax],
    }).map(groupOf);
  },
};

const getGroup: Command<{ readonly tenant: string; readonly id: string }, Group | null> = {
  audit: null,
  *body({ tenant, id }) {
    const [row] = yield {
      sql: `SELECT ${groupColumns} FROM registry_group WHERE tenant = ? AND id = ?`,
      params: [tenant, id],
    };
    return row === undefined ? null : groupOf(row);
  },
};

export interface JoinTokenRequest {
  readonly tenant: string;
  readonly group: string;
  /** SHA-256 (lower-case hex) of the secret: the secret itself never comes here. */
  readonly secretHash: string;
  readonly lifetimeMs: number;
  readonly actor: string;
}

/** Null when there is no such group. */
const createJoinToken: Command<JoinTokenRequest, { readonly expiresAt: number; readonly group: Group } | null> = {
  audit: "gateway.token",
  *body({ tenant, group: id, secretHash, lifetimeMs, actor }, context) {
    assert.match(secretHash, /^[0-9a-f]{64}$/);
    assert.ok(lifetimeMs > 0 && lifetimeMs <= tokenLifetimeMsMax, "a join token lives at most seven days");
    const [row] = yield {
      sql: `SELECT ${groupColumns} FROM registry_group WHERE tenant = ? AND id = ?`,
      params: [tenant, id],
    };
    if (row === undefined) return null;
    const group = groupOf(row);
    const expiresAt = context.now + lifetimeMs;
    yield { sql: "DELETE FROM registry_join_token WHERE expires_at < ?", params: [context.now - tokenKeptMs] };
    yield {
      sql: "INSERT INTO registry_join_token (secret_hash, tenant, grp, created_by, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
      params: [secretHash, tenant, id, actor, context.now, expiresAt],
    };
    yield actStatement(context, {
      tenant,
      environment: group.environment,
      actor,
      action: "gateway.token",
      object: `group/${id}`,
      facts: { expiresAt },
    });
    return { expiresAt, group };
  },
};

export interface JoiningNode {
  readonly secretHash: string;
  readonly node: string;
  readonly spki: string;
  readonly sealKey: string;
}

/** Uses the token and makes the node in one transaction; null when the token is unknown, used or expired (which one, stays in here). */
const useJoinToken: Command<JoiningNode, RegisteredNode | null> = {
  audit: "gateway.join",
  *body({ secretHash, node, spki, sealKey }, context) {
    // Compare-and-set: of two gateways with one token only one finds used_at empty.
    const [token] = yield {
      sql: "UPDATE registry_join_token SET used_at = ?, used_by = ? WHERE secret_hash = ? AND used_at IS NULL AND expires_at > ? RETURNING tenant, grp",
      params: [context.now, node, secretHash, context.now],
    };
    if (token === undefined) return null;
    const tenant = String(token["tenant"]);
    yield {
      sql: "INSERT INTO registry_node (node, tenant, grp, spki, seal_key, state, joined_at, last_seen_at) VALUES (?, ?, ?, ?, ?, 'active', ?, ?)",
      params: [node, tenant, String(token["grp"]), spki, sealKey, context.now, context.now],
    };
    const [row] = yield { sql: `${nodeSelect} WHERE n.node = ?`, params: [node] };
    assert.ok(row !== undefined, "the node was just made");
    const made = nodeOf(row);
    yield actStatement(context, {
      tenant,
      environment: made.environment,
      actor: `gateway:${node}`,
      action: "gateway.join",
      object: `gateway/${node}`,
      facts: { group: made.group },
    });
    return made;
  },
};

const nodeSelect = `SELECT n.node, n.tenant, n.grp, n.spki, n.seal_key, n.state, n.joined_at, n.last_seen_at, g.environment, g.region
  FROM registry_node n JOIN registry_group g ON g.tenant = n.tenant AND g.id = n.grp`;

function nodeOf(row: Row): RegisteredNode {
  return {
    node: String(row["node"]),
    tenant: String(row["tenant"]),
    environment: String(row["environment"]),
    region: String(row["region"]),
    group: String(row["grp"]),
    spki: String(row["spki"]),
    sealKey: String(row["seal_key"]),
    state: row["state"] === "active" ? "active" : "revoked",
    joinedAt: Number(row["joined_at"]),
    lastSeenAt: Number(row["last_seen_at"]),
  };
}

export interface NodeCertificate {
  readonly node: string;
  /** SHA-256 of the DER, base64url. */
  readonly thumbprint: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** Lets a certificate stand for a node; false when the node is not active. */
const addNodeCertificate: Command<NodeCertificate, boolean> = {
  audit: "gateway.certificate",
  *body({ node, thumbprint, notAfter }, context) {
    const [row] = yield { sql: `${nodeSelect} WHERE n.node = ? AND n.state = 'active'`, params: [node] };
    if (row === undefined) return false;
    const { tenant, environment } = nodeOf(row);
    yield {
      sql: "DELETE FROM registry_node_certificate WHERE node = ? AND not_after <= ?",
      params: [node, context.now],
    };
    yield {
      sql: "INSERT INTO registry_node_certificate (thumbprint, node, not_after, issued_at) VALUES (?, ?, ?, ?)",
      params: [thumbprint, node, notAfter, context.now],
    };
    yield actStatement(context, {
      tenant,
      environment,
      actor: `gateway:${node}`,
      action: "gateway.certificate",
      object: `gateway/${node}`,
      facts: { thumbprint, notAfter },
    });
    return true;
  },
};

/** The active node a certificate stands for, or null. */
const nodeByThumbprint: Command<{ readonly thumbprint: string }, RegisteredNode | null> = {
  audit: null,
  *body({ thumbprint }, { now }) {
    const [row] = yield {
      sql: `${nodeSelect} JOIN registry_node_certificate c ON c.node = n.node WHERE c.thumbprint = ? AND c.not_after > ? AND n.state = 'active'`,
      params: [thumbprint, now],
    };
    return row === undefined ? null : nodeOf(row);
  },
};

/** After the first use of a new certificate the earlier ones of its node end within `graceMs`. */
const retireEarlierCertificates: Command<{ readonly thumbprint: string; readonly graceMs: number }, null> = {
  audit: { bookkeeping: "follows from a certificate whose issue was recorded" },
  *body({ thumbprint, graceMs }, { now }) {
    yield {
      sql: `UPDATE registry_node_certificate SET not_after = ? WHERE not_after > ? AND thumbprint <> ?
        AND node = (SELECT node FROM registry_node_certificate WHERE thumbprint = ?)
        AND issued_at <= (SELECT issued_at FROM registry_node_certificate WHERE thumbprint = ?)`,
      params: [now + graceMs, now + graceMs, thumbprint, thumbprint, thumbprint],
    };
    return null;
  },
};

const touchNode: Command<{ readonly node: string }, null> = {
  audit: { bookkeeping: "a time of last sight" },
  *body({ node }, { now }) {
    yield {
      sql: "UPDATE registry_node SET last_seen_at = ? WHERE node = ? AND last_seen_at < ?",
      params: [now, node, now],
    };
    return null;
  },
};

const listNodes: Command<{ readonly tenant: string }, readonly RegisteredNode[]> = {
  audit: null,
  *body({ tenant }) {
    return (yield { sql: `${nodeSelect} WHERE n.tenant = ? ORDER BY n.node LIMIT ?`, params: [tenant, nodesMax] }).map(
      nodeOf,
    );
  },
};

/** False when there is no such active node. Its certificates end now and its revocation is in the same transaction. */
const revokeNode: Command<
  { readonly tenant: string; readonly node: string; readonly actor: string; readonly reason: string },
  boolean
> = {
  audit: "gateway.revoke",
  *body({ tenant, node, actor, reason }, context) {
    assert.ok(reason.length > 0 && reason.length <= reasonLengthMax, "a revocation has a reason");
    const [row] = yield {
      sql: `${nodeSelect} WHERE n.tenant = ? AND n.node = ? AND n.state = 'active'`,
      params: [tenant, node],
    };
    if (row === undefined) return false;
    const { environment } = nodeOf(row);
    yield { sql: "UPDATE registry_node SET state = 'revoked' WHERE node = ?", params: [node] };
    yield { sql: "DELETE FROM registry_node_certificate WHERE node = ?", params: [node] };
    yield* appendRevocation({
      tenant,
      environment,
      kind: "node",
      value: node,
      notBefore: context.now,
      until: context.now + cutOffMs,
    });
    yield actStatement(context, {
      tenant,
      environment,
      actor,
      action: "gateway.revoke",
      object: `gateway/${node}`,
      facts: { reason },
    });
    return true;
  },
};

export const gatewayCommands = {
  ensureGroup,
  listGroups,
  getGroup,
  createJoinToken,
  useJoinToken,
  addNodeCertificate,
  nodeByThumbprint,
  retireEarlierCertificates,
  touchNode,
  listNodes,
  revokeNode,
};
