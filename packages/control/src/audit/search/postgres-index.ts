// Promises an index in a schema of its own in control's PostgreSQL, shared by all control nodes: each writes what it holds, one at a time behind the row
// `head`, and sees what others wrote. Trusts the server for transactions, and block.ts for checksums. Described in docs/audit-search.md "How it is kept".
import { StoreFault } from "@sallyport/kernel/store/fault.ts";
import { postgresFault, sqlState } from "@sallyport/kernel/store/postgres-fault.ts";
import { makePool } from "@sallyport/kernel/store/postgres-open.ts";
import { parsePostgresUrl } from "@sallyport/kernel/store/postgres-url.ts";
import { BlockDamaged } from "./block.ts";
import type { BlockMeta, Commit, IndexState, IndexStore, NewBlock, Shelf } from "./index-store.ts";
import { isMissing, type Query, readyTables } from "./postgres-tables.ts";

/** Blocks of a shelf: what goes first when there is no more room. */
export const shelfBlocks = 1_024;
const limits = { connectionsMax: 3, connectTimeoutMs: 5_000, statementTimeoutMs: 30_000, lockTimeoutMs: 10_000 };
/** Parts of a block: these, and its groups of leaves from 16 on. */
const partNumbers = { places: 0, terms: 1, ids: 2 } as const;
const firstGroup = 16;

export interface PostgresIndexOptions {
  readonly url: string;
  /** Of the index itself: nothing else lies there. */
  readonly schema: string;
  readonly now: () => number;
  /** All blocks together; the oldest shelves go. */
  readonly bytesMax: number;
  readonly keepMs: number;
}

export class PostgresIndex implements IndexStore {
  readonly #options: PostgresIndexOptions;
  readonly #pool: ReturnType<typeof makePool>;
  readonly #place: string;
  #ready: Promise<void> | null = null;
  #restarts = 0;
  /** Full shelves do not change: asked for once. */
  #full = new Map<number, Shelf>();

  /** Connects when it is first asked. Throws StoreFault `bad-url`. */
  constructor(options: PostgresIndexOptions) {
    const address = parsePostgresUrl(options.url);
    this.#options = options;
    this.#place = `${address.host}:${address.port}/${address.database}`;
    this.#pool = makePool(address, options.schema, limits);
  }

  get restarts(): number {
    return this.#restarts;
  }

  load(): Promise<IndexState> {
    return this.#transaction("REPEATABLE READ READ ONLY", async (query) => {
      const [head] = await query("SELECT version, restarts, in_blocks FROM head");
      const origins = await query("SELECT no, origin, place, next FROM origin ORDER BY no");
      const waiting = await query("SELECT origin, idx, at, leaf, intent FROM waiting ORDER BY n");
      const intents = await query("SELECT key, leaf FROM open_intent");
      const restarts = numberOf(head?.["restarts"]);
      if (restarts !== this.#restarts) this.#full = new Map();
      this.#restarts = restarts;
      return {
        version: numberOf(head?.["version"]),
        inBlocks: numberOf(head?.["in_blocks"]),
        origins: origins.map((row) => ({
          ...{ no: numberOf(row["no"]), origin: String(row["origin"]), place: String(row["place"]) },
          next: numberOf(row["next"]),
        })),
        waiting: waiting.map((row) => ({
          ...{ origin: numberOf(row["origin"]), index: numberOf(row["idx"]), at: numberOf(row["at"]) },
          leaf: bytesOf(row["leaf"]),
          intent: row["intent"] === null ? null : bytesOf(row["intent"]),
        })),
        intents: intents.map((row) => ({ key: String(row["key"]), leaf: bytesOf(row["leaf"]) })),
      };
    });
  }

  async changedSince(version: number): Promise<boolean> {
    const [head] = await this.#query("SELECT version FROM head", []);
    return numberOf(head?.["version"]) !== version;
  }

  commit(version: number, { origin, block, waiting, intents }: Commit): Promise<boolean> {
    return this.#transaction("READ COMMITTED", async (query) => {
      const [head] = await query("SELECT version, blocks FROM head FOR UPDATE");
      if (numberOf(head?.["version"]) !== version) return false;
      // What is lost with the server's memory comes again from the log, data and place together.
      await query("SET LOCAL synchronous_commit = off");
      if (block !== null) await addBlock(query, numberOf(head?.["blocks"]), block);
      if (waiting.length > 0)
        await query(
          "INSERT INTO waiting (origin, idx, at, leaf, intent) SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[])",
          [
            ...[waiting.map((row) => row.origin), waiting.map((row) => row.index), waiting.map((row) => row.at)],
            waiting.map((row) => bufferOf(row.leaf)),
            waiting.map((row) => (row.intent === null ? null : bufferOf(row.intent))),
          ],
        );
      if (intents.opened.length > 0)
        await query(
          "INSERT INTO open_intent (key, leaf) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET leaf = excluded.leaf",
          [intents.opened.map(({ key }) => key), intents.opened.map(({ leaf }) => bufferOf(leaf))],
        );
      if (intents.ended.length > 0) await query("DELETE FROM open_intent WHERE key = ANY($1::text[])", [intents.ended]);
      await query(
        "INSERT INTO origin (no, origin, place, next) VALUES ($1, $2, $3, $4) ON CONFLICT (no) DO UPDATE SET next = excluded.next, place = excluded.place",
        [origin.no, origin.origin, origin.place, origin.next],
      );
      await query("UPDATE head SET version = version + 1");
      if (block !== null && (numberOf(head?.["blocks"]) + 1) % shelfBlocks === 0) await this.#trim(query);
      return true;
    });
  }

  /** Removes whole shelves from the oldest on while all are too large, or their newest record is too old. */
  async #trim(query: Query): Promise<void> {
    const shelves = await query(
      "SELECT n / $1 AS shelf, sum(bytes) AS bytes, max(max_at) AS max_at FROM block GROUP BY 1 ORDER BY 1",
      [shelfBlocks],
    );
    let bytes = shelves.reduce((sum, row) => sum + numberOf(row["bytes"]), 0);
    const oldest = this.#options.now() - this.#options.keepMs;
    for (const row of shelves) {
      if (bytes <= this.#options.bytesMax && numberOf(row["max_at"]) >= oldest) return;
      const end = (numberOf(row["shelf"]) + 1) * shelfBlocks;
      bytes -= numberOf(row["bytes"]);
      for (const table of ["part", "block"]) await query(`DELETE FROM ${table} WHERE n < $1`, [end]);
    }
  }

  async shelves(inBlocks: number): Promise<readonly Shelf[]> {
    const [floor] = await this.#query("SELECT min(n) AS n FROM block", []);
    const oldest = floor?.["n"] === null ? 0 : Math.floor(numberOf(floor?.["n"]) / shelfBlocks);
    for (const number of this.#full.keys()) if (number <= oldest) this.#full.delete(number);
    // Those that are kept follow one another: what is asked for begins behind the last.
    const from = Math.max(oldest, ...this.#full.keys());
    const rows = await this.#query(
      `SELECT n / $1 AS shelf, count(*) AS blocks, min(before) AS before, sum(count) AS records, min(min_at) AS min_at, max(max_at) AS max_at
        FROM block WHERE n >= $2 AND before < $3 GROUP BY 1 ORDER BY 1`,
      [shelfBlocks, from * shelfBlocks, inBlocks],
    );
    const fresh = rows.map((row) => {
      const number = numberOf(row["shelf"]) + 1;
      const before = numberOf(row["before"]);
      const records = numberOf(row["records"]);
      const times = { minAt: numberOf(row["min_at"]), maxAt: numberOf(row["max_at"]) };
      const shelf = { number, before, records, ...times, ...this.#readsOf({ number, before, records }) };
      if (numberOf(row["blocks"]) === shelfBlocks) this.#full.set(number, shelf);
      return shelf;
    });
    const known = [...this.#full.values()].filter((shelf) => !fresh.some(({ number }) => number === shelf.number));
    return [...known, ...fresh].sort((a, b) => a.number - b.number);
  }

  #readsOf({
    number,
    before,
    records,
  }: Pick<Shelf, "number" | "before" | "records">): Pick<Shelf, "blocks" | "blocksOf" | "part" | "group"> {
    const first = (number - 1) * shelfBlocks;
    // What says where to look is read together: of one block after the other.
    let held: { readonly n: number; readonly parts: readonly Uint8Array[] } | null = null;
    return {
      blocks: async () => {
        const rows = await this.#query(
          "SELECT n, before, count, min_at, max_at FROM block WHERE n >= $1 AND n < $2 AND before < $3 ORDER BY n",
          [first, first + shelfBlocks, before + records],
        );
        return rows.map((row): BlockMeta => {
          const times = { minAt: numberOf(row["min_at"]), maxAt: numberOf(row["max_at"]) };
          const count = numberOf(row["count"]);
          return { n: numberOf(row["n"]), before: numberOf(row["before"]) - before, count, ...times };
        });
      },
      blocksOf: async (hashes) => {
        const rows = await this.#query("SELECT n FROM block WHERE n >= $1 AND n < $2 AND hashes && $3::bigint[]", [
          ...[first, first + shelfBlocks],
          [...hashes],
        ]);
        return new Set(rows.map((row) => numberOf(row["n"])));
      },
      part: async (n, which) => {
        if (held?.n !== n)
          held = { n, parts: await this.#parts("n = $1 AND part < $2 ORDER BY part", [n, firstGroup]) };
        return held.parts[partNumbers[which]] ?? lacking(n);
      },
      group: async (n, group) => {
        const [bytes = lacking(n)] = await this.#parts("n = $1 AND part = $2", [n, firstGroup + group]);
        return bytes;
      },
    };
  }

  async #parts(where: string, values: readonly number[]): Promise<readonly Uint8Array[]> {
    return (await this.#query(`SELECT bytes FROM part WHERE ${where}`, values)).map(({ bytes }) => bytesOf(bytes));
  }

  async giveUp(shelf: number): Promise<void> {
    if (shelf > 0) {
      const [floor] = await this.#query("SELECT min(n) AS n FROM block", []);
      // Removed because it was old, while somebody still read it: nothing is damaged.
      if ((shelf - 1) * shelfBlocks < numberOf(floor?.["n"] ?? 0)) return;
    }
    // Where each origin was at the beginning of a shelf is not kept: everything is made again.
    await this.#transaction("READ COMMITTED", async (query) => {
      await query("SELECT version FROM head FOR UPDATE");
      await query("TRUNCATE block, part, waiting, open_intent, origin");
      await query("UPDATE head SET version = version + 1, restarts = restarts + 1, in_blocks = 0, blocks = 0");
    });
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #query(sql: string, values: readonly unknown[]) {
    await this.#prepared();
    try {
      return (await this.#pool.query(sql, [...values])).rows;
    } catch (error) {
      throw this.#faultOf(error);
    }
  }

  async #transaction<T>(level: string, work: (query: Query) => Promise<T>): Promise<T> {
    await this.#prepared();
    try {
      return await inTransaction(this.#pool, level, work);
    } catch (error) {
      throw this.#faultOf(error);
    }
  }

  async #prepared(): Promise<void> {
    this.#ready ??= inTransaction(this.#pool, "READ COMMITTED", (query) => readyTables(query, this.#options.schema));
    try {
      await this.#ready;
    } catch (error) {
      this.#ready = null;
      throw this.#faultOf(error);
    }
  }

  #faultOf(error: unknown): unknown {
    // Somebody dropped it, as one may: the next one who asks makes it again, empty.
    if (isMissing(sqlState(error))) {
      this.#ready = null;
      this.#full = new Map();
      return new StoreFault(
        "store-unreachable",
        `the search index in ${this.#options.schema} is gone; it is made again`,
      );
    }
    return postgresFault(error, this.#place);
  }
}

async function inTransaction<T>(
  pool: ReturnType<typeof makePool>,
  level: string,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  let isClean = false;
  try {
    await client.query(`BEGIN ISOLATION LEVEL ${level}`);
    const done = await work(async (sql, values = []) => (await client.query(sql, [...values])).rows);
    await client.query("COMMIT");
    isClean = true;
    return done;
  } finally {
    // One whose transaction failed is thrown away, which rolls back.
    client.release(!isClean);
  }
}

async function addBlock(query: Query, n: number, { count, minAt, maxAt, parts, hashes }: NewBlock): Promise<void> {
  const { places, terms, ids, groups } = parts;
  const numbered: readonly (readonly [number, Uint8Array])[] = [
    [partNumbers.places, places],
    [partNumbers.terms, terms],
    [partNumbers.ids, ids],
    ...groups.map((bytes, group): readonly [number, Uint8Array] => [firstGroup + group, bytes]),
  ];
  const bytes = numbered.reduce((sum, [, part]) => sum + part.length, hashes.length * 8);
  await query(
    `INSERT INTO block (n, before, count, min_at, max_at, bytes, hashes)
      SELECT $1, in_blocks, $2, $3, $4, $5, $6::bigint[] FROM head`,
    [n, count, minAt, maxAt, bytes, [...hashes]],
  );
  // A value each: bytes inside an array would travel as text of twice their length.
  const rows = numbered.map(([part], i) => `($1, ${part}, $${i + 2})`);
  await query(`INSERT INTO part (n, part, bytes) VALUES ${rows.join(", ")}`, [
    n,
    ...numbered.map(([, part]) => bufferOf(part)),
  ]);
  await query("DELETE FROM waiting");
  await query("UPDATE head SET in_blocks = in_blocks + $1, blocks = blocks + 1", [count]);
}

function lacking(n: number): never {
  throw new BlockDamaged(`the index lacks a part of block ${n}`);
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function numberOf(value: unknown): number {
  if (typeof value === "number") return value;
  throw new BlockDamaged("a column holds something else than a number");
}

function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new BlockDamaged("a column holds something else than bytes");
}
