// Promises a bounded pool to a server that keeps what it acknowledges, migrated once however many nodes start. Trusts the server's settings as it shows them.
// Settings: PostgreSQL manual §19.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import type pg from "pg";
import { StoreFault } from "./fault.ts";
import { assertSteps, decideMigrations, type Migration, type PendingSteps, schemaVersionTable } from "./migration.ts";
import type { PostgresAddress } from "./postgres-url.ts";
import { postgresParser } from "./value.ts";

export interface PostgresLimits {
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
}

/** Loaded with the first pool: most installations have none, and the code of roles names both dialects. */
function loadDriver(): typeof pg {
  // What the package declares of itself; `require` is untyped.
  return createRequire(import.meta.url)("pg") as typeof pg;
}

const serverVersionMin = 140_000;

/** Advisory lock keys of one schema: they are per database, so two schemas must not share them. */
export function lockKeys(schema: string): { readonly gate: bigint; readonly migrate: bigint } {
  const digest = createHash("sha256").update(`sallyport ${schema}`).digest();
  return { gate: digest.readBigInt64BE(0), migrate: digest.readBigInt64BE(8) };
}

/** Bounded pool; every session has the settings the value mapping and durability rely on, whatever the server's defaults. */
export function makePool(address: PostgresAddress, schema: string, limits: PostgresLimits): pg.Pool {
  const settings = {
    search_path: schema,
    synchronous_commit: "on",
    standard_conforming_strings: "on",
    bytea_output: "hex",
    client_encoding: "UTF8",
    lock_timeout: limits.lockTimeoutMs,
    statement_timeout: limits.statementTimeoutMs,
    idle_in_transaction_session_timeout: limits.statementTimeoutMs,
  };
  const { Pool } = loadDriver();
  const pool = new Pool({
    host: address.host,
    port: address.port,
    user: address.user,
    password: address.password,
    database: address.database,
    ssl: address.ssl,
    max: limits.connectionsMax,
    connectionTimeoutMillis: limits.connectTimeoutMs,
    application_name: "sallyport",
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(" "),
    types: { getTypeParser: (oid: number) => postgresParser(oid) },
  });
  // A connection that breaks while nobody uses it must not end the process; the next query meets the fact.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

/** Throws StoreFault `not-durable` or `bad-url` when the server cannot keep the store's promises. */
export async function checkServer(pool: pg.Pool, place: string): Promise<void> {
  const { rows } = await pool.query(
    "SELECT current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync",
  );
  const { version, encoding, fsync } = rows[0];
  if (Number(version) < serverVersionMin)
    throw new StoreFault("bad-url", `PostgreSQL at ${place} is version ${version}: 14 or newer is needed`);
  if (encoding !== "UTF8")
    throw new StoreFault(
      "bad-url",
      `the database at ${place} is encoded in ${encoding}: create it with ENCODING 'UTF8'`,
    );
  if (fsync !== "on")
    throw new StoreFault(
      "not-durable",
      `PostgreSQL at ${place} runs with fsync = ${fsync}: acknowledged changes could be lost. Set fsync = on`,
    );
}

/** All missing steps in one transaction; of several nodes starting at once one applies them and the others wait and find them done. */
export async function migratePostgres(
  pool: pg.Pool,
  options: {
    readonly schema: string;
    readonly migrations: readonly Migration[];
    readonly now: number;
    readonly pendingSteps: PendingSteps;
  },
): Promise<void> {
  const client = await pool.connect();
  let done = false;
  try {
    await client.query("BEGIN");
    await client.query(`SELECT pg_advisory_xact_lock(${lockKeys(options.schema).migrate})`);
    // The name was checked to be a plain lower-case identifier.
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${options.schema}`);
    await client.query(schemaVersionTable("postgres"));
    const { rows } = await client.query("SELECT capability, version, checksum FROM schema_version");
    const pending = decideMigrations(options.migrations, rows, "postgres");
    assertSteps(pending, options.pendingSteps);
    for (const step of pending) {
      for (const statement of step.statements) await client.query(statement);
      await client.query(
        "INSERT INTO schema_version (capability, version, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)",
        [step.capability, step.version, step.name, step.checksum, options.now],
      );
    }
    await client.query("COMMIT");
    done = true;
  } finally {
    // A client whose transaction failed is thrown away, which rolls back.
    client.release(!done);
  }
}
