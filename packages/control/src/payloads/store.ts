// Promises the keys of kept payloads: one pair for a data subject, a day and a time of keeping, whose private half is overwritten before its row goes, and
// never goes under a legal hold nor without its record. Trusts decide-hold.ts for what a hold covers. Specified in docs/payloads.md.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { decideHeld, type LegalHold } from "../audit/keeping/decide-hold.ts";
import { readHolds } from "../audit/keeping/store.ts";

export const payloadMigrations: readonly Migration[] = [
  {
    capability: "payloads",
    version: 1,
    name: "keys of kept payloads, how many were made, and who was erased",
    up: (t) => [
      `CREATE TABLE payload_key (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, kid ${t.text} NOT NULL, subject ${t.text} NOT NULL,
        made_at ${t.integer} NOT NULL, made_year ${t.integer} NOT NULL, ends_at ${t.integer} NOT NULL, public_key ${t.blob} NOT NULL,
        sealed ${t.blob} NOT NULL, locked ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, kid)) ${t.table}`,
      "CREATE INDEX payload_key_subject ON payload_key (tenant, environment, subject, ends_at)",
      "CREATE INDEX payload_key_ends ON payload_key (tenant, ends_at)",
      `CREATE TABLE payload_key_count (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, ends_at ${t.integer} NOT NULL,
        made ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, ends_at)) ${t.table}`,
      `CREATE TABLE payload_erasure (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, subject ${t.text} NOT NULL,
        erased_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, subject)) ${t.table}`,
    ],
  },
];

/** Keys destroyed in one transaction by the clock. */
const endedMax = 1_000;

export interface PayloadPlace {
  readonly tenant: string;
  readonly environment: string;
}

export interface DataSubject extends PayloadPlace {
  /** Pseudonym. */
  readonly subject: string;
}

export interface PublicPayloadKey {
  readonly kid: string;
  readonly publicKey: Uint8Array;
}

const bytesOf = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : new Uint8Array());

/** The newest key of a data subject that ends then. One that came back with a restore is none: it may be of somebody who was erased. */
const findPayloadKey: Command<DataSubject & { readonly endsAt: number }, PublicPayloadKey | null> = {
  audit: null,
  *body({ tenant, environment, subject, endsAt }) {
    const [row] = yield {
      sql: `SELECT kid, public_key FROM payload_key WHERE tenant = ? AND environment = ? AND subject = ? AND ends_at = ? AND locked = 0
        ORDER BY made_at DESC, kid LIMIT 1`,
      params: [tenant, environment, subject, endsAt],
    };
    return row === undefined ? null : { kid: String(row["kid"]), publicKey: bytesOf(row["public_key"]) };
  },
};

export interface AddPayloadKey extends DataSubject, PublicPayloadKey {
  readonly endsAt: number;
  readonly sealed: Uint8Array;
  /** Keys of one environment that end on one day. */
  readonly keysMax: number;
}

/** False: there are as many as are kept. Two of one data subject and day may stand side by side: two nodes were asked at once. */
const addPayloadKey: Command<AddPayloadKey, boolean> = {
  audit: { bookkeeping: "the payload leaf of a gateway names the key" },
  *body({ tenant, environment, subject, kid, publicKey, endsAt, sealed, keysMax }, { now }) {
    const counted = yield {
      sql: `INSERT INTO payload_key_count (tenant, environment, ends_at, made) VALUES (?, ?, ?, 1)
        ON CONFLICT (tenant, environment, ends_at) DO UPDATE SET made = payload_key_count.made + 1 WHERE payload_key_count.made < ? RETURNING made`,
      params: [tenant, environment, endsAt, keysMax],
    };
    if (counted.length === 0) return false;
    yield {
      sql: `INSERT INTO payload_key (tenant, environment, kid, subject, made_at, made_year, ends_at, public_key, sealed, locked)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
      params: [tenant, environment, kid, subject, now, yearOf(now), endsAt, publicKey, sealed],
    };
    return true;
  },
};

const yearOf = (at: number): number => new Date(at).getUTCFullYear();

export type FoundPayloadKey =
  | { readonly kind: "found"; readonly subject: string; readonly sealed: Uint8Array }
  /** It came back with a restore. */
  | { readonly kind: "locked" }
  /** When the data subject was erased last; null: never, as far as this store knows. */
  | { readonly kind: "gone"; readonly erasedAt: number | null };

/** The private half of a key, sealed, or what became of it. */
const readPayloadKey: Command<DataSubject & { readonly kid: string }, FoundPayloadKey> = {
  audit: null,
  *body({ tenant, environment, subject, kid }) {
    const [row] = yield {
      sql: "SELECT subject, sealed, locked FROM payload_key WHERE tenant = ? AND environment = ? AND kid = ?",
      params: [tenant, environment, kid],
    };
    if (row !== undefined && Number(row["locked"]) === 1) return { kind: "locked" };
    if (row !== undefined) return { kind: "found", subject: String(row["subject"]), sealed: bytesOf(row["sealed"]) };
    const [erased] = yield {
      sql: "SELECT erased_at FROM payload_erasure WHERE tenant = ? AND environment = ? AND subject = ?",
      params: [tenant, environment, subject],
    };
    return { kind: "gone", erasedAt: erased === undefined ? null : Number(erased["erased_at"]) };
  },
};

/** Where keys are, and the years of the pseudonyms that they are under. */
const listPayloadEpochs: Command<
  { readonly tenant: string },
  readonly { readonly environment: string; readonly epoch: string }[]
> = {
  audit: null,
  *body({ tenant }) {
    const rows = yield {
      sql: "SELECT DISTINCT environment, substr(subject, 1, 4) AS epoch FROM payload_key WHERE tenant = ? ORDER BY environment, epoch",
      params: [tenant],
    };
    return rows.map((row) => ({ environment: String(row["environment"]), epoch: String(row["epoch"]) }));
  },
};

export interface ErasePayloads {
  readonly tenant: string;
  /** One person under all the names that its keys may stand under. */
  readonly subjects: readonly Omit<DataSubject, "tenant">[];
  readonly reason: string;
  readonly actor: string;
}

export type ErasureOutcome =
  | { readonly kind: "erased"; readonly keys: number }
  | { readonly kind: "held"; readonly by: LegalHold };

/** Destroys every key of a data subject, or none while a hold covers any of them. Erased twice, it is recorded twice. */
const erasePayloads: Command<ErasePayloads, ErasureOutcome> = {
  audit: "payload.erase",
  *body({ tenant, subjects, reason, actor }, context) {
    const holds = yield* readHolds(tenant);
    const found: { readonly of: Omit<DataSubject, "tenant">; readonly sizes: ReadonlySet<number> }[] = [];
    for (const of of subjects) {
      const rows = yield {
        sql: "SELECT DISTINCT made_year, length(sealed) AS bytes FROM payload_key WHERE tenant = ? AND environment = ? AND subject = ?",
        params: [tenant, of.environment, of.subject],
      };
      const by = heldOf(holds, rows, { tenant, environment: of.environment });
      if (by !== null) return { kind: "held", by };
      found.push({ of, sizes: new Set(rows.map((row) => Number(row["bytes"]))) });
    }
    let keys = 0;
    for (const { of, sizes } of found) {
      const place = { tenant, environment: of.environment };
      const destroyed = yield* destroyAll({ ...place, subject: of.subject }, sizes);
      yield {
        sql: `INSERT INTO payload_erasure (tenant, environment, subject, erased_at) VALUES (?, ?, ?, ?)
          ON CONFLICT (tenant, environment, subject) DO UPDATE SET erased_at = excluded.erased_at`,
        params: [tenant, of.environment, of.subject, context.now],
      };
      yield* record(context, { ...place, actor }, { subject: of.subject, keys: destroyed, reason });
      keys += destroyed;
    }
    return { kind: "erased", keys };
  },
};

function heldOf(holds: readonly LegalHold[], rows: readonly Row[], place: PayloadPlace): LegalHold | null {
  for (const year of new Set(rows.map((row) => Number(row["made_year"])))) {
    const by = decideHeld(holds, { ...place, year, origin: null });
    if (by !== null) return by;
  }
  return null;
}

/** Every key of a data subject, however many a gateway had made; how many. As `destroy` does it. */
function* destroyAll(
  { tenant, environment, subject }: DataSubject,
  sizes: ReadonlySet<number>,
): Generator<Statement, number, readonly Row[]> {
  const params = [tenant, environment, subject];
  for (const bytes of sizes)
    yield {
      sql: "UPDATE payload_key SET sealed = ? WHERE tenant = ? AND environment = ? AND subject = ? AND length(sealed) = ?",
      params: [new Uint8Array(bytes), ...params, bytes],
    };
  const gone = yield {
    sql: "DELETE FROM payload_key WHERE tenant = ? AND environment = ? AND subject = ? RETURNING kid",
    params,
  };
  return gone.length;
}

/** Overwritten in its place first: what a deletion leaves in the file of a database would be the key. */
function* destroy({ tenant, environment }: PayloadPlace, kid: string): Generator<Statement, void, readonly Row[]> {
  const [row] = yield {
    sql: "SELECT sealed FROM payload_key WHERE tenant = ? AND environment = ? AND kid = ?",
    params: [tenant, environment, kid],
  };
  const zeros = new Uint8Array(bytesOf(row?.["sealed"]).length);
  yield {
    sql: "UPDATE payload_key SET sealed = ? WHERE tenant = ? AND environment = ? AND kid = ?",
    params: [zeros, tenant, environment, kid],
  };
  yield {
    sql: "DELETE FROM payload_key WHERE tenant = ? AND environment = ? AND kid = ?",
    params: [tenant, environment, kid],
  };
}

function* record(
  context: CommandContext,
  place: PayloadPlace & { readonly actor: string },
  { subject, keys, reason }: { readonly subject: string; readonly keys: number; readonly reason: string },
): Generator<Statement, void, readonly Row[]> {
  const act = { action: "payload.erase", object: `data-subject/${subject}`, facts: { keys, reason } };
  yield actStatement(context, { ...place, ...act });
}

/** Destroys keys whose time is over and that no hold covers; how many. */
const endPayloadKeys: Command<{ readonly tenant: string }, number> = {
  audit: "payload.expire",
  *body({ tenant }, context) {
    const holds = yield* readHolds(tenant);
    const due = yield {
      sql: "SELECT DISTINCT environment, made_year FROM payload_key WHERE tenant = ? AND ends_at <= ?",
      params: [tenant, context.now],
    };
    for (const row of due) {
      const environment = String(row["environment"]);
      const year = Number(row["made_year"]);
      if (decideHeld(holds, { tenant, environment, year, origin: null }) !== null) continue;
      const rows = yield {
        sql: "SELECT kid FROM payload_key WHERE tenant = ? AND ends_at <= ? AND environment = ? AND made_year = ? ORDER BY ends_at, kid LIMIT ?",
        params: [tenant, context.now, environment, year, endedMax],
      };
      for (const { kid } of rows) yield* destroy({ tenant, environment }, String(kid));
      yield {
        sql: "DELETE FROM payload_key_count WHERE tenant = ? AND environment = ? AND ends_at <= ?",
        params: [tenant, environment, context.now],
      };
      const act = { action: "payload.expire", object: `payload-key/${year}`, facts: { keys: rows.length } };
      yield actStatement(context, { tenant, environment, actor: "built-in", ...act });
      return rows.length;
    }
    return 0;
  },
};

/** Keys that came back with a restore are used again: whoever was erased since the backup was erased again, an operator says. */
const unlockPayloadKeys: Command<{ readonly tenant: string; readonly reason: string; readonly actor: string }, number> =
  {
    audit: "payload.unlock",
    *body({ tenant, reason, actor }, context) {
      const rows = yield {
        sql: "UPDATE payload_key SET locked = 0 WHERE tenant = ? AND locked = 1 RETURNING kid",
        params: [tenant],
      };
      const act = { action: "payload.unlock", object: "payload-key", facts: { keys: rows.length, reason } };
      yield actStatement(context, { tenant, environment: "sallyport", actor, ...act });
      return rows.length;
    },
  };

export const payloadCommands = {
  findPayloadKey,
  addPayloadKey,
  readPayloadKey,
  listPayloadEpochs,
  erasePayloads,
  endPayloadKeys,
  unlockPayloadKeys,
} satisfies CommandTable;
export type PayloadCommands = typeof payloadCommands;
