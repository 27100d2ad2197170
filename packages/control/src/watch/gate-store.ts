// Promises for every rule whether it tells, since which backtest or by whose word, on record. A version that was not tried tells nobody.
// Trusts rule-trials.ts for the backtest. Specified in docs/findings.md "Before a rule tells".
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { RuleGate } from "./decide-gate.ts";

export const gateMigrations: readonly Migration[] = [
  {
    capability: "watch",
    version: 2,
    name: "rules that were tried, and findings nobody is told of",
    up: (t) => [
      `CREATE TABLE watch_gate (rule ${t.text} PRIMARY KEY, version ${t.integer} NOT NULL, tells ${t.integer} NOT NULL, tested_at ${t.integer} NOT NULL,
        since ${t.integer} NOT NULL, records ${t.integer} NOT NULL, findings ${t.integer} NOT NULL, whole ${t.integer} NOT NULL,
        changed_by ${t.text}, changed_at ${t.integer}, reason ${t.text}) ${t.table}`,
      `ALTER TABLE watch_finding ADD COLUMN tells ${t.integer} NOT NULL DEFAULT 1`,
    ],
  },
];

const rulesMax = 1_000;
/** Rules are control's own: their acts are of the environment of its operators. */
const ownEnvironment = "sallyport";

function gateOf(row: Row): RuleGate {
  const changedBy = row["changed_by"];
  return {
    ...{ rule: String(row["rule"]), version: Number(row["version"]), tells: Number(row["tells"]) === 1 },
    ...{ testedAt: Number(row["tested_at"]), sinceMs: Number(row["since"]), records: Number(row["records"]) },
    ...{ findings: Number(row["findings"]), whole: Number(row["whole"]) === 1 },
    change:
      typeof changedBy === "string"
        ? { actor: changedBy, at: Number(row["changed_at"]), reason: String(row["reason"]) }
        : null,
  };
}

const listRuleGates: Command<null, readonly RuleGate[]> = {
  audit: null,
  *body() {
    return (yield { sql: "SELECT * FROM watch_gate ORDER BY rule LIMIT ?", params: [rulesMax] }).map(gateOf);
  },
};

type Tried = Omit<RuleGate, "testedAt" | "change"> & { readonly tenant: string };

/** Keeps the first backtest of a version; false when it was tried before. */
const tryRule: Command<Tried, boolean> = {
  audit: "rule.try",
  *body({ tenant, rule, version, tells, sinceMs, records, findings, whole }, context) {
    const [kept] = yield { sql: "SELECT version FROM watch_gate WHERE rule = ?", params: [rule] };
    if (kept !== undefined && Number(kept["version"]) === version) return false;
    yield {
      sql: `INSERT INTO watch_gate (rule, version, tells, tested_at, since, records, findings, whole, changed_by, changed_at, reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL) ON CONFLICT (rule) DO UPDATE SET version = excluded.version, tells = excluded.tells,
        tested_at = excluded.tested_at, since = excluded.since, records = excluded.records, findings = excluded.findings, whole = excluded.whole,
        changed_by = NULL, changed_at = NULL, reason = NULL`,
      params: [rule, version, tells ? 1 : 0, context.now, sinceMs, records, findings, whole ? 1 : 0],
    };
    yield actStatement(context, {
      ...{ tenant, environment: ownEnvironment, actor: "built-in", action: "rule.try", object: `rule/${rule}` },
      facts: { version, sinceMs, records, findings, whole: whole ? "yes" : "no", tells: tells ? "yes" : "no" },
    });
    return true;
  },
};

export interface RuleWord {
  readonly tenant: string;
  readonly rule: string;
  /** Of this program: an operator's word is about what was tried. */
  readonly version: number;
  readonly tells: boolean;
  readonly actor: string;
  readonly reason: string;
}

/** `not-tried`: there is no backtest of this version yet. */
const setRule: Command<RuleWord, "changed" | "not-tried"> = {
  audit: ["rule.tell", "rule.hold"],
  *body({ tenant, rule, version, tells, actor, reason }, context) {
    const changed = yield {
      sql: "UPDATE watch_gate SET tells = ?, changed_by = ?, changed_at = ?, reason = ? WHERE rule = ? AND version = ? RETURNING rule",
      params: [tells ? 1 : 0, actor, context.now, reason, rule, version],
    };
    if (changed.length === 0) return "not-tried";
    yield actStatement(context, {
      ...{ tenant, environment: ownEnvironment, actor, action: tells ? "rule.tell" : "rule.hold" },
      ...{ object: `rule/${rule}`, facts: { version, reason } },
    });
    return "changed";
  },
};

/** Whether a version of a rule tells. `yield*` it inside a command. */
export function* ruleTells(rule: string, version: number): Generator<Statement, boolean, readonly Row[]> {
  const [row] = yield { sql: "SELECT tells FROM watch_gate WHERE rule = ? AND version = ?", params: [rule, version] };
  return row !== undefined && Number(row["tells"]) === 1;
}

export const gateCommands = { listRuleGates, tryRule, setRule } satisfies CommandTable;

export type GateCommands = typeof gateCommands;
