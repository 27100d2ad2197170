// Promises that a state change and its record are one transaction, and that each record leaves for the log in order, under one id.
// Trusts the drainer to look its id up in the log before appending again. Described in docs/store.md, "The outbox".
import { strict as assert } from "node:assert";
import type { Migration } from "./migration.ts";
import type { AuditRow, Command, CommandContext, CommandTable, Row, Statement } from "./port.ts";

const auditMark = Symbol("audit row");
const factsLengthMax = 4_096;
const nameLengthMax = 256;
const claimMax = 1_000;
const leaseMsMax = 60_000;

interface AuditStatement extends Statement {
  readonly [auditMark]: string;
}

/** The statement that records one act; yield it inside the command that makes the change. Asserts bounded, printable names. */
export function auditStatement(row: AuditRow): Statement {
  for (const [field, text] of Object.entries({ id: row.id, actor: row.actor, action: row.action, object: row.object }))
    assert.ok(
      text.length > 0 && text.length <= nameLengthMax && /^[\x20-\x7e]+$/.test(text),
      `audit row: ${field} is not a printable ASCII name`,
    );
  const facts = JSON.stringify(row.facts);
  assert.ok(facts.length <= factsLengthMax, "audit row: facts are too long");
  const statement: AuditStatement = {
    sql: "INSERT INTO audit_outbox (id, at, tenant, environment, actor, action, object, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    params: [row.id, row.at, row.tenant, row.environment, row.actor, row.action, row.object, facts],
    [auditMark]: row.action,
  };
  return statement;
}

/** The record of an act of the command that runs, under a fresh id and at the command's own time. Asserts as `auditStatement` does. */
export function actStatement(context: CommandContext, act: Omit<AuditRow, "id" | "at">): Statement {
  return auditStatement({ id: context.nextId(), at: context.now, ...act });
}

/** The action an audit statement records; undefined for every other statement. */
export function auditActionOf(statement: Statement): string | undefined {
  return auditMark in statement ? (statement as AuditStatement)[auditMark] : undefined; // as: the symbol is private to this file
}

export const outboxMigrations: readonly Migration[] = [
  {
    capability: "store",
    version: 1,
    name: "audit outbox",
    up: (t) => [
      `CREATE TABLE audit_outbox (seq ${t.serial}, id ${t.text} NOT NULL UNIQUE, at ${t.integer} NOT NULL, tenant ${t.text} NOT NULL,
        environment ${t.text} NOT NULL, actor ${t.text} NOT NULL, action ${t.text} NOT NULL, object ${t.text} NOT NULL, facts ${t.text} NOT NULL) ${t.table}`,
      `CREATE TABLE outbox_drainer (one ${t.integer} PRIMARY KEY CHECK (one = 1), node ${t.text} NOT NULL, until ${t.integer} NOT NULL) ${t.table}`,
    ],
  },
];

export interface OutboxClaim {
  /** `held`: another node drains at the moment. */
  readonly kind: "claimed" | "held";
  readonly rows: readonly AuditRow[];
}

export interface OutboxBacklog {
  readonly count: number;
  /** Age of the oldest row not yet in the log; 0 when there is none. Over 5,000 denies administrative acts. */
  readonly ageMs: number;
}

function auditRowOf(row: Row): AuditRow {
  return {
    id: String(row.id),
    at: Number(row.at),
    tenant: String(row.tenant),
    environment: String(row.environment),
    actor: String(row.actor),
    action: String(row.action),
    object: String(row.object),
    // as: written by auditStatement from the same type.
    facts: JSON.parse(String(row.facts)) as AuditRow["facts"],
  };
}

/** Takes or renews the one drainer's lease and returns the oldest rows. They stay until markDrained: a crash between the two shows them again, under the same ids. */
const claimOutbox: Command<{ readonly node: string; readonly limit: number; readonly leaseMs: number }, OutboxClaim> = {
  audit: { bookkeeping: "a lease on rows that are themselves the records" },
  *body({ node, limit, leaseMs }, { now }) {
    assert.ok(
      limit > 0 && limit <= claimMax && leaseMs > 0 && leaseMs <= leaseMsMax,
      "claimOutbox: limit or leaseMs out of bounds",
    );
    const lease = yield {
      sql: `INSERT INTO outbox_drainer (one, node, until) VALUES (1, ?, ?)
        ON CONFLICT (one) DO UPDATE SET node = excluded.node, until = excluded.until
        WHERE outbox_drainer.node = excluded.node OR outbox_drainer.until <= ? RETURNING one`,
      params: [node, now + leaseMs, now],
    };
    if (lease.length === 0) return { kind: "held", rows: [] };
    const rows = yield {
      sql: "SELECT id, at, tenant, environment, actor, action, object, facts FROM audit_outbox ORDER BY seq LIMIT ?",
      params: [limit],
    };
    return { kind: "claimed", rows: rows.map(auditRowOf) };
  },
};

/**
 * Removes rows that are durable in the log, by id: on PostgreSQL a lower `seq` may be committed later, so "all up to" would lose rows.
 * Returns how many were removed; `lease-lost` when another node took over.
 */
const markDrained: Command<
  { readonly node: string; readonly ids: readonly string[] },
  { readonly kind: "marked"; readonly count: number } | { readonly kind: "lease-lost" }
> = {
  audit: { bookkeeping: "the rows are in the log" },
  *body({ node, ids }, { now }) {
    assert.ok(ids.length <= claimMax, "markDrained: too many ids");
    const lease = yield { sql: "SELECT one FROM outbox_drainer WHERE node = ? AND until > ?", params: [node, now] };
    if (lease.length === 0) return { kind: "lease-lost" };
    let count = 0;
    for (const id of ids)
      count += (yield { sql: "DELETE FROM audit_outbox WHERE id = ? RETURNING id", params: [id] }).length;
    return { kind: "marked", count };
  },
};

const outboxBacklog: Command<null, OutboxBacklog> = {
  audit: null,
  *body(_input, { now }) {
    const [row] = yield { sql: "SELECT count(*) AS waiting, min(at) AS oldest FROM audit_outbox", params: [] };
    const count = Number(row?.waiting ?? 0);
    return { count, ageMs: count === 0 ? 0 : Math.max(0, now - Number(row?.oldest)) };
  },
};

/** Merge these into the commands of every store that records. */
export const outboxCommands = { claimOutbox, markDrained, outboxBacklog } satisfies CommandTable;
