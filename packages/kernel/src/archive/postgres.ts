// Promises an archive in PostgreSQL: one row with one packed bytea per object, never a row per record, and all writers one after another behind one row.
// Trusts COMMIT, and this program alone to keep what is retained. Described in docs/archive.md "PostgreSQL".
import { createHash } from "node:crypto";
import type pg from "pg";
import type { Clock } from "../ports.ts";
import { StoreFault } from "../store/fault.ts";
import type { Migration } from "../store/migration.ts";
import { isDisconnect, postgresFault, sqlState } from "../store/postgres-fault.ts";
import { checkServer, makePool, migratePostgres } from "../store/postgres-open.ts";
import { parsePostgresUrl } from "../store/postgres-url.ts";
import { ArchiveFault } from "./fault.ts";
import { type ArchiveStore, assertContent, assertName, assertPrefix, type Keeping, listMax } from "./port.ts";

export interface PostgresArchiveOptions {
  /** `postgres://user:password@host:port/database`; a server on another machine is always verified. */
  readonly url: string;
  readonly schema: string;
  readonly clock: Pick<Clock, "now">;
}

/** 64 MiB take their time on a slow line. */
const limits = { connectionsMax: 2, connectTimeoutMs: 5_000, statementTimeoutMs: 120_000, lockTimeoutMs: 30_000 };
/** What is read comes in pieces of this size: hexadecimal on the wire, so twice as much of memory. */
const pieceBytes = 4_194_304;

const migrations: readonly Migration[] = [
  {
    capability: "archive",
    version: 1,
    name: "archived objects behind one coordinator row",
    up: (t) => [
      `CREATE TABLE archive_coordinator (id ${t.integer} PRIMARY KEY CHECK (id = 1)) ${t.table}`,
      "INSERT INTO archive_coordinator (id) VALUES (1)",
      `CREATE TABLE archive_object (name ${t.text} PRIMARY KEY, content ${t.blob} NOT NULL, put_at ${t.integer} NOT NULL, retain_until ${t.integer}, held ${t.integer} NOT NULL) ${t.table}`,
      // Stored as they are: a piece of an object is read without unpacking the whole.
      "ALTER TABLE archive_object ALTER COLUMN content SET STORAGE EXTERNAL",
    ],
  },
];

/** Opens, checks and prepares the schema. Rejects with ArchiveFault. */
export async function openPostgresArchive(options: PostgresArchiveOptions): Promise<ArchiveStore> {
  const { url, schema, clock } = options;
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(schema))
    throw new ArchiveFault("archive-refused", "the schema name must be lower-case letters, digits and _");
  try {
    const address = parsePostgresUrl(url);
    const place = `${address.host}:${address.port}/${address.database} schema ${schema}`;
    const pool = makePool(address, schema, limits);
    try {
      await checkServer(pool, place);
      await migratePostgres(pool, { schema, migrations, now: clock.now(), pendingSteps: "apply" });
    } catch (error) {
      await pool.end();
      throw postgresFault(error, place);
    }
    return archiveOver(new ArchiveRows(pool, place, clock));
  } catch (error) {
    throw faultOf(error, "the archive in PostgreSQL");
  }
}

function archiveOver(rows: ArchiveRows): ArchiveStore {
  return {
    kind: "postgres",
    place: rows.place,
    put: (name, bytes, keeping) => rows.put(name, bytes, keeping),
    get: (name, range) => rows.get(name, range),
    stat: (name) => rows.stat(name),
    list: (query) => rows.list(query),
    swap: (name, change) => rows.swap(name, change),
    retain: async (name, until) => {
      assertName(name);
      await rows.change(
        "UPDATE archive_object SET retain_until = greatest(coalesce(retain_until, 0), $2) WHERE name = $1",
        [name, until],
      );
    },
    hold: async (name, held) => {
      assertName(name);
      await rows.change("UPDATE archive_object SET held = $2 WHERE name = $1", [name, held ? 1 : 0]);
    },
    remove: (name) => rows.remove(name),
    health: async () => {
      await rows.query("SELECT 1");
      return { freeBytes: null, keptBy: "program" };
    },
    close: () => rows.close(),
  };
}

class ArchiveRows {
  readonly place: string;
  readonly #pool: pg.Pool;
  readonly #clock: Pick<Clock, "now">;

  constructor(pool: pg.Pool, place: string, clock: Pick<Clock, "now">) {
    this.#pool = pool;
    this.place = place;
    this.#clock = clock;
  }

  async query(text: string, values: readonly unknown[] = []): Promise<pg.QueryResult> {
    try {
      return await this.#pool.query(text, [...values]);
    } catch (error) {
      throw faultOf(postgresFault(error, this.place), this.place);
    }
  }

  /** One statement behind the coordinator row. */
  async change(text: string, values: readonly unknown[]): Promise<void> {
    await this.#alone((client) => client.query(text, [...values]));
  }

  async put(name: string, bytes: Uint8Array, keeping: Keeping): Promise<"stored" | "same"> {
    assertName(name);
    assertContent(bytes);
    return this.#alone(async (client) => {
      const there = await client.query("SELECT sha256(content) AS hash FROM archive_object WHERE name = $1", [name]);
      if (there.rowCount === 0) {
        await client.query(
          "INSERT INTO archive_object (name, content, put_at, retain_until, held) VALUES ($1, $2, $3, $4, $5)",
          [name, Buffer.from(bytes), this.#clock.now(), keeping.retainUntil, keeping.held ? 1 : 0],
        );
        return "stored";
      }
      if (!createHash("sha256").update(bytes).digest().equals(Buffer.from(there.rows[0].hash)))
        throw new ArchiveFault(
          "archive-differs",
          `${name} in ${this.place} holds other bytes than those to be archived under this name; it was left as it is. Two logs archive under one name, or the row was changed: sallyport audit fetch and audit verify say which`,
        );
      await client.query(
        "UPDATE archive_object SET retain_until = greatest(retain_until, $2), held = greatest(held, $3) WHERE name = $1",
        [name, keeping.retainUntil, keeping.held ? 1 : 0],
      );
      return "same";
    });
  }

  async get(name: string, range?: { readonly from: number; readonly length: number }): Promise<Uint8Array | null> {
    assertName(name);
    const { rows } = await this.query("SELECT length(content) AS bytes FROM archive_object WHERE name = $1", [name]);
    if (rows.length === 0) return null;
    const from = range?.from ?? 0;
    const end = Math.min(Number(rows[0].bytes), from + (range?.length ?? Number(rows[0].bytes)));
    const pieces: Uint8Array[] = [];
    for (let at = from; at < end; at += pieceBytes) {
      const piece = await this.query(
        "SELECT substring(content from $2::int for $3::int) AS piece FROM archive_object WHERE name = $1",
        [name, at + 1, Math.min(pieceBytes, end - at)],
      );
      // Removed meanwhile: then it is not there.
      if (piece.rows.length === 0) return null;
      pieces.push(piece.rows[0].piece);
    }
    return new Uint8Array(Buffer.concat(pieces));
  }

  async stat(name: string) {
    assertName(name);
    const { rows } = await this.query(
      "SELECT length(content) AS bytes, sha256(content) AS hash, retain_until, held FROM archive_object WHERE name = $1",
      [name],
    );
    if (rows.length === 0) return null;
    const { bytes, hash, retain_until: retainUntil, held } = rows[0];
    return {
      bytes: Number(bytes),
      sha256: Buffer.from(hash).toString("hex"),
      retainUntil: retainUntil === null ? null : Number(retainUntil),
      held: held === 1,
    };
  }

  async list({ prefix, after = "", max }: Parameters<ArchiveStore["list"]>[0]) {
    assertPrefix(prefix);
    const { rows } = await this.query(
      "SELECT name, length(content) AS bytes FROM archive_object WHERE name > $1 AND starts_with(name, $2) ORDER BY name LIMIT $3",
      [after, prefix, Math.min(max, listMax)],
    );
    return rows.map(({ name, bytes }) => ({ name: String(name), bytes: Number(bytes) }));
  }

  async swap(name: string, { expected, next }: Parameters<ArchiveStore["swap"]>[1]): Promise<boolean> {
    assertName(name);
    assertContent(next);
    return this.#alone(async (client) => {
      const { rows } = await client.query("SELECT content FROM archive_object WHERE name = $1", [name]);
      const there = rows.length === 0 ? null : Buffer.from(rows[0].content);
      if (there === null || expected === null ? there !== expected : !there.equals(expected)) return false;
      await client.query(
        "INSERT INTO archive_object (name, content, put_at, retain_until, held) VALUES ($1, $2, $3, NULL, 0) ON CONFLICT (name) DO UPDATE SET content = excluded.content, put_at = excluded.put_at",
        [name, Buffer.from(next), this.#clock.now()],
      );
      return true;
    });
  }

  async remove(name: string): Promise<"removed" | "absent"> {
    assertName(name);
    return this.#alone(async (client) => {
      const { rows } = await client.query("SELECT retain_until, held FROM archive_object WHERE name = $1", [name]);
      if (rows.length === 0) return "absent";
      const { retain_until: retainUntil, held } = rows[0];
      if (held !== 0) throw new ArchiveFault("archive-held", `${name} in ${this.place} is under a legal hold`);
      if (retainUntil !== null && Number(retainUntil) > this.#clock.now())
        throw new ArchiveFault(
          "archive-retained",
          `${name} in ${this.place} is retained until ${new Date(Number(retainUntil)).toISOString()}`,
        );
      await client.query("DELETE FROM archive_object WHERE name = $1", [name]);
      return "removed";
    });
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  /** Alone among all writers of this archive, on whatever node: the coordinator row is theirs one after another. */
  async #alone<T>(act: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    let client: pg.PoolClient | null = null;
    let isClean = false;
    try {
      client = await this.#pool.connect();
      await client.query("BEGIN ISOLATION LEVEL READ COMMITTED");
      await client.query("SELECT id FROM archive_coordinator WHERE id = 1 FOR UPDATE");
      const result = await act(client);
      // COMMIT of a failed transaction answers ROLLBACK instead of an error.
      const { command } = await client.query("COMMIT");
      if (command !== "COMMIT") throw new ArchiveFault("archive-unreachable", `${this.place} rolled the change back`);
      isClean = true;
      return result;
    } catch (error) {
      throw faultOf(postgresFault(error, this.place), this.place);
    } finally {
      // A client whose transaction failed is thrown away, which rolls back.
      client?.release(!isClean);
    }
  }
}

function faultOf(error: unknown, place: string): unknown {
  if (!(error instanceof StoreFault)) return error;
  const cause = error.cause;
  if (error.code === "disk-full") return new ArchiveFault("archive-full", error.internal, error);
  if (error.code === "not-durable") return new ArchiveFault("archive-unsuitable", error.internal, error);
  const isRefused = /^(?:28|42501|3D000)/.test(sqlState(cause) ?? "") || error.code === "bad-url";
  if (isRefused) return new ArchiveFault("archive-refused", error.internal, error);
  const isPassing =
    isDisconnect(cause) || ["store-unreachable", "store-locked", "store-timeout", "conflict"].includes(error.code);
  return new ArchiveFault(
    isPassing ? "archive-unreachable" : "archive-refused",
    isPassing ? error.internal : `${place}: ${error.internal}`,
    error,
  );
}
