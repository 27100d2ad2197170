// Promises figures per edge and step of time in one SQLite file, durable together with the place behind them; what is too old goes. Trusts SQLite.
// Described in docs/audit-edges.md.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { OpenIntents } from "../search/open-intents.ts";
import {
  addFigures,
  type EdgeKey,
  type EdgeStep,
  edgeSteps,
  type Figures,
  keepStepMs,
  noFigures,
} from "./edge-figures.ts";
import { bucketCount } from "./latency.ts";

/** Pairs of integration and operation; more are counted together, so that a gateway that makes names up fills nothing. */
export const edgesMax = 20_000;
export const otherEdges = "(other)";
const rowsMax = 200_000;
const recentMax = 8_192;
const formatVersion = "1";

const schema = `
CREATE TABLE IF NOT EXISTS head (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS place (origin TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open_intent (key TEXT PRIMARY KEY, leaf BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS edge (step TEXT NOT NULL, t INTEGER NOT NULL, environment TEXT NOT NULL, integration TEXT NOT NULL, operation TEXT NOT NULL,
  outcome TEXT NOT NULL, count INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, latency BLOB NOT NULL,
  PRIMARY KEY (step, t, environment, integration, operation, outcome)) WITHOUT ROWID;
`;

export interface StoredFigures {
  readonly step: EdgeStep;
  readonly t: number;
  readonly key: EdgeKey;
  readonly figures: Figures;
}

export class EdgeStore {
  readonly #db: DatabaseSync;
  intents: OpenIntents;
  readonly #edges: Set<string>;
  readonly #find: StatementSync;
  readonly #put: StatementSync;
  /** Rows that were written last, so that a busy edge is not read before each writing. */
  #recent = new Map<string, Figures>();

  /** Begins anew where the file is damaged or another installation's. */
  constructor(directory: string, owner: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, "edges.sqlite");
    this.#db = openOwn(path, owner) ?? openFresh(path, owner);
    this.#find = this.#db.prepare(
      "SELECT count, bytes_in, bytes_out, latency FROM edge WHERE step = ? AND t = ? AND environment = ? AND integration = ? AND operation = ? AND outcome = ?",
    );
    this.#put = this.#db.prepare("INSERT OR REPLACE INTO edge VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    this.intents = this.#openIntents();
    const known = this.#db.prepare("SELECT DISTINCT integration, operation FROM edge WHERE step = 'day'").all();
    this.#edges = new Set(known.map(({ integration, operation }) => `${integration}\n${operation}`));
  }

  #openIntents(): OpenIntents {
    const open = this.#db.prepare("SELECT key, leaf FROM open_intent").all();
    // Written below in these types.
    return new OpenIntents(open.map(({ key, leaf }) => ({ key: String(key), leaf: leaf as Uint8Array })));
  }

  places(): ReadonlyMap<string, number> {
    const rows = this.#db.prepare("SELECT origin, next FROM place").all();
    return new Map(rows.map(({ origin, next }) => [String(origin), Number(next)]));
  }

  /** The edge itself, or the one that all beyond the bound share. */
  bounded(key: EdgeKey): EdgeKey {
    const name = `${key.integration}\n${key.operation}`;
    if (this.#edges.has(name)) return key;
    if (this.#edges.size >= edgesMax) return { ...key, integration: otherEdges, operation: otherEdges };
    this.#edges.add(name);
    return key;
  }

  add(
    places: readonly { readonly origin: string; readonly next: number }[],
    added: readonly StoredFigures[],
    intents: ReturnType<ReturnType<OpenIntents["begin"]>["end"]>,
  ): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      for (const one of added) this.#addOne(one);
      const put = this.#db.prepare("INSERT OR REPLACE INTO open_intent (key, leaf) VALUES (?, ?)");
      for (const { key, leaf } of intents.opened) put.run(key, leaf);
      const end = this.#db.prepare("DELETE FROM open_intent WHERE key = ?");
      for (const key of intents.ended) end.run(key);
      const move = this.#db.prepare(
        "INSERT INTO place (origin, next) VALUES (?, ?) ON CONFLICT (origin) DO UPDATE SET next = excluded.next",
      );
      for (const { origin, next } of places) move.run(origin, next);
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#db.exec("ROLLBACK");
      // Nothing was committed: what memory says must be what the file says.
      this.intents = this.#openIntents();
      this.#recent = new Map();
      throw error;
    }
  }

  #addOne({ step, t, key, figures }: StoredFigures): void {
    const at = [step, t, key.environment, key.integration, key.operation, key.outcome] as const;
    const name = at.join(" ");
    let all = this.#recent.get(name);
    if (all === undefined) {
      const before = this.#find.get(...at);
      all = before === undefined ? noFigures() : figuresOf(before);
      if (this.#recent.size >= recentMax) this.#recent = new Map();
      this.#recent.set(name, all);
    }
    addFigures(all, figures);
    const { count, bytesIn, bytesOut, latency } = all;
    this.#put.run(...at, count, bytesIn, bytesOut, new Uint8Array(latency.buffer));
  }

  /** Removes what is older than its step is kept. */
  trim(now: number): void {
    for (const step of edgeSteps)
      this.#db.prepare("DELETE FROM edge WHERE step = ? AND t < ?").run(step, now - keepStepMs[step]);
  }

  /** Null: more rows than one answer may have. */
  read({
    step,
    from,
    to,
  }: {
    readonly step: EdgeStep;
    readonly from: number;
    readonly to: number;
  }): readonly StoredFigures[] | null {
    const rows = this.#db
      .prepare("SELECT * FROM edge WHERE step = ? AND t >= ? AND t < ? ORDER BY t LIMIT ?")
      .all(step, from, to, rowsMax + 1);
    if (rows.length > rowsMax) return null;
    return rows.map((row) => ({
      step,
      t: Number(row["t"]),
      key: {
        environment: String(row["environment"]),
        integration: String(row["integration"]),
        operation: String(row["operation"]),
        outcome: String(row["outcome"]),
      },
      figures: figuresOf(row),
    }));
  }

  close(): void {
    this.#db.close();
  }
}

function figuresOf(row: Readonly<Record<string, unknown>>): Figures {
  const latency = row["latency"];
  const bytes =
    latency instanceof Uint8Array && latency.length === bucketCount * 8 ? latency : new Uint8Array(bucketCount * 8);
  return {
    count: Number(row["count"]),
    bytesIn: Number(row["bytes_in"]),
    bytesOut: Number(row["bytes_out"]),
    latency: new Float64Array(Uint8Array.from(bytes).buffer),
  };
}

function open(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 5_000, allowExtension: false });
  db.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -4096;",
  );
  db.exec(schema);
  return db;
}

/** Null: it cannot be read whole, or is another installation's. */
function openOwn(path: string, owner: string): DatabaseSync | null {
  let db: DatabaseSync | null = null;
  try {
    db = open(path);
    const check = db.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
    const head = new Map(
      db
        .prepare("SELECT key, value FROM head")
        .all()
        .map(({ key, value }) => [String(key), String(value)]),
    );
    if (check === "ok" && head.get("owner") === owner && head.get("version") === formatVersion) return db;
  } catch {
    // Judged below: what cannot be opened is made again.
  }
  db?.close();
  return null;
}

function openFresh(path: string, owner: string): DatabaseSync {
  for (const end of ["", "-wal", "-shm", "-journal"]) rmSync(path + end, { force: true });
  const db = open(path);
  const put = db.prepare("INSERT INTO head (key, value) VALUES (?, ?)");
  put.run("owner", owner);
  put.run("version", formatVersion);
  return db;
}
