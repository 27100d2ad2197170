// Promises the rows of an export in an empty place, on either dialect, at the schema they were taken at, all or none; opening the store brings it forward.
// Trusts no table or column the rows name: they must be exactly those its own migrations make. Specified in docs/backup.md "Restoring".
import { DatabaseSync } from "node:sqlite";
import type pg from "pg";
import { prepareDatabaseFile, systemDirectoryPorts } from "./directory.ts";
import { StoreFault } from "./fault.ts";
import {
  type AppliedMigration,
  type Dialect,
  decideMigrations,
  type Migration,
  type PendingMigration,
  schemaVersionTable,
} from "./migration.ts";
import { loadCommands } from "./module.ts";
import type { SqlValue } from "./port.ts";
import { postgresFault } from "./postgres-fault.ts";
import { checkServer, makePool } from "./postgres-open.ts";
import { parsePostgresUrl } from "./postgres-url.ts";
import { parseRows, type RowEvent, type TableHead } from "./rows.ts";
import { sqliteFault, writerPragmas } from "./sqlite-database.ts";
import { bindValues } from "./value.ts";

export interface ImportOptions {
  /** The commands module whose migrations these are. */
  readonly commands: URL;
  /** What the export says of itself. */
  readonly from: { readonly dialect: Dialect; readonly schema: readonly AppliedMigration[] };
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly content: AsyncIterable<Uint8Array>;
}

export type ImportCounts = Readonly<Record<string, number>>;

const rowsPerInsert = 200;
const parametersMax = 30_000;
const insertBytesMax = 4_194_304;
const limits = { connectionsMax: 1, connectTimeoutMs: 5_000, statementTimeoutMs: 60_000, lockTimeoutMs: 10_000 };

/** The steps that make the schema of an export, for another dialect too. Pure. Faults: `schema-newer`, `schema-changed`. */
export function stepsOf(
  known: readonly Migration[],
  from: ImportOptions["from"],
  dialect: Dialect,
): readonly PendingMigration[] {
  // Judged in the dialect it was taken from: checksums are of that one's statements.
  decideMigrations(known, from.schema, from.dialect);
  const there = new Set(from.schema.map(({ capability, version }) => `${capability} ${version}`));
  return decideMigrations(
    known.filter(({ capability, version }) => there.has(`${capability} ${version}`)),
    [],
    dialect,
  );
}

/** Rows gathered for one INSERT. */
interface Batch {
  readonly table: TableHead;
  readonly rows: readonly (readonly SqlValue[])[];
}

function sizeOf(value: SqlValue): number {
  return typeof value === "string" || value instanceof Uint8Array ? value.length : 8;
}

/** Throws unless the tables are exactly those that are there, each with exactly its columns, each once. */
class TableCheck {
  readonly #left: Map<string, string>;

  constructor(there: readonly TableHead[]) {
    this.#left = new Map(there.map(({ name, columns }) => [name, [...columns].sort().join()]));
  }

  take({ name, columns }: TableHead): void {
    if (this.#left.get(name) !== [...columns].sort().join())
      throw new StoreFault("bad-value", `the rows are of a table ${name} that this schema does not have in this form`);
    this.#left.delete(name);
  }

  end(): void {
    if (this.#left.size > 0)
      throw new StoreFault("bad-value", `the rows lack the table ${[...this.#left.keys()].join(", ")}`);
  }
}

/** Rows in batches, tables checked. */
async function* batches(events: AsyncIterable<RowEvent>, check: TableCheck): AsyncGenerator<Batch, void, void> {
  let table: TableHead | null = null;
  let rows: (readonly SqlValue[])[] = [];
  let bytes = 0;
  for await (const event of events) {
    if (event.kind === "table") {
      if (table !== null && rows.length > 0) yield { table, rows };
      check.take(event.table);
      table = event.table;
      rows = [];
      bytes = 0;
      continue;
    }
    rows.push(event.values);
    bytes += event.values.reduce<number>((sum, value) => sum + sizeOf(value), 0);
    const isFull = rows.length >= rowsPerInsert || bytes >= insertBytesMax;
    if (table === null || !(isFull || (rows.length + 1) * table.columns.length > parametersMax)) continue;
    yield { table, rows };
    rows = [];
    bytes = 0;
  }
  if (table !== null && rows.length > 0) yield { table, rows };
  check.end();
}

/** Into a new SQLite file; its folder is made (0700). Faults: StoreFault. */
export async function importSqlite(path: string, options: ImportOptions): Promise<ImportCounts> {
  const { migrations } = await loadCommands(options.commands.href);
  const steps = stepsOf(migrations, options.from, "sqlite");
  prepareDatabaseFile(path, systemDirectoryPorts);
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, allowExtension: false });
  try {
    database.exec(`${writerPragmas} BEGIN IMMEDIATE`);
    database.exec(schemaVersionTable("sqlite"));
    const record = database.prepare(
      "INSERT INTO schema_version (capability, version, name, checksum, applied_at) VALUES (?, ?, ?, ?, ?)",
    );
    for (const step of steps) {
      for (const statement of step.statements) database.exec(statement);
      record.run(step.capability, step.version, step.name, step.checksum, BigInt(options.now));
    }
    const counts = await fillSqlite(database, options.content);
    database.exec("COMMIT");
    const [bad] = database.prepare("PRAGMA foreign_key_check").all();
    if (bad !== undefined) throw new StoreFault("constraint", "a row refers to one that is not there");
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return counts;
  } catch (error) {
    throw sqliteFault(error, path);
  } finally {
    database.close();
  }
}

async function fillSqlite(database: DatabaseSync, content: AsyncIterable<Uint8Array>): Promise<ImportCounts> {
  const names = database
    .prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'schema_version'",
    )
    .all()
    .map((row) => String(row["name"]));
  const heads = names.map((name) => ({
    name,
    columns: database
      .prepare(`SELECT name FROM pragma_table_info('${name}')`)
      .all()
      .map((row) => String(row["name"])),
  }));
  const counts: Record<string, number> = Object.fromEntries(names.map((name) => [name, 0]));
  for await (const { table, rows } of batches(parseRows(content), new TableCheck(heads))) {
    const { name, columns } = table;
    const insert = database.prepare(
      `INSERT INTO ${name} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
    );
    for (const values of rows) insert.run(...bindValues(values, columns.length));
    counts[name] = (counts[name] ?? 0) + rows.length;
  }
  return counts;
}

/** Into a new schema of a PostgreSQL database, in one transaction. Faults: StoreFault, `constraint` when the schema is there. */
export async function importPostgres(
  place: { readonly url: string; readonly schema: string },
  options: ImportOptions,
): Promise<ImportCounts> {
  const { migrations } = await loadCommands(options.commands.href);
  const steps = stepsOf(migrations, options.from, "postgres");
  return withClient(place.url, place.schema, async (client) => {
    await client.query("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0");
    // The name was checked to be a plain lower-case identifier.
    await client.query(`CREATE SCHEMA ${schemaName(place.schema)}`);
    await client.query(schemaVersionTable("postgres"));
    for (const step of steps) {
      for (const statement of step.statements) await client.query(statement);
      await client.query(
        "INSERT INTO schema_version (capability, version, name, checksum, applied_at) VALUES ($1, $2, $3, $4, $5)",
        [step.capability, step.version, step.name, step.checksum, options.now],
      );
    }
    const counts = await fillPostgres(client, place.schema, options.content);
    await client.query("COMMIT");
    return counts;
  });
}

async function fillPostgres(
  client: pg.PoolClient,
  schema: string,
  content: AsyncIterable<Uint8Array>,
): Promise<ImportCounts> {
  const { rows: columns } = await client.query(
    "SELECT table_name, column_name, is_identity FROM information_schema.columns WHERE table_schema = $1 AND table_name <> 'schema_version'",
    [schema],
  );
  const heads = new Map<string, string[]>();
  for (const { table_name: table, column_name: column } of columns)
    heads.set(table, [...(heads.get(table) ?? []), column]);
  const counts: Record<string, number> = Object.fromEntries([...heads.keys()].map((name) => [name, 0]));
  const check = new TableCheck([...heads].map(([name, names]) => ({ name, columns: names })));
  for await (const { table, rows } of batches(parseRows(content), check)) {
    const width = table.columns.length;
    const places = rows.map((_, row) => `(${table.columns.map((_column, i) => `$${row * width + i + 1}`).join(", ")})`);
    // Names were checked against the catalogue just above.
    const text = `INSERT INTO ${table.name} (${table.columns.join(", ")}) OVERRIDING SYSTEM VALUE VALUES ${places.join(", ")}`;
    await client.query({ text, values: rows.flatMap((values) => bindValues(values, width)) });
    counts[table.name] = (counts[table.name] ?? 0) + rows.length;
  }
  for (const { table_name: table, column_name: column, is_identity: identity } of columns)
    if (identity === "YES")
      await client.query(
        `SELECT setval(pg_get_serial_sequence('${table}', '${column}'), (SELECT coalesce(max(${column}), 0) + 1 FROM ${table}), false)`,
      );
  return counts;
}

/** Is there a table in this schema? */
export async function isSchemaEmpty(url: string, schema: string): Promise<boolean> {
  return withClient(url, schema, async (client) => {
    const { rows } = await client.query(
      "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 LIMIT 1",
      [schema],
    );
    return rows.length === 0;
  });
}

/** Gives a filled schema its name in one step; one of that name may be there only if it is empty. */
export async function renameSchema(url: string, from: string, to: string): Promise<void> {
  await withClient(url, from, async (client) => {
    await client.query("BEGIN");
    // Without CASCADE: fails when anything is in it.
    await client.query(`DROP SCHEMA IF EXISTS ${schemaName(to)}`);
    await client.query(`ALTER SCHEMA ${schemaName(from)} RENAME TO ${schemaName(to)}`);
    await client.query("COMMIT");
  });
}

/** Removes what a restore that did not come to its end left behind. */
export async function dropSchema(url: string, schema: string): Promise<void> {
  await withClient(
    url,
    schema,
    async (client) => void (await client.query(`DROP SCHEMA IF EXISTS ${schemaName(schema)} CASCADE`)),
  );
}

function schemaName(name: string): string {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(name))
    throw new StoreFault("bad-url", "the schema name must be lower-case letters, digits and _");
  return name;
}

async function withClient<T>(url: string, schema: string, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const address = parsePostgresUrl(url);
  const place = `${address.host}:${address.port}/${address.database}`;
  const pool = makePool(address, schemaName(schema), limits);
  let client: pg.PoolClient | null = null;
  try {
    await checkServer(pool, place);
    client = await pool.connect();
    return await work(client);
  } catch (error) {
    throw postgresFault(error, place);
  } finally {
    // Thrown away: what it did not commit is undone.
    client?.release(true);
    await pool.end();
  }
}
