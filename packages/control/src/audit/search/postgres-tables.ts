// Promises the tables of an index in PostgreSQL, made once however many nodes begin, and made anew when they are of another format: nothing in them is
// not in the log. Trusts the name of the schema to be a plain identifier. Described in docs/audit-search.md "How it is kept".
import { lockKeys } from "@sallyport/kernel/store/postgres-open.ts";

export type Query = (sql: string, values?: readonly unknown[]) => Promise<readonly Readonly<Record<string, unknown>>[]>;

const format = 1;

const tables = [
  "CREATE TABLE head (one int PRIMARY KEY CHECK (one = 1), format int NOT NULL, version bigint NOT NULL, restarts bigint NOT NULL, in_blocks bigint NOT NULL, blocks bigint NOT NULL)",
  "CREATE TABLE origin (no int PRIMARY KEY, origin text NOT NULL UNIQUE, place text NOT NULL, next bigint NOT NULL)",
  "CREATE TABLE block (n bigint PRIMARY KEY, before bigint NOT NULL, count int NOT NULL, min_at bigint NOT NULL, max_at bigint NOT NULL, bytes bigint NOT NULL, hashes bigint[] NOT NULL)",
  "CREATE INDEX block_hashes ON block USING gin (hashes)",
  "CREATE TABLE part (n bigint NOT NULL, part smallint NOT NULL, bytes bytea NOT NULL, PRIMARY KEY (n, part))",
  // Compressed already.
  "ALTER TABLE part ALTER COLUMN bytes SET STORAGE EXTERNAL",
  "CREATE TABLE waiting (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, origin int NOT NULL, idx bigint NOT NULL, at bigint NOT NULL, leaf bytea NOT NULL, intent bytea)",
  "CREATE TABLE open_intent (key text PRIMARY KEY, leaf bytea NOT NULL)",
];

/** Inside a transaction. */
export async function readyTables(query: Query, schema: string): Promise<void> {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(schema)) throw new Error(`${schema} is no name of a schema`);
  await query(`SELECT pg_advisory_xact_lock(${lockKeys(schema).migrate})`);
  const [there] = await query("SELECT to_regclass($1) IS NOT NULL AS head", [`${schema}.head`]);
  if (there?.["head"] === 1) {
    const [head] = await query(`SELECT format FROM ${schema}.head`);
    if (head?.["format"] === format) return;
  }
  await query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await query(`CREATE SCHEMA ${schema}`);
  for (const statement of tables) await query(statement);
  // No version is that of an index that was here before.
  await query(
    "INSERT INTO head (one, format, version, restarts, in_blocks, blocks) SELECT 1, $1, ms, ms, 0, 0 FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS clock",
    [format],
  );
}

/** SQLSTATE of a schema or a table that is not there. */
export const isMissing = (state: string | undefined): boolean => state === "42P01" || state === "3F000";
