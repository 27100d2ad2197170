// Promises that of two control nodes, or two requests, that began from one cosigned tree one is kept; that a gateway's witness key stays the first one
// it named; and that evidence is kept once, on record. Trusts the store's transactions. Specified in docs/witnesses.md and docs/formats/witness.md.

import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable, Row } from "@sallyport/kernel/store/port.ts";
import type { LogFinding } from "@sallyport/kernel/witness/finding.ts";
import { logSignal } from "../watch/log-rules.ts";
import { raise } from "../watch/store.ts";

export const witnessMigrations: readonly Migration[] = [
  {
    capability: "witness",
    version: 1,
    name: "cosigned trees, keys of witnesses, and what contradicts itself",
    up: (t) => [
      `CREATE TABLE witness_tree (origin ${t.text} PRIMARY KEY, origin_hash ${t.text} NOT NULL UNIQUE, size ${t.integer} NOT NULL,
        root ${t.text} NOT NULL, log_key ${t.text} NOT NULL, note ${t.text} NOT NULL, at ${t.integer} NOT NULL) ${t.table}`,
      `CREATE TABLE witness_key (node ${t.text} PRIMARY KEY, witness_key ${t.text} NOT NULL, at ${t.integer} NOT NULL) ${t.table}`,
      `CREATE TABLE witness_finding (code ${t.text} NOT NULL, origin ${t.text} NOT NULL, witness ${t.text} NOT NULL, found_by ${t.text} NOT NULL,
        kept ${t.text} NOT NULL, shown ${t.text} NOT NULL, at ${t.integer} NOT NULL, PRIMARY KEY (code, origin, witness)) ${t.table}`,
    ],
  },
];

/** A tree as it is kept: the root in base64. */
export interface TreeRow {
  readonly size: number;
  readonly root: string;
}

export interface WitnessedRow extends TreeRow {
  readonly origin: string;
  readonly logKey: string;
  readonly note: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface LogFindingRow extends LogFinding {
  /** `control`, or the gateway that said so. */
  readonly by: string;
  readonly at: number;
}

const rowsMax = 100_000;
/** Findings one gateway may report; more of it are no news. */
export const findingsPerReporterMax = 256;

const selectTree = "SELECT origin, size, root, log_key, note, at FROM witness_tree";

const witnessedOf = (row: Row): WitnessedRow => ({
  origin: String(row["origin"]),
  size: Number(row["size"]),
  root: String(row["root"]),
  logKey: String(row["log_key"]),
  note: String(row["note"]),
  at: Number(row["at"]),
});

const findWitnessed: Command<{ readonly origin: string }, WitnessedRow | null> = {
  audit: null,
  *body({ origin }) {
    const [row] = yield { sql: `${selectTree} WHERE origin = ?`, params: [origin] };
    return row === undefined ? null : witnessedOf(row);
  },
};

const findWitnessedByHash: Command<{ readonly hash: string }, WitnessedRow | null> = {
  audit: null,
  *body({ hash }) {
    const [row] = yield { sql: `${selectTree} WHERE origin_hash = ?`, params: [hash] };
    return row === undefined ? null : witnessedOf(row);
  },
};

/** Compare-and-swap of the last cosigned tree; `last` null: none is kept. False: something else is. */
const keepWitnessed: Command<
  { readonly hash: string; readonly last: TreeRow | null; readonly next: Omit<WitnessedRow, "at"> },
  boolean
> = {
  audit: { bookkeeping: "what this witness cosigned last; the log that was witnessed says what happened" },
  *body({ hash, last, next }, { now }) {
    const { origin, size, root, logKey, note } = next;
    const kept = yield last === null
      ? {
          sql: `INSERT INTO witness_tree (origin, origin_hash, size, root, log_key, note, at) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING RETURNING origin`,
          params: [origin, hash, size, root, logKey, note, now],
        }
      : {
          sql: `UPDATE witness_tree SET size = ?, root = ?, log_key = ?, note = ?, at = ?
            WHERE origin = ? AND size = ? AND root = ? RETURNING origin`,
          params: [size, root, logKey, note, now, origin, last.size, last.root],
        };
    return kept.length === 1;
  },
};

const listWitnessed: Command<null, readonly WitnessedRow[]> = {
  audit: null,
  *body() {
    return (yield { sql: `${selectTree} ORDER BY origin LIMIT ?`, params: [rowsMax] }).map(witnessedOf);
  },
};

/** The raw key of a node's log, base64: that of its first checkpoint (audit/store.ts). */
const findLogKey: Command<{ readonly node: string }, string | null> = {
  audit: null,
  *body({ node }) {
    const [row] = yield { sql: "SELECT log_key FROM audit_log_key WHERE node = ?", params: [node] };
    return row === undefined ? null : String(row["log_key"]);
  },
};

/** The verifier key of a gateway's witness: the first one it named. */
const pinWitnessKey: Command<{ readonly node: string; readonly key: string }, string> = {
  audit: { bookkeeping: "a public key, fixed by the first message of a proven node" },
  *body({ node, key }, { now }) {
    yield {
      sql: "INSERT INTO witness_key (node, witness_key, at) VALUES (?, ?, ?) ON CONFLICT (node) DO NOTHING",
      params: [node, key, now],
    };
    const [row] = yield { sql: "SELECT witness_key FROM witness_key WHERE node = ?", params: [node] };
    return String(row?.["witness_key"]);
  },
};

const listWitnessKeys: Command<null, readonly { readonly node: string; readonly key: string }[]> = {
  audit: null,
  *body() {
    const rows = yield { sql: "SELECT node, witness_key FROM witness_key ORDER BY node LIMIT ?", params: [rowsMax] };
    return rows.map((row) => ({ node: String(row["node"]), key: String(row["witness_key"]) }));
  },
};

/** Keeps the first evidence of each kind, origin and witness, with its record, and raises a finding; false when it is there already, or its reporter has said too much. */
const keepLogFinding: Command<LogFinding & { readonly tenant: string; readonly by: string }, boolean> = {
  audit: ["log-finding.keep", "finding.raise"],
  *body({ tenant, code, origin, witness, kept, shown, by }, context) {
    const said = yield { sql: "SELECT COUNT(*) AS n FROM witness_finding WHERE found_by = ?", params: [by] };
    if (by !== "control" && Number(said[0]?.["n"] ?? 0) >= findingsPerReporterMax) return false;
    const added = yield {
      sql: `INSERT INTO witness_finding (code, origin, witness, found_by, kept, shown, at) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (code, origin, witness) DO NOTHING RETURNING code`,
      params: [code, origin, witness, by, kept, shown, context.now],
    };
    if (added.length === 0) return false;
    yield actStatement(context, {
      tenant,
      environment: "sallyport",
      actor: by === "control" ? "built-in" : `gateway:${by}`,
      action: "log-finding.keep",
      object: `log-finding/${code}`,
      facts: { origin, witness },
    });
    yield* raise(logSignal({ tenant, code, origin, by, at: context.now }), context);
    return true;
  },
};

const listLogFindings: Command<null, readonly LogFindingRow[]> = {
  audit: null,
  *body() {
    const rows = yield {
      sql: "SELECT code, origin, witness, found_by, kept, shown, at FROM witness_finding ORDER BY at, code, origin, witness LIMIT ?",
      params: [rowsMax],
    };
    return rows.map((row) => ({
      // Written above and nowhere else.
      code: String(row["code"]) as LogFinding["code"],
      origin: String(row["origin"]),
      witness: String(row["witness"]),
      by: String(row["found_by"]),
      kept: String(row["kept"]),
      shown: String(row["shown"]),
      at: Number(row["at"]),
    }));
  },
};

export const witnessCommands = {
  findWitnessed,
  findWitnessedByHash,
  keepWitnessed,
  listWitnessed,
  findLogKey,
  pinWitnessKey,
  listWitnessKeys,
  keepLogFinding,
  listLogFindings,
} satisfies CommandTable;
