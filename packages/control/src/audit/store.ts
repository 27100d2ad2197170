// Promises that control keeps the newest checkpoint of every node's log, so that a log rewritten on its node is caught against this copy.
// Trusts the channel, which has proven the node. Specified in docs/audit.md "Checkpoints kept elsewhere".
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";

export const auditMigrations: readonly Migration[] = [
  {
    capability: "audit",
    version: 1,
    name: "checkpoints of nodes",
    up: (t) => [
      `CREATE TABLE audit_checkpoint (origin ${t.text} PRIMARY KEY, node ${t.text} NOT NULL, note ${t.text} NOT NULL, at ${t.integer} NOT NULL) ${t.table}`,
    ],
  },
];

const checkpointsMax = 100_000;

export interface KeptCheckpoint {
  readonly origin: string;
  readonly node: string;
  readonly note: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** An origin belongs to the node that named it first; another node's note for it is not kept. */
const keepCheckpoint: Command<Omit<KeptCheckpoint, "at">, boolean> = {
  audit: { bookkeeping: "a copy of what the node's own log says" },
  *body({ origin, node, note }, { now }) {
    const kept = yield {
      sql: `INSERT INTO audit_checkpoint (origin, node, note, at) VALUES (?, ?, ?, ?)
        ON CONFLICT (origin) DO UPDATE SET note = excluded.note, at = excluded.at WHERE audit_checkpoint.node = excluded.node RETURNING origin`,
      params: [origin, node, note, now],
    };
    return kept.length === 1;
  },
};

const listCheckpoints: Command<null, readonly KeptCheckpoint[]> = {
  audit: null,
  *body() {
    const rows = yield {
      sql: "SELECT origin, node, note, at FROM audit_checkpoint ORDER BY origin LIMIT ?",
      params: [checkpointsMax],
    };
    return rows.map((row) => ({
      origin: String(row["origin"]),
      node: String(row["node"]),
      note: String(row["note"]),
      at: Number(row["at"]),
    }));
  },
};

export const auditCommands = { keepCheckpoint, listCheckpoints } satisfies CommandTable;
