// Promises every row of a store as it was at one moment, while others write on: one read transaction, streamed, nothing locked out.
// Trusts SQLite's WAL and PostgreSQL's REPEATABLE READ for the moment. Specified in docs/backup.md "What is in it".
import { DatabaseSync } from "node:sqlite";
import type pg from "pg";
import { StoreFault } from "./fault.ts";
import type { AppliedMigration } from "./migration.ts";
import type { StorePlace } from "./open.ts";
import type { SqlValue } from "./port.ts";
import { postgresFault } from "./postgres-fault.ts";
import { makePool } from "./postgres-open.ts";
import { parsePostgresUrl } from "./postgres-url.ts";
import { printRow, printTable, rowsEnd, type TableHead } from "./rows.ts";
import { busyTimeoutMs, sqliteFault } from "./sqlite-database.ts";
import { type BoundValue, integer } from "./value.ts";

export interface StoreExport {
  readonly dialect: "sqlite" | "postgres";
  readonly schema: readonly AppliedMigration[];
  /** Tables in an order in which rows can be put back: what others refer to comes first. */
  readonly tables: readonly TableHead[];
  /** Rows written so far, by table. */
  readonly counts: Readonly<Record<string, number>>;
  /** The rows in the form of rows.ts; once. */
  content(): AsyncGenerator<Uint8Array, void, void>;
  /** A few rows of the same moment, for example the epoch. */
  read(sql: string): Promise<readonly (readonly SqlValue[])[]>;
  close(): Promise<void>;
}

const limits = { connectionsMax: 1, connectTimeoutMs: 5_000, statementTimeoutMs: 60_000, lockTimeoutMs: 10_000 };
const rowsPerFetch = 200;
const pieceBytes = 262_144;

/** The moment is taken when this resolves. Faults: StoreFault as of the store. */
export function exportStore(place: StorePlace): Promise<StoreExport> {
  return "path" in place ? exportSqlite(place.path) : exportPostgres(place.url, place.schema ?? "sallyport");
}

/** Parents before children; a table that refers to itself or a ring of tables cannot be ordered and is a mistake of ours. */
function inOrder(
  tables: readonly TableHead[],
  parents: ReadonlyMap<string, ReadonlySet<string>>,
): readonly TableHead[] {
  const left = [...tables].sort((a, b) => (a.name < b.name ? -1 : 1));
  const ordered: TableHead[] = [];
  while (left.length > 0) {
    const free = left.findIndex(
      ({ name }) => !left.some((other) => other.name !== name && parents.get(name)?.has(other.name) === true),
    );
    const [next] = left.splice(free, 1);
    if (free < 0 || next === undefined)
      throw new StoreFault("bad-commands-module", "the tables refer to each other in a ring");
    ordered.push(next);
  }
  return ordered;
}

/** Small rows travel together. */
class Gathered {
  #pieces: Buffer[] = [];
  #bytes = 0;

  add(bytes: Buffer): Buffer | null {
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    return this.#bytes >= pieceBytes ? this.take() : null;
  }

  take(): Buffer {
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    return all;
  }
}

async function* printAll(
  tables: readonly TableHead[],
  counts: Record<string, number>,
  rows: (table: TableHead) => AsyncIterable<readonly SqlValue[]>,
): AsyncGenerator<Uint8Array, void, void> {
  const gathered = new Gathered();
  for (const table of tables) {
    counts[table.name] = 0;
    gathered.add(printTable(table));
    for await (const values of rows(table)) {
      counts[table.name] = (counts[table.name] ?? 0) + 1;
      const full = gathered.add(printRow(values));
      if (full !== null) yield full;
    }
  }
  gathered.add(rowsEnd);
  yield gathered.take();
}

async function exportSqlite(path: string): Promise<StoreExport> {
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw sqliteFault(error, path);
    }
  };
  const database = guarded(
    () => new DatabaseSync(path, { timeout: busyTimeoutMs, readOnly: true, allowExtension: false }),
  );
  try {
    const { schema, tables } = guarded(() => sqliteTables(database));
    const counts: Record<string, number> = {};
    return {
      dialect: "sqlite",
      schema,
      tables,
      counts,
      content: () => printAll(tables, counts, (table) => sqliteRows(database, table)),
      read: async (sql) => guarded(() => sqliteArrays(database, sql)),
      close: async () => database.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

function sqliteTables(database: DatabaseSync): Pick<StoreExport, "schema" | "tables"> {
  const all = (sql: string) => sqliteArrays(database, sql);
  // The first read fixes the moment for all that follow.
  database.exec("BEGIN");
  const steps = all("SELECT capability, version, checksum FROM schema_version ORDER BY capability, version");
  const names = all(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'schema_version'",
  );
  const parents = new Map<string, Set<string>>();
  const heads = names.map(([name]) => {
    const table = String(name);
    const references = all(`SELECT "table" FROM pragma_foreign_key_list('${table}')`);
    parents.set(table, new Set(references.map(([to]) => String(to))));
    const columns = all(`SELECT name FROM pragma_table_info('${table}') ORDER BY cid`);
    return { name: table, columns: columns.map(([column]) => String(column)) };
  });
  return { schema: steps.map(appliedOf), tables: inOrder(heads, parents) };
}

function sqliteStatement(database: DatabaseSync, sql: string) {
  const statement = database.prepare(sql);
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  return statement;
}

function sqliteArrays(database: DatabaseSync, sql: string): readonly (readonly SqlValue[])[] {
  // as: with setReturnArrays a row is an array of the values SQLite has.
  const rows = sqliteStatement(database, sql).all() as unknown as BoundValue[][];
  return rows.map((row) => row.map(fromSqlite));
}

async function* sqliteRows(
  database: DatabaseSync,
  { name, columns }: TableHead,
): AsyncGenerator<readonly SqlValue[], void, void> {
  const statement = sqliteStatement(database, `SELECT ${columns.join(", ")} FROM ${name}`);
  // as: as above.
  for (const row of statement.iterate()) yield (row as unknown as BoundValue[]).map(fromSqlite);
}

const fromSqlite = (value: BoundValue): SqlValue => (typeof value === "bigint" ? integer(value) : value);

function appliedOf([capability, version, checksum]: readonly unknown[]): AppliedMigration {
  return { capability: String(capability), version: Number(version), checksum: String(checksum) };
}

async function exportPostgres(url: string, schema: string): Promise<StoreExport> {
  const address = parsePostgresUrl(url);
  const place = `${address.host}:${address.port}/${address.database}`;
  const pool = makePool(address, schema, limits);
  const guarded = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw postgresFault(error, place);
    }
  };
  const client = await guarded(pool.connect());
  const close = async () => {
    // Thrown away, which ends the transaction.
    client.release(true);
    await pool.end();
  };
  try {
    const all = async (text: string, values: readonly string[] = []): Promise<SqlValue[][]> =>
      // as: with rowMode array a row is an array of what postgresParser made.
      (await guarded(client.query({ text, values: [...values], rowMode: "array" }))).rows as SqlValue[][];
    await all("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    // The file may be slower than the server: waiting for it is not being idle.
    await all("SET LOCAL idle_in_transaction_session_timeout = 0");
    const steps = await all("SELECT capability, version, checksum FROM schema_version ORDER BY capability, version");
    const tables = await postgresTables(all, schema);
    const counts: Record<string, number> = {};
    return {
      dialect: "postgres",
      schema: steps.map(appliedOf),
      tables,
      counts,
      content: () => printAll(tables, counts, (table) => postgresRows(client, table, guarded)),
      read: (sql) => all(sql),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function postgresTables(
  all: (text: string, values?: readonly string[]) => Promise<SqlValue[][]>,
  schema: string,
): Promise<readonly TableHead[]> {
  const columns = await all(
    `SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t
      ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE'
      WHERE c.table_schema = $1 AND c.table_name <> 'schema_version' ORDER BY c.table_name, c.ordinal_position`,
    [schema],
  );
  const heads = new Map<string, string[]>();
  for (const [table, column] of columns) {
    const known = heads.get(String(table)) ?? [];
    known.push(String(column));
    heads.set(String(table), known);
  }
  const references = await all(
    `SELECT child.relname, parent.relname FROM pg_constraint k JOIN pg_class child ON child.oid = k.conrelid
      JOIN pg_class parent ON parent.oid = k.confrelid JOIN pg_namespace n ON n.oid = child.relnamespace
      WHERE k.contype = 'f' AND n.nspname = $1`,
    [schema],
  );
  const parents = new Map<string, Set<string>>();
  for (const [child, parent] of references)
    parents.set(String(child), (parents.get(String(child)) ?? new Set()).add(String(parent)));
  return inOrder(
    [...heads].map(([name, names]) => ({ name, columns: names })),
    parents,
  );
}

async function* postgresRows(
  client: pg.PoolClient,
  { name, columns }: TableHead,
  guarded: <T>(work: Promise<T>) => Promise<T>,
): AsyncGenerator<readonly SqlValue[], void, void> {
  await guarded(client.query(`DECLARE rows NO SCROLL CURSOR FOR SELECT ${columns.join(", ")} FROM ${name}`));
  for (;;) {
    const { rows } = await guarded(client.query({ text: `FETCH ${rowsPerFetch} FROM rows`, rowMode: "array" }));
    // as: as above.
    for (const row of rows as SqlValue[][]) yield row;
    if (rows.length < rowsPerFetch) break;
  }
  await guarded(client.query("CLOSE rows"));
}
