// Promises one writer and one reader connection on a checked database: WAL, synchronous=FULL, foreign keys, busy timeout, migrated.
// Trusts SQLite >= 3.51.3 (the WAL-reset fix) inside Node. Pragmas: sqlite.org/pragma.html.
import { DatabaseSync } from "node:sqlite";
import { StoreFault } from "./fault.ts";
import { assertSteps, decideMigrations, type Migration, type PendingSteps, schemaVersionTable } from "./migration.ts";

export const busyTimeoutMs = 5_000;
const pageBytes = 4_096;
/** `secure_delete`: pages that are divided or joined leave copies of rows behind, which nobody could overwrite when a row is to be gone for good. */
export const writerPragmas =
  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;";

export interface Connections {
  readonly writer: DatabaseSync;
  /** Opened read-only: what runs here cannot change anything, and sees only what is committed. */
  readonly reader: DatabaseSync;
}

export interface OpenSqlite {
  readonly path: string;
  readonly migrations: readonly Migration[];
  /** Milliseconds since the epoch, written beside applied migrations. */
  readonly now: number;
  readonly pendingSteps?: PendingSteps;
  /** Upper bound of the file; absent: the disk is the bound. */
  readonly databaseBytesMax?: number;
}

/** Opens, checks and migrates. Throws StoreFault `store-corrupt`, `schema-newer`, `schema-changed`, `store-locked`, `disk-full` or `store-io`. */
export function openSqlite(options: OpenSqlite): Connections {
  const opened: DatabaseSync[] = [];
  try {
    const writer = new DatabaseSync(options.path, {
      timeout: busyTimeoutMs,
      enableForeignKeyConstraints: true,
      allowExtension: false,
    });
    opened.push(writer);
    prepareWriter(writer, options);
    migrate(writer, options);
    const reader = new DatabaseSync(options.path, { timeout: busyTimeoutMs, readOnly: true, allowExtension: false });
    opened.push(reader);
    return { writer, reader };
  } catch (error) {
    for (const database of opened) database.close();
    throw sqliteFault(error, options.path);
  }
}

function prepareWriter(writer: DatabaseSync, options: OpenSqlite): void {
  const [check] = writer.prepare("PRAGMA quick_check(1)").all();
  if (check?.quick_check !== "ok") throw corrupt(options.path, String(check?.quick_check));
  writer.exec(writerPragmas);
  const mode = writer.prepare("PRAGMA journal_mode").get()?.journal_mode;
  if (mode !== "wal")
    throw new StoreFault(
      "store-io",
      `${options.path} cannot use a write-ahead log (journal_mode is ${String(mode)}): is it on a local disk?`,
    );
  if (options.databaseBytesMax !== undefined)
    writer.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(options.databaseBytesMax / pageBytes))}`);
}

/** All missing steps in one transaction under the write lock: of two processes starting at once, the second finds them done. */
function migrate(writer: DatabaseSync, { migrations, now, pendingSteps = "apply" }: OpenSqlite): void {
  writer.exec("BEGIN IMMEDIATE");
  try {
    writer.exec(schemaVersionTable("sqlite"));
    const applied = writer.prepare("SELECT capability, version, checksum FROM schema_version").all();
    const rows = applied.map((row) => ({
      capability: String(row.capability),
      version: Number(row.version),
      checksum: String(row.checksum),
    }));
    const record = writer.prepare(
      "INSERT INTO schema_version (capability, version, name, checksum, applied_at) VALUES (?, ?, ?, ?, ?)",
    );
    const pending = decideMigrations(migrations, rows, "sqlite");
    assertSteps(pending, pendingSteps);
    for (const step of pending) {
      for (const statement of step.statements) writer.exec(statement);
      record.run(step.capability, step.version, step.name, step.checksum, BigInt(now));
    }
    writer.exec("COMMIT");
  } catch (error) {
    if (writer.isTransaction) writer.exec("ROLLBACK");
    throw error;
  }
}

function corrupt(path: string, found: string): StoreFault {
  return new StoreFault(
    "store-corrupt",
    `${path} is damaged or no SQLite database (${found}): nothing was changed. Keep the file and its -wal aside and restore the newest backup (sallyport restore)`,
  );
}

/** Primary result code of a node:sqlite error; 0 for anything else. sqlite.org/rescode.html */
export function sqliteCode(error: unknown): number {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : 0;
}

/** An error of node:sqlite as a fault; everything else comes back as it is. SQLite's messages name tables and columns, never values. */
export function sqliteFault(error: unknown, place: string): unknown {
  if (error instanceof StoreFault || !(error instanceof Error)) return error;
  const because = { cause: error };
  switch (sqliteCode(error)) {
    case 0:
      return error;
    case 5: // BUSY
    case 6: // LOCKED
      return new StoreFault(
        "store-locked",
        `${place}: another process held the write lock for ${busyTimeoutMs} ms; is a second sallyport running on this directory?`,
        because,
      );
    case 8: // READONLY
      return new StoreFault("read-wrote", `${place}: a read tried to change rows`, because);
    case 10: // IOERR
      return new StoreFault(
        "store-io",
        `${place}: the disk failed (${error.message}): look at the kernel log, then start again`,
        because,
      );
    case 11: // CORRUPT
    case 26: // NOTADB
      return corrupt(place, error.message);
    case 13: // FULL
      return new StoreFault(
        "disk-full",
        `${place}: no space left; nothing of this change was kept. Free some space, it goes on by itself`,
        because,
      );
    case 14: // CANTOPEN
      return new StoreFault(
        "directory-missing",
        `${place} cannot be opened: check that the directory exists and may be written`,
        because,
      );
    case 19: // CONSTRAINT
      return new StoreFault("constraint", error.message, because);
    case 20: // MISMATCH
      return new StoreFault("bad-value", error.message, because);
    default:
      return new StoreFault("bad-statement", `${error.message} (SQLite ${sqliteCode(error)})`, because);
  }
}
