// Promises that the last keys control saw at somebody's place are kept, so that a restart beside an unreachable one trusts what was trusted before,
// and that every change of them is a record naming what came and what went. Trusts the keeper for reading. docs/identity/outside-issuers.md "Keys".
import type { ColumnTypes } from "@sallyport/kernel/store/migration.ts";
import { auditStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command } from "@sallyport/kernel/store/port.ts";
import type { OutsideJwk } from "@sallyport/protocol/token/outside-jwk.ts";

export interface KeysPlace {
  readonly tenant: string;
  readonly environment: string;
  /** Id of the issuer or client in the estate. */
  readonly owner: string;
}

export interface KeptKeys {
  /** Names what they were fetched by: another URL or other algorithms make them somebody else's. */
  readonly source: string;
  readonly keys: readonly OutsideJwk[];
  /** Milliseconds since the epoch. */
  readonly fetchedAt: number;
}

export type KeysChange = KeptKeys & { readonly added: readonly string[]; readonly removed: readonly string[] };

export interface KeptKeysCommands {
  readonly read: Command<KeysPlace, KeptKeys | null>;
  /** Keeps a set that differs from the one kept before. */
  readonly change: Command<KeysPlace & KeysChange, null>;
  /** The same set was seen again. */
  readonly confirm: Command<KeysPlace & { readonly fetchedAt: number }, null>;
}

/** Whose keys: the table, its column with the id, and the words of the record. */
interface Kept {
  readonly table: string;
  readonly owner: "issuer" | "client";
  readonly action: string;
}

export function keptKeysTable(t: ColumnTypes, { table, owner }: Omit<Kept, "action">): string {
  return `CREATE TABLE ${table} (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, ${owner} ${t.text} NOT NULL, source ${t.text} NOT NULL,
        keys ${t.text} NOT NULL, fetched_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, ${owner})) ${t.table}`;
}

export function keptKeysCommands({ table, owner: column, action }: Kept): KeptKeysCommands {
  return {
    read: {
      audit: null,
      *body({ tenant, environment, owner }) {
        const [row] = yield {
          sql: `SELECT source, keys, fetched_at FROM ${table} WHERE tenant = ? AND environment = ? AND ${column} = ?`,
          params: [tenant, environment, owner],
        };
        if (row === undefined) return null;
        return {
          source: String(row["source"]),
          // Written from the same type below.
          keys: JSON.parse(String(row["keys"])) as KeptKeys["keys"],
          fetchedAt: Number(row["fetched_at"]),
        };
      },
    },
    change: {
      audit: action,
      *body({ tenant, environment, owner, source, keys, fetchedAt, added, removed }, context) {
        yield {
          sql: `INSERT INTO ${table} (tenant, environment, ${column}, source, keys, fetched_at) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (tenant, environment, ${column}) DO UPDATE SET source = excluded.source, keys = excluded.keys, fetched_at = excluded.fetched_at`,
          params: [tenant, environment, owner, source, JSON.stringify(keys), fetchedAt],
        };
        yield auditStatement({
          id: context.nextId(),
          at: context.now,
          tenant,
          environment,
          actor: "built-in",
          action,
          object: `${column}/${owner}`,
          facts: { keys: keys.length, added: namesOf(added), removed: namesOf(removed) },
        });
        return null;
      },
    },
    confirm: {
      audit: { bookkeeping: "when an unchanged key set was seen last" },
      *body({ tenant, environment, owner, fetchedAt }) {
        yield {
          sql: `UPDATE ${table} SET fetched_at = ? WHERE tenant = ? AND environment = ? AND ${column} = ? AND fetched_at < ?`,
          params: [fetchedAt, tenant, environment, owner, fetchedAt],
        };
        return null;
      },
    },
  };
}

const namedMax = 8;

/** Names of keys are text their owner chose: thumbprints stand for them, and a few of many. */
function namesOf(kids: readonly string[]): string {
  const rest = kids.length > namedMax ? ` and ${kids.length - namedMax} more` : "";
  return `${kids.slice(0, namedMax).join(" ")}${rest}`;
}
