// For tests: the commands module of the contract suite. Promises one example of each kind of command, good and bad. Trusts its caller.
// Loaded by URL in both dialects, as docs/store.md describes.
import type { Migration } from "../migration.ts";
import { auditStatement, outboxCommands } from "../outbox.ts";
import type { AuditRow, Command, CommandContext, CommandTable, Row, SqlValue, Statement } from "../port.ts";

export const migrations: readonly Migration[] = [
  {
    capability: "contract",
    version: 1,
    name: "counters and notes",
    up: (t) => [
      `CREATE TABLE counter (name ${t.text} PRIMARY KEY, value ${t.integer} NOT NULL) ${t.table}`,
      `CREATE TABLE note (seq ${t.serial}, body ${t.text} NOT NULL) ${t.table}`,
    ],
  },
  {
    capability: "contract",
    version: 2,
    name: "values, replay, parents",
    up: (t) => [
      `CREATE TABLE sample (id ${t.text} PRIMARY KEY, t ${t.text}, i ${t.integer}, r ${t.real}, b ${t.blob}) ${t.table}`,
      `CREATE TABLE seen (key ${t.text} PRIMARY KEY, until ${t.integer} NOT NULL) ${t.table}`,
      `CREATE TABLE parent (id ${t.integer} PRIMARY KEY) ${t.table}`,
      `CREATE TABLE child (parent ${t.integer} NOT NULL REFERENCES parent (id) ON DELETE CASCADE) ${t.table}`,
    ],
  },
];

export function record(action: string, object: string, { now, nextId }: CommandContext): Statement {
  const row: AuditRow = {
    id: nextId(),
    at: now,
    tenant: "main",
    environment: "production",
    actor: "operator:root",
    action,
    object,
    facts: {},
  };
  return auditStatement(row);
}

/** Reads first and writes second, so that only isolation keeps it exact. */
const increment: Command<{ readonly name: string; readonly throwAfter?: boolean }, number> = {
  audit: "counter.increment",
  *body({ name, throwAfter }, context) {
    const [row] = yield { sql: "SELECT value FROM counter WHERE name = ?", params: [name] };
    const next = Number(row?.value ?? 0) + 1;
    yield {
      sql: "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      params: [name, next],
    };
    yield record("counter.increment", `counter/${name}`, context);
    if (throwAfter) throw new RangeError("the body refuses");
    return next;
  },
};

const counter: Command<string, number> = {
  audit: null,
  *body(name) {
    const [row] = yield { sql: "SELECT value FROM counter WHERE name = ?", params: [name] };
    return Number(row?.value ?? 0);
  },
};

const addNote: Command<string, number> = {
  audit: { bookkeeping: "a note of the test" },
  *body(body) {
    const [row] = yield { sql: "INSERT INTO note (body) VALUES (?) RETURNING seq", params: [body] };
    return Number(row?.seq);
  },
};

const notes: Command<null, readonly string[]> = {
  audit: null,
  *body() {
    return (yield { sql: "SELECT body FROM note ORDER BY seq", params: [] }).map((row) => String(row.body));
  },
};

const sortedNotes: Command<null, readonly string[]> = {
  audit: null,
  *body() {
    return (yield { sql: "SELECT body FROM note ORDER BY body", params: [] }).map((row) => String(row.body));
  },
};

const seeOnce: Command<{ readonly key: string; readonly until: number }, boolean> = {
  audit: { bookkeeping: "a replay id" },
  *body({ key, until }) {
    const rows = yield {
      sql: "INSERT INTO seen (key, until) VALUES (?, ?) ON CONFLICT (key) DO NOTHING RETURNING key",
      params: [key, until],
    };
    return rows.length === 1;
  },
};

export interface Sample {
  readonly t: SqlValue;
  readonly i: SqlValue;
  readonly r: SqlValue;
  readonly b: SqlValue;
}

const roundTrip: Command<Sample, Row | undefined> = {
  audit: { bookkeeping: "a value of the test" },
  *body({ t, i, r, b }, { nextId }) {
    const id = nextId();
    yield { sql: "INSERT INTO sample (id, t, i, r, b) VALUES (?, ?, ?, ?, ?)", params: [id, t, i, r, b] };
    const [row] = yield { sql: "SELECT t, i, r, b FROM sample WHERE id = ? -- really?\n", params: [id] };
    return row;
  },
};

const computed: Command<null, Row | undefined> = {
  audit: null,
  *body() {
    const [row] = yield {
      sql: `SELECT count(*) AS count, sum(x) AS total, CAST(? AS BIGINT) / 2 AS half, 'it''s ? not' AS text, /* ? */ CAST(? AS TEXT) AS "a ?"
        FROM (SELECT CAST(? AS BIGINT) AS x UNION ALL SELECT 2) AS numbers`,
      params: [7, "x", 1],
    };
    return row;
  },
};

/** Whatever the test says, to show what the runner refuses. */
const statements: Command<readonly Statement[], number> = {
  audit: { bookkeeping: "the test's own statements" },
  *body(list) {
    for (const statement of list) yield statement;
    return list.length;
  },
};

const change = (audit: string | null): Command<string, null> => ({
  audit,
  *body(name) {
    yield { sql: "INSERT INTO counter (name, value) VALUES (?, 1)", params: [name] };
    return null;
  },
});

const recordOther: Command<string, null> = {
  audit: "counter.reset",
  *body(name, context) {
    yield { sql: "INSERT INTO counter (name, value) VALUES (?, 1)", params: [name] };
    yield record("something.else", `counter/${name}`, context);
    return null;
  },
};

/** Its own word, and one that nobody was told of. */
const recordBoth: Command<string, null> = {
  audit: ["counter.reset", "counter.clear"],
  *body(name, context) {
    yield { sql: "INSERT INTO counter (name, value) VALUES (?, 1)", params: [name] };
    yield record("counter.clear", `counter/${name}`, context);
    if (name.startsWith("stray")) yield record("something.else", `counter/${name}`, context);
    return null;
  },
};

/** Bookkeeping that now and then finds something to say. */
const sweepRecords: Command<string, null> = {
  audit: { bookkeeping: "a sweep of the test", acts: ["counter.found"] },
  *body(name, context) {
    yield { sql: "INSERT INTO counter (name, value) VALUES (?, 1)", params: [name] };
    if (name !== "quiet")
      yield record(name === "stray" ? "something.else" : "counter.found", `counter/${name}`, context);
    return null;
  },
};

const recordOnly: Command<string, null> = {
  audit: "counter.refused",
  *body(name, context) {
    yield record("counter.refused", `counter/${name}`, context);
    return null;
  },
};

const unchanged: Command<string, null> = {
  audit: "counter.reset",
  *body(name) {
    yield { sql: "UPDATE counter SET value = 0 WHERE name = ?", params: [name] };
    return null;
  },
};

const returnsFunction: Command<null, unknown> = {
  audit: null,
  *body() {
    return () => 1;
  },
};

const now: Command<null, { readonly now: number; readonly ids: readonly string[] }> = {
  audit: null,
  // biome-ignore lint/correctness/useYield: the test is about the context.
  *body(_input, context) {
    return { now: context.now, ids: [context.nextId(), context.nextId()] };
  },
};

/** Ends the thread it runs in, as a bug in native code would. */
const crash: Command<null, null> = {
  audit: { bookkeeping: "the test's crash" },
  *body() {
    yield { sql: "INSERT INTO note (body) VALUES ('never')", params: [] };
    process.exit(3);
  },
};

export const commands = {
  ...outboxCommands,
  increment,
  counter,
  addNote,
  notes,
  sortedNotes,
  seeOnce,
  roundTrip,
  computed,
  statements,
  forgetsRecord: change("counter.reset"),
  readThatWrites: change(null),
  recordOther,
  recordBoth,
  sweepRecords,
  recordOnly,
  unchanged,
  returnsFunction,
  now,
  crash,
} satisfies CommandTable;

export type ContractCommands = typeof commands;
