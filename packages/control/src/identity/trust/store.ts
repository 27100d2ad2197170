// Promises that the last keys control saw of an issuer outside are kept, so that a restart beside an unreachable issuer trusts what was trusted before,
// and that every change of them is a record naming what came and what went. Trusts the keeper for reading. Table: docs/identity/outside-issuers.md.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { auditStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";
import type { OutsideJwk } from "@sallyport/protocol/token/outside-jwk.ts";

export const trustMigrations: readonly Migration[] = [
  {
    capability: "trust",
    version: 1,
    name: "keys of outside issuers",
    up: (t) => [
      `CREATE TABLE trust_keys (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, issuer ${t.text} NOT NULL, source ${t.text} NOT NULL,
        keys ${t.text} NOT NULL, fetched_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, issuer)) ${t.table}`,
    ],
  },
];

export interface IssuerPlace {
  readonly tenant: string;
  readonly environment: string;
  /** Id of the issuer in the estate. */
  readonly issuer: string;
}

export interface KeptKeys {
  /** Names what they were fetched by: another URL or other algorithms make them somebody else's. */
  readonly source: string;
  readonly keys: readonly OutsideJwk[];
  /** Milliseconds since the epoch. */
  readonly fetchedAt: number;
}

const readIssuerKeys: Command<IssuerPlace, KeptKeys | null> = {
  audit: null,
  *body({ tenant, environment, issuer }) {
    const [row] = yield {
      sql: "SELECT source, keys, fetched_at FROM trust_keys WHERE tenant = ? AND environment = ? AND issuer = ?",
      params: [tenant, environment, issuer],
    };
    if (row === undefined) return null;
    return {
      source: String(row["source"]),
      // Written from the same type below.
      keys: JSON.parse(String(row["keys"])) as KeptKeys["keys"],
      fetchedAt: Number(row["fetched_at"]),
    };
  },
};

/** Keeps a set that differs from the one kept before. */
const changeIssuerKeys: Command<
  IssuerPlace & KeptKeys & { readonly added: readonly string[]; readonly removed: readonly string[] },
  null
> = {
  audit: "trust.keys",
  *body({ tenant, environment, issuer, source, keys, fetchedAt, added, removed }, context) {
    yield {
      sql: `INSERT INTO trust_keys (tenant, environment, issuer, source, keys, fetched_at) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant, environment, issuer) DO UPDATE SET source = excluded.source, keys = excluded.keys, fetched_at = excluded.fetched_at`,
      params: [tenant, environment, issuer, source, JSON.stringify(keys), fetchedAt],
    };
    yield auditStatement({
      id: context.nextId(),
      at: context.now,
      tenant,
      environment,
      actor: "built-in",
      action: "trust.keys",
      object: `issuer/${issuer}`,
      facts: { keys: keys.length, added: namesOf(added), removed: namesOf(removed) },
    });
    return null;
  },
};

const namedMax = 8;

/** Names of keys are text an issuer chose: thumbprints stand for them, and a few of many. */
function namesOf(kids: readonly string[]): string {
  const rest = kids.length > namedMax ? ` and ${kids.length - namedMax} more` : "";
  return `${kids.slice(0, namedMax).join(" ")}${rest}`;
}

/** The same set was seen again. */
const confirmIssuerKeys: Command<IssuerPlace & { readonly fetchedAt: number }, null> = {
  audit: { bookkeeping: "when an unchanged key set was seen last" },
  *body({ tenant, environment, issuer, fetchedAt }) {
    yield {
      sql: "UPDATE trust_keys SET fetched_at = ? WHERE tenant = ? AND environment = ? AND issuer = ? AND fetched_at < ?",
      params: [fetchedAt, tenant, environment, issuer, fetchedAt],
    };
    return null;
  },
};

export const trustCommands = { readIssuerKeys, changeIssuerKeys, confirmIssuerKeys } satisfies CommandTable;
export type TrustCommands = typeof trustCommands;
