// Promises that wrapped keys and sealed secrets are written once and never overwritten. Trusts the seal: rows mean nothing without the KEK.
// Specified in docs/formats/seal.md; tables in docs/registry.md.
import type { WrappedKey } from "@sallyport/kernel/seal/keyring.ts";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable, Row } from "@sallyport/kernel/store/port.ts";

export const secretMigrations: readonly Migration[] = [
  {
    capability: "secrets",
    version: 1,
    name: "wrapped keys and sealed secrets",
    up: (t) => [
      `CREATE TABLE secret_key (tenant ${t.text} NOT NULL, purpose ${t.text} NOT NULL, version ${t.integer} NOT NULL, wrapped ${t.blob} NOT NULL,
        created_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, purpose, version)) ${t.table}`,
      `CREATE TABLE secret_sealed (tenant ${t.text} NOT NULL, name ${t.text} NOT NULL, envelope ${t.blob} NOT NULL, created_at ${t.integer} NOT NULL,
        PRIMARY KEY (tenant, name)) ${t.table}`,
    ],
  },
];

const keysMax = 100_000;

function bytesOf(row: Row, column: string): Uint8Array {
  const value = row[column];
  return value instanceof Uint8Array ? value : new Uint8Array();
}

const listWrappedKeys: Command<null, readonly WrappedKey[]> = {
  audit: null,
  *body() {
    const rows = yield {
      sql: "SELECT tenant, purpose, version, wrapped, created_at FROM secret_key ORDER BY tenant, purpose, version LIMIT ?",
      params: [keysMax],
    };
    return rows.map((row) => ({
      tenant: String(row["tenant"]),
      purpose: String(row["purpose"]),
      version: Number(row["version"]),
      wrapped: bytesOf(row, "wrapped"),
      createdAtMs: Number(row["created_at"]),
    }));
  },
};

/** False, and nothing changed, when the version exists. */
const insertWrappedKey: Command<WrappedKey, boolean> = {
  audit: "key.create",
  *body({ tenant, purpose, version, wrapped, createdAtMs }, context) {
    const made = yield {
      sql: "INSERT INTO secret_key (tenant, purpose, version, wrapped, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING version",
      params: [tenant, purpose, version, wrapped, createdAtMs],
    };
    if (made.length === 0) return false;
    yield actStatement(context, {
      tenant,
      environment: "sallyport",
      actor: "built-in",
      action: "key.create",
      object: `key/${purpose}`,
      facts: { version },
    });
    return true;
  },
};

export interface DataKeyRotation {
  readonly tenant: string;
  /** The new tenant key and one new version of each purpose. */
  readonly keys: readonly WrappedKey[];
  readonly actor: string;
  readonly reason: string;
}

/** False, and nothing changed, when one of the versions exists, or a purpose came meanwhile that would be left behind. */
const rotateDataKeys: Command<DataKeyRotation, boolean> = {
  audit: "data-encryption-key.rotate",
  *body({ tenant, keys, actor, reason }, context) {
    const rows = yield {
      sql: "SELECT purpose, MAX(version) AS newest FROM secret_key WHERE tenant = ? AND purpose NOT LIKE 'pseudonym-%' GROUP BY purpose",
      params: [tenant],
    };
    const next = new Map(rows.map((row) => [String(row["purpose"]), Number(row["newest"]) + 1]));
    for (const { purpose, version } of keys) {
      if (next.get(purpose) !== version) return false;
      next.delete(purpose);
    }
    if (next.size > 0) return false;
    for (const { purpose, version, wrapped, createdAtMs } of keys)
      yield {
        sql: "INSERT INTO secret_key (tenant, purpose, version, wrapped, created_at) VALUES (?, ?, ?, ?, ?)",
        params: [tenant, purpose, version, wrapped, createdAtMs],
      };
    const version = keys.find(({ purpose }) => purpose === "tenant")?.version ?? 0;
    yield actStatement(context, {
      ...{ tenant, environment: "sallyport", actor, action: "data-encryption-key.rotate" },
      object: "data-encryption-key/tenant",
      facts: { version, keys: keys.length, reason },
    });
    return true;
  },
};

export interface SealedName {
  readonly tenant: string;
  readonly name: string;
}

const readSealed: Command<SealedName, Uint8Array | null> = {
  audit: null,
  *body({ tenant, name }) {
    const [row] = yield {
      sql: "SELECT envelope FROM secret_sealed WHERE tenant = ? AND name = ?",
      params: [tenant, name],
    };
    return row === undefined ? null : bytesOf(row, "envelope");
  },
};

/** False, and nothing changed, when the name is taken. */
const insertSealed: Command<SealedName & { readonly envelope: Uint8Array }, boolean> = {
  audit: "secret.create",
  *body({ tenant, name, envelope }, context) {
    const made = yield {
      sql: "INSERT INTO secret_sealed (tenant, name, envelope, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING name",
      params: [tenant, name, envelope, context.now],
    };
    if (made.length === 0) return false;
    yield actStatement(context, {
      tenant,
      environment: "sallyport",
      actor: "built-in",
      action: "secret.create",
      object: `secret/${name}`,
      facts: {},
    });
    return true;
  },
};

export const secretCommands = {
  ...{ listWrappedKeys, insertWrappedKey, rotateDataKeys },
  ...{ readSealed, insertSealed },
} satisfies CommandTable;

export type SecretCommands = typeof secretCommands;
