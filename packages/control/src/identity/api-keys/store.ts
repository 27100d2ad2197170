// Promises the API keys of callers that can do nothing better: digests, integrations and ends alone, each change one transaction with its record and, where
// one ends, with its revocation. Trusts the store to run each command in one transaction. Specified in docs/identity/api-keys.md.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { apiKeyTokenId } from "@sallyport/protocol/token/api-key.ts";
import type { By, Place } from "../clients/store.ts";
import { appendRevocation } from "../revoke.ts";

/** One in use and the one that follows it: more would be keys nobody watches. */
export const liveApiKeysMax = 2;
/** How long what has ended stays in the list. */
const endedKeptMs = 90 * 86_400_000;
const rowsMax = 10_000;

export const apiKeyMigrations: readonly Migration[] = [
  {
    capability: "api-keys",
    version: 1,
    name: "digests of API keys",
    up: (t) => [
      `CREATE TABLE api_key (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, id ${t.text} NOT NULL, digest ${t.text} NOT NULL,
        system ${t.text} NOT NULL, integrations ${t.text} NOT NULL, created_at ${t.integer} NOT NULL, not_after ${t.integer} NOT NULL,
        ended_at ${t.integer}, PRIMARY KEY (tenant, environment, id)) ${t.table}`,
    ],
  },
];

/** Times are milliseconds since the epoch. */
export interface StoredApiKey {
  readonly environment: string;
  readonly id: string;
  /** SHA-256 of the key's ASCII text, base64url. */
  readonly digest: string;
  readonly system: string;
  /** In ascending order. */
  readonly integrations: readonly string[];
  readonly createdAt: number;
  readonly notAfter: number;
  /** Null while it was not ended by anybody. */
  readonly endedAt: number | null;
}

function apiKeyOf(row: Row): StoredApiKey {
  const endedAt = row["ended_at"];
  return {
    environment: String(row["environment"]),
    id: String(row["id"]),
    digest: String(row["digest"]),
    system: String(row["system"]),
    integrations: String(row["integrations"]).split(" "),
    createdAt: Number(row["created_at"]),
    notAfter: Number(row["not_after"]),
    endedAt: endedAt === null || endedAt === undefined ? null : Number(endedAt),
  };
}

/** Of all environments, in ascending order of environment and id, what ended lately included. */
const readApiKeys: Command<{ readonly tenant: string }, readonly StoredApiKey[]> = {
  audit: null,
  *body({ tenant }) {
    const rows = yield {
      sql: "SELECT * FROM api_key WHERE tenant = ? ORDER BY environment, id LIMIT ?",
      params: [tenant, rowsMax],
    };
    return rows.map(apiKeyOf);
  },
};

export type ApiKeyAdded =
  | { readonly kind: "added"; readonly follows: { readonly id: string; readonly notAfter: number } | null }
  | { readonly kind: "full"; readonly live: readonly string[] };

/** Adds a key; the one there is for the very integrations ends after `overlapMs`, or sooner where it was to. `full`: two open one of them. */
const addApiKey: Command<
  Place &
    By &
    Pick<StoredApiKey, "id" | "digest" | "system" | "integrations" | "notAfter"> & { readonly overlapMs: number },
  ApiKeyAdded
> = {
  audit: "api-key.add",
  *body(input, context) {
    const { tenant, environment, id, digest, system, integrations, notAfter, overlapMs, actor, reason } = input;
    const { now } = context;
    const rows = yield {
      sql: `SELECT * FROM api_key WHERE tenant = ? AND environment = ? AND system = ? AND ended_at IS NULL AND not_after > ?
        ORDER BY created_at, id`,
      params: [tenant, environment, system, now],
    };
    const live = rows.map(apiKeyOf).filter((one) => one.integrations.some((name) => integrations.includes(name)));
    if (live.length >= liveApiKeysMax) return { kind: "full", live: live.map((one) => one.id) };
    yield {
      sql: "DELETE FROM api_key WHERE tenant = ? AND environment = ? AND coalesce(ended_at, not_after) < ?",
      params: [tenant, environment, now - endedKeptMs],
    };
    const older = live.find((one) => one.integrations.join(" ") === integrations.join(" "));
    let follows: { readonly id: string; readonly notAfter: number } | null = null;
    if (older !== undefined) {
      follows = { id: older.id, notAfter: Math.min(now + overlapMs, older.notAfter) };
      yield {
        sql: "UPDATE api_key SET not_after = ? WHERE tenant = ? AND environment = ? AND id = ?",
        params: [follows.notAfter, tenant, environment, older.id],
      };
    }
    yield {
      sql: `INSERT INTO api_key (tenant, environment, id, digest, system, integrations, created_at, not_after, ended_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)`,
      params: [tenant, environment, id, digest, system, integrations.join(" "), now, notAfter],
    };
    yield actStatement(context, {
      tenant,
      environment,
      actor,
      action: "api-key.add",
      object: `api-key/${id}`,
      facts: {
        system,
        integrations: integrations.join(" "),
        until: notAfter,
        ...(follows === null ? {} : { follows: follows.id, followsUntil: follows.notAfter }),
        reason,
      },
    });
    return { kind: "added", follows };
  },
};

/** Ends one key: no snapshot has it any more, and gateways that hold an older one hear of its revocation. False: there is none to end. */
const endApiKey: Command<Place & By & { readonly id: string }, boolean> = {
  audit: "api-key.end",
  *body({ tenant, environment, id, actor, reason }, context) {
    const { now } = context;
    const [row] = yield {
      sql: "UPDATE api_key SET ended_at = ? WHERE tenant = ? AND environment = ? AND id = ? AND ended_at IS NULL AND not_after > ? RETURNING *",
      params: [now, tenant, environment, id, now],
    };
    if (row === undefined) return false;
    const { system, notAfter } = apiKeyOf(row);
    yield* appendRevocation({
      ...{ tenant, environment, kind: "jti", value: apiKeyTokenId(id), notBefore: now },
      // By then no snapshot of before can hold it as good.
      until: Math.max(now, notAfter),
    });
    yield actStatement(context, {
      tenant,
      environment,
      actor,
      action: "api-key.end",
      object: `api-key/${id}`,
      facts: { system, reason },
    });
    return true;
  },
};

export const apiKeyCommands = { readApiKeys, addApiKey, endApiKey } satisfies CommandTable;
export type ApiKeyCommands = typeof apiKeyCommands;

/** After a restore: what was ended after the backup would live again. `yield*` it inside the restore's fence. */
export function* endRestoredApiKeys(now: number): Generator<Statement, number, readonly Row[]> {
  const rows = yield { sql: "UPDATE api_key SET ended_at = ? WHERE ended_at IS NULL RETURNING id", params: [now] };
  return rows.length;
}
