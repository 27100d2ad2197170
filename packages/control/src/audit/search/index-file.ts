// Promises one file of the index: blocks of records, the few that wait to become one, and behind them in the same transaction the place of every origin.
// Trusts SQLite for atomic commits and the checksums of block.ts for what is read. Described in docs/audit-search.md "How it is kept".
import { existsSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { BlockDamaged, type BlockParts, binarySearch, lowerBound, readTerms } from "./block.ts";
import type { BlockMeta, FiledOrigin, OpenIntentChange, WaitingRow } from "./index-store.ts";
import { blocksEnd } from "./term-hash.ts";

/** A file is full with either: what is looked up before it is sealed lies in memory. */
export const fileBlocksMax = 1_024;
export const filePairsMax = 1_048_576;
/** Pairs read by one look-up in a sealed file. */
const chunkPairs = 8_192;
const groupsPerBlock = 16;
const formatVersion = "1";

/** What of one `take` becomes durable together. */
export interface FileCommit {
  readonly origin: FiledOrigin;
  readonly block: { readonly meta: BlockMeta; readonly parts: BlockParts; readonly hashes: Float64Array } | null;
  readonly waiting: readonly WaitingRow[];
  readonly intents: OpenIntentChange;
}

export interface FileHead {
  /** Ascending from file to file, without gaps. */
  readonly number: number;
  readonly id: string;
  /** Id of the file before it. */
  readonly previous: string;
  /** Whose index it is. */
  readonly owner: string;
  /** Records of all files before it. */
  readonly before: number;
}

const schema = `
CREATE TABLE head (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE origin (no INTEGER PRIMARY KEY, origin TEXT NOT NULL UNIQUE, place TEXT NOT NULL, next INTEGER NOT NULL);
CREATE TABLE block (n INTEGER PRIMARY KEY, before INTEGER NOT NULL, count INTEGER NOT NULL, min_at INTEGER NOT NULL, max_at INTEGER NOT NULL,
  places BLOB NOT NULL, terms BLOB NOT NULL, ids BLOB NOT NULL);
CREATE TABLE leaves (n INTEGER PRIMARY KEY, leaves BLOB NOT NULL);
CREATE TABLE waiting (n INTEGER PRIMARY KEY, origin INTEGER NOT NULL, idx INTEGER NOT NULL, at INTEGER NOT NULL, leaf BLOB NOT NULL, intent BLOB);
CREATE TABLE term (first INTEGER PRIMARY KEY, pairs BLOB NOT NULL);
CREATE TABLE open_intent (key TEXT PRIMARY KEY, leaf BLOB NOT NULL) WITHOUT ROWID;
`;

export class IndexFile {
  readonly path: string;
  readonly head: FileHead;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly blocks: BlockMeta[];
  /** Hashes of each block's terms, ascending; null: the file is sealed and has a table of them. */
  #hashes: Float64Array[] | null;
  #pairs = 0;

  private constructor(path: string, db: DatabaseSync, head: FileHead) {
    this.path = path;
    this.#db = db;
    this.head = head;
    this.blocks = this.#all("SELECT n, before, count, min_at, max_at FROM block ORDER BY n LIMIT ?", blocksEnd).map(
      (row) => ({
        n: Number(row["n"]),
        before: Number(row["before"]),
        count: Number(row["count"]),
        minAt: Number(row["min_at"]),
        maxAt: Number(row["max_at"]),
      }),
    );
    this.#hashes = this.isSealed() ? null : this.#readHashes();
  }

  static create(path: string, head: FileHead & { readonly floor: number }): IndexFile {
    const db = open(path);
    db.exec("BEGIN");
    db.exec(schema);
    const insert = db.prepare("INSERT INTO head (key, value) VALUES (?, ?)");
    for (const [key, value] of Object.entries({ ...head, version: formatVersion })) insert.run(key, String(value));
    db.exec("COMMIT");
    const { floor: _floor, ...kept } = head;
    return new IndexFile(path, db, kept);
  }

  /** Throws where the file is not one of this format, or damaged as far as its tables go. */
  static open(path: string): IndexFile {
    // SQLite would make an empty one.
    if (!existsSync(path)) throw new BlockDamaged(`${path} is gone`);
    const db = open(path);
    try {
      const rows = db.prepare("SELECT key, value FROM head LIMIT 32").all();
      const values = new Map(rows.map((row) => [String(row["key"]), String(row["value"])]));
      if (values.get("version") !== formatVersion) throw new BlockDamaged(`${path} is of another format`);
      const text = (key: string) => values.get(key) ?? "";
      const head = {
        number: Number(text("number")),
        id: text("id"),
        previous: text("previous"),
        owner: text("owner"),
        before: Number(text("before")),
      };
      return new IndexFile(path, db, head);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  isSealed(): boolean {
    return this.#get("SELECT value FROM head WHERE key = 'sealed'") !== undefined;
  }

  /** Number of the oldest file that must be there. */
  floor(): number {
    return Number(this.#get("SELECT value FROM head WHERE key = 'floor'")?.["value"]);
  }

  setFloor(number: number): void {
    this.#run("UPDATE head SET value = ? WHERE key = 'floor'", String(number));
  }

  isFull(): boolean {
    return this.blocks.length >= fileBlocksMax || this.#pairs >= filePairsMax;
  }

  origins(): readonly FiledOrigin[] {
    return this.#all("SELECT no, origin, place, next FROM origin ORDER BY no").map((row) => ({
      no: Number(row["no"]),
      origin: String(row["origin"]),
      place: String(row["place"]),
      next: Number(row["next"]),
    }));
  }

  waiting(): readonly WaitingRow[] {
    return this.#all("SELECT origin, idx, at, leaf, intent FROM waiting ORDER BY n").map((row) => ({
      origin: Number(row["origin"]),
      index: Number(row["idx"]),
      at: Number(row["at"]),
      leaf: bytesOf(row["leaf"]),
      intent: row["intent"] === null ? null : bytesOf(row["intent"]),
    }));
  }

  openIntents(): readonly { readonly key: string; readonly leaf: Uint8Array }[] {
    return this.#all("SELECT key, leaf FROM open_intent").map((row) => ({
      key: String(row["key"]),
      leaf: bytesOf(row["leaf"]),
    }));
  }

  /** One transaction: what a batch led to, and the place behind it. A block takes everything that waited. */
  commit({ origin, block, waiting, intents }: FileCommit): void {
    this.#transaction(() => {
      if (block !== null) {
        this.#addBlock(block);
        this.#run("DELETE FROM waiting");
      }
      for (const row of waiting)
        this.#run(
          "INSERT INTO waiting (origin, idx, at, leaf, intent) VALUES (?, ?, ?, ?, ?)",
          row.origin,
          row.index,
          row.at,
          row.leaf,
          row.intent,
        );
      for (const { key, leaf } of intents.opened)
        this.#run("INSERT OR REPLACE INTO open_intent (key, leaf) VALUES (?, ?)", key, leaf);
      for (const key of intents.ended) this.#run("DELETE FROM open_intent WHERE key = ?", key);
      this.#putOrigin(origin);
    });
    if (block === null) return;
    this.blocks.push(block.meta);
    this.#hashes?.push(block.hashes);
    this.#pairs += block.hashes.length;
  }

  #addBlock({ meta, parts }: NonNullable<FileCommit["block"]>): void {
    this.#run(
      "INSERT INTO block (n, before, count, min_at, max_at, places, terms, ids) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      meta.n,
      meta.before,
      meta.count,
      meta.minAt,
      meta.maxAt,
      parts.places,
      parts.terms,
      parts.ids,
    );
    for (const [n, group] of parts.groups.entries())
      this.#run("INSERT INTO leaves (n, leaves) VALUES (?, ?)", meta.n * groupsPerBlock + n, group);
  }

  #putOrigin({ no, origin, place, next }: FiledOrigin): void {
    this.#run(
      "INSERT INTO origin (no, origin, place, next) VALUES (?, ?, ?, ?) ON CONFLICT (no) DO UPDATE SET next = excluded.next, place = excluded.place",
      no,
      origin,
      place,
      next,
    );
  }

  /** What a file begins with: the places and open intents at the end of the one before. */
  begin(origins: readonly FiledOrigin[], intents: OpenIntentChange["opened"]): void {
    this.#transaction(() => {
      for (const origin of origins) this.#putOrigin(origin);
      for (const { key, leaf } of intents) this.#run("INSERT INTO open_intent (key, leaf) VALUES (?, ?)", key, leaf);
    });
  }

  /** The last change: a table of all terms, so that it need not lie in memory, and no open intents any more. */
  seal(): void {
    const hashes = this.#hashes;
    if (hashes === null) return;
    const pairs = new Float64Array(hashes.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const [n, block] of hashes.entries()) for (const hash of block) pairs[at++] = hash * blocksEnd + n;
    pairs.sort();
    this.#transaction(() => {
      for (let from = 0; from < pairs.length; from += chunkPairs) {
        const chunk = pairs.slice(from, from + chunkPairs);
        this.#run("INSERT INTO term (first, pairs) VALUES (?, ?)", chunk[0] ?? 0, new Uint8Array(chunk.buffer));
      }
      this.#run("DELETE FROM open_intent");
      this.#run("INSERT INTO head (key, value) VALUES ('sealed', '1')");
    });
    this.#hashes = null;
    this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;");
  }

  /** Numbers of the blocks that may hold a term. */
  blocksOf(hash: number): ReadonlySet<number> {
    if (this.#hashes !== null)
      return new Set(this.#hashes.flatMap((hashes, n) => (binarySearch(hashes, hash) < 0 ? [] : [n])));
    const found = new Set<number>();
    const low = hash * blocksEnd;
    const high = low + blocksEnd;
    const rows = this.#all(
      "SELECT pairs FROM term WHERE first < ? AND first >= (SELECT coalesce(max(first), 0) FROM term WHERE first <= ?) ORDER BY first",
      high,
      low,
    );
    for (const row of rows) {
      const pairs = new Float64Array(Uint8Array.from(bytesOf(row["pairs"])).buffer);
      for (let at = lowerBound(pairs, low); at < pairs.length && (pairs[at] ?? 0) < high; at++)
        found.add((pairs[at] ?? 0) - low);
    }
    return found;
  }

  part(n: number, part: "places" | "terms" | "ids"): Uint8Array {
    return this.#blob(`SELECT ${part} AS bytes FROM block WHERE n = ?`, n);
  }

  group(block: number, n: number): Uint8Array {
    return this.#blob("SELECT leaves AS bytes FROM leaves WHERE n = ?", block * groupsPerBlock + n);
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #readHashes(): Float64Array[] {
    return this.blocks.map(({ n, count }) => {
      const hashes = readTerms(this.part(n, "terms"), count).hashes.slice();
      this.#pairs += hashes.length;
      return hashes;
    });
  }

  #blob(sql: string, n: number): Uint8Array {
    const row = this.#get(sql, n);
    if (row === undefined) throw new BlockDamaged(`${this.path} lacks part ${n}`);
    return bytesOf(row["bytes"]);
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #all(sql: string, ...values: readonly Value[]) {
    return this.#statement(sql).all(...values);
  }

  #get(sql: string, ...values: readonly Value[]) {
    return this.#statement(sql).get(...values);
  }

  #run(sql: string, ...values: readonly Value[]): void {
    this.#statement(sql).run(...values);
  }
}

type Value = string | number | null | Uint8Array;

/** A power cut may take the last transactions, data and place together: they come again from the log. */
function open(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 5_000, allowExtension: false });
  db.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -4096;",
  );
  return db;
}

function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new BlockDamaged("a column holds something else than bytes");
}
