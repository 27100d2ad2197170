// Promises that control keeps the newest checkpoint of every node's log, so that a log rewritten on its node is caught against this copy.
// Trusts judge-checkpoint.ts, which has proven the origin and the signature. Specified in docs/audit.md "Checkpoints kept elsewhere".
import { hash } from "node:crypto";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { logSignal } from "../watch/log-rules.ts";
import { raise } from "../watch/store.ts";

export const auditMigrations: readonly Migration[] = [
  {
    capability: "audit",
    version: 1,
    name: "checkpoints of nodes",
    up: (t) => [
      `CREATE TABLE audit_checkpoint (origin ${t.text} PRIMARY KEY, node ${t.text} NOT NULL, note ${t.text} NOT NULL, at ${t.integer} NOT NULL) ${t.table}`,
    ],
  },
  {
    capability: "audit",
    version: 2,
    name: "log keys of nodes and refused checkpoints",
    up: (t) => [
      `CREATE TABLE audit_log_key (node ${t.text} PRIMARY KEY, log_key ${t.text} NOT NULL, at ${t.integer} NOT NULL) ${t.table}`,
      `CREATE TABLE audit_checkpoint_refused (node ${t.text} NOT NULL, code ${t.text} NOT NULL, origin ${t.text} NOT NULL, note ${t.text} NOT NULL, at ${t.integer} NOT NULL, PRIMARY KEY (node, code)) ${t.table}`,
    ],
  },
];

const checkpointsMax = 100_000;
/** One per year: a log that names more is not a log. */
export const originsPerNodeMax = 32;

export interface KeptCheckpoint {
  readonly origin: string;
  readonly node: string;
  readonly note: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Why a node's checkpoint was not kept: it is not the node's, not signed by the node's log, or takes history back. */
export type CheckpointRefusalCode =
  | "foreign-origin"
  | "bad-signature"
  | "key-changed"
  | "rolled-back"
  | "forked"
  | "too-many-origins"
  /** Found by the archive: what was shipped does not begin where the origin before ended, or is not of this node's log at all. */
  | "broken-chain"
  | "bad-records";

export interface RefusedCheckpoint extends KeptCheckpoint {
  readonly code: CheckpointRefusalCode;
}

export interface JudgedCheckpoint {
  readonly tenant: string;
  readonly environment: string;
  readonly node: string;
  readonly origin: string;
  /** Signed by `logKey` for this origin: judge-checkpoint.ts has verified it. */
  readonly note: string;
  /** Raw Ed25519 public key, base64. */
  readonly logKey: string;
}

type RefusedNote = Omit<KeptCheckpoint, "at"> & { readonly tenant: string; readonly environment: string };

/** The first evidence of each kind stays, and raises a finding: what follows cannot push it out, and a node fills no table. */
function* refuse(
  code: CheckpointRefusalCode,
  { node, origin, note, tenant, environment }: RefusedNote,
  context: CommandContext,
): Generator<Statement, void, readonly Row[]> {
  const first = yield {
    sql: `INSERT INTO audit_checkpoint_refused (node, code, origin, note, at) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (node, code) DO NOTHING RETURNING node`,
    params: [node, code, origin, note, context.now],
  };
  if (first.length === 0) return;
  yield actStatement(context, {
    ...{ tenant, environment, actor: `gateway:${node}`, action: "checkpoint.refuse", object: `gateway/${node}` },
    // The note is kept beside the node's name; a digest says that it was this one.
    facts: { code, origin: hash("sha256", origin, "hex"), note: hash("sha256", note, "hex") },
  });
  yield* raise(logSignal({ tenant, code, origin, by: node, at: context.now }), context);
}

/**
 * Keeps a checkpoint whose origin and signature are proven; null when it was kept. The log key of a node is the one of its first
 * checkpoint. What takes history back is not kept in place of what is here, but beside it.
 */
const keepCheckpoint: Command<JudgedCheckpoint, CheckpointRefusalCode | null> = {
  audit: { bookkeeping: "a copy of what the node's own log says", acts: ["checkpoint.refuse", "finding.raise"] },
  *body(judged, context) {
    const { now } = context;
    const { node, origin, note, logKey } = judged;
    yield {
      sql: "INSERT INTO audit_log_key (node, log_key, at) VALUES (?, ?, ?) ON CONFLICT (node) DO NOTHING",
      params: [node, logKey, now],
    };
    const [pinned] = yield { sql: "SELECT log_key FROM audit_log_key WHERE node = ?", params: [node] };
    const rows = yield {
      sql: "SELECT origin, note FROM audit_checkpoint WHERE node = ? ORDER BY origin LIMIT ?",
      params: [node, originsPerNodeMax],
    };
    const kept = rows.find((row) => row["origin"] === origin);
    const code =
      pinned?.["log_key"] !== logKey
        ? "key-changed"
        : kept === undefined
          ? rows.length >= originsPerNodeMax
            ? "too-many-origins"
            : null
          : decideSuccessor(String(kept["note"]), note);
    if (code !== null) {
      yield* refuse(code, judged, context);
      return code;
    }
    // Only its own node's checkpoints get here: a row of another node under this origin was never that node's to write.
    yield {
      sql: `INSERT INTO audit_checkpoint (origin, node, note, at) VALUES (?, ?, ?, ?)
        ON CONFLICT (origin) DO UPDATE SET node = excluded.node, note = excluded.note, at = excluded.at`,
      params: [origin, node, note, now],
    };
    return null;
  },
};

/** May `next` follow `kept` in one origin? A log grows; it never shrinks, and one size has one root. */
export function decideSuccessor(kept: string, next: string): "rolled-back" | "forked" | null {
  const before = checkpointOf(kept);
  const after = checkpointOf(next);
  // What cannot be read was kept by an older version without a look, and vouches for nothing.
  if (before === null) return null;
  if (after === null || after.size < before.size) return "rolled-back";
  const isSameRoot = before.root.every((byte, at) => byte === after.root[at]);
  return after.size === before.size && !isSameRoot ? "forked" : null;
}

const checkpointOf = (note: string) => parseCheckpointBody(parseNote(note)?.text ?? "");

/** Keeps what was refused before it came to `keepCheckpoint`. */
const refuseCheckpoint: Command<RefusedNote & Pick<RefusedCheckpoint, "code">, null> = {
  audit: ["checkpoint.refuse", "finding.raise"],
  *body(refused, context) {
    yield* refuse(refused.code, refused, context);
    return null;
  },
};

const listRefusedCheckpoints: Command<null, readonly RefusedCheckpoint[]> = {
  audit: null,
  *body() {
    const rows = yield {
      sql: "SELECT node, code, origin, note, at FROM audit_checkpoint_refused ORDER BY node, code LIMIT ?",
      params: [checkpointsMax],
    };
    return rows.map((row) => ({
      node: String(row["node"]),
      // Written above and nowhere else.
      code: String(row["code"]) as CheckpointRefusalCode,
      origin: String(row["origin"]),
      note: String(row["note"]),
      at: Number(row["at"]),
    }));
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

export const auditCommands = {
  keepCheckpoint,
  refuseCheckpoint,
  listCheckpoints,
  listRefusedCheckpoints,
} satisfies CommandTable;
