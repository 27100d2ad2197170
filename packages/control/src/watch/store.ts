// Promises findings that survive a restart without doubling: what records led to and the place behind them are one transaction, and a record counts once
// however often it is handed over. Trusts findings-fold.ts for signals. Specified in docs/findings.md.
import { strict as assert } from "node:assert";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { Signal, Subject } from "./detector.ts";
import { evidenceMax, type Finding, type FindingState, openPerRuleMax, sameFindingMs } from "./finding.ts";
import { ruleTells } from "./gate-store.ts";
import { unreadableRecords } from "./unreadable-records.ts";

export const watchMigrations: readonly Migration[] = [
  {
    capability: "watch",
    version: 1,
    name: "findings, states of rules and places in the log",
    up: (t) => [
      `CREATE TABLE watch_finding (id ${t.text} PRIMARY KEY, tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, rule ${t.text} NOT NULL,
        version ${t.integer} NOT NULL, severity ${t.text} NOT NULL, subject_kind ${t.text} NOT NULL, subject ${t.text} NOT NULL,
        first_at ${t.integer} NOT NULL, last_at ${t.integer} NOT NULL, count ${t.integer} NOT NULL, evidence ${t.text} NOT NULL,
        facts ${t.text} NOT NULL, state ${t.text} NOT NULL, changed_by ${t.text}, changed_at ${t.integer}, reason ${t.text}) ${t.table}`,
      "CREATE INDEX watch_finding_of ON watch_finding (tenant, environment, rule, subject_kind, subject)",
      "CREATE INDEX watch_finding_state ON watch_finding (tenant, state, last_at)",
      `CREATE TABLE watch_rule (rule ${t.text} PRIMARY KEY, version ${t.integer} NOT NULL, state ${t.text} NOT NULL) ${t.table}`,
      `CREATE TABLE watch_place (origin ${t.text} PRIMARY KEY, applied ${t.integer} NOT NULL, saved ${t.integer} NOT NULL) ${t.table}`,
    ],
  },
];

const listMax = 1_000;
const factsLengthMax = 2_048;
const originsMax = 100_000;

export interface Taken {
  /** Per origin, the index behind the last record that signals could come of. */
  readonly places: readonly { readonly origin: string; readonly next: number }[];
  readonly signals: readonly Signal[];
  /** States of the rules after all those places; null: they are not saved this time. */
  readonly states: readonly StoredRule[] | null;
}

export interface StoredRule {
  readonly rule: string;
  readonly version: number;
  readonly state: string;
}

type Act<T> = Generator<Statement, T, readonly Row[]>;

/**
 * Takes what records led to. A signal whose record is before the place of its origin was counted already. Returns the ids of findings that are new.
 */
const takeSignals: Command<Taken, readonly string[]> = {
  audit: { bookkeeping: "counts of findings, states of rules, places in the log", acts: ["finding.raise"] },
  *body({ places, signals, states }, context) {
    const applied = new Map<string, number>();
    for (const { origin } of places) {
      const [row] = yield { sql: "SELECT applied FROM watch_place WHERE origin = ?", params: [origin] };
      applied.set(origin, Number(row?.["applied"] ?? 0));
    }
    const raised: string[] = [];
    const telling = new Map<string, boolean>();
    // It says what is certain, and has no past to be tried over.
    telling.set(unreadableRecords.id, true);
    for (const { rule, version } of signals) if (!telling.has(rule)) telling.set(rule, yield* ruleTells(rule, version));
    for (const signal of signals) {
      const trigger = signal.evidence.at(-1);
      assert.ok(trigger !== undefined, "a signal of a rule has its record");
      if (trigger.index < (applied.get(trigger.origin) ?? 0)) continue;
      const id = yield* raise(signal, context, telling.get(signal.rule) ?? false);
      if (id !== null) raised.push(id);
    }
    for (const { origin, next } of places)
      yield {
        sql: `INSERT INTO watch_place (origin, applied, saved) VALUES (?, ?, ?) ON CONFLICT (origin) DO UPDATE SET
          applied = CASE WHEN watch_place.applied > excluded.applied THEN watch_place.applied ELSE excluded.applied END,
          saved = CASE WHEN ? = 1 THEN excluded.saved ELSE watch_place.saved END`,
        params: [origin, next, states === null ? 0 : next, states === null ? 0 : 1],
      };
    for (const { rule, version, state } of states ?? [])
      yield {
        sql: `INSERT INTO watch_rule (rule, version, state) VALUES (?, ?, ?)
          ON CONFLICT (rule) DO UPDATE SET version = excluded.version, state = excluded.state`,
        params: [rule, version, state],
      };
    return raised;
  },
};

/** The port for watchers that are no rule over records: evidence of a log taken back, a certificate about to end. Null: counted with one that is there. */
const raiseFinding: Command<Signal, string | null> = {
  audit: { bookkeeping: "a finding counted again", acts: ["finding.raise"] },
  *body(signal, context) {
    return yield* raise(signal, context);
  },
};

/**
 * The id of a new finding; null when it was counted with one that is there. `yield*` it inside a command whose `audit` names `finding.raise`.
 * `tells`: notifiers hear of it; what is no rule over records has nothing to be tried over.
 */
export function* raise(signal: Signal, context: CommandContext, tells = true): Act<string | null> {
  assert.ok(signal.count >= 1 && JSON.stringify(signal.facts).length <= factsLengthMax, "a signal is bounded");
  const same = yield* sameFinding(signal, signal.subject);
  if (same !== null) {
    yield counted(same, signal);
    return null;
  }
  const [open] = yield {
    sql: "SELECT count(*) AS n FROM watch_finding WHERE tenant = ? AND environment = ? AND rule = ? AND state <> 'resolved'",
    params: [signal.tenant, signal.environment, signal.rule],
  };
  if (Number(open?.["n"]) < openPerRuleMax) return yield* insert(signal, signal.subject, { context, tells });
  // A flood of subjects must not hide one behind thousands, or fill the store.
  const others: Subject = { kind: "others", name: "others" };
  const rest = yield* sameFinding(signal, others);
  if (rest === null) return yield* insert(signal, others, { context, tells });
  yield counted(rest, signal);
  return null;
}

interface Same {
  readonly id: string;
  readonly evidence: Finding["evidence"];
}

function* sameFinding({ tenant, environment, rule, firstAt }: Signal, { kind, name }: Subject): Act<Same | null> {
  const [row] = yield {
    sql: `SELECT id, evidence FROM watch_finding WHERE tenant = ? AND environment = ? AND rule = ? AND subject_kind = ? AND subject = ?
      AND state <> 'resolved' AND last_at >= ? ORDER BY last_at DESC LIMIT 1`,
    params: [tenant, environment, rule, kind, name, firstAt - sameFindingMs],
  };
  if (row === undefined) return null;
  // as: written below from the same type.
  return { id: String(row["id"]), evidence: JSON.parse(String(row["evidence"])) as Same["evidence"] };
}

function counted({ id, evidence }: Same, signal: Signal): Statement {
  const more = [...evidence, ...signal.evidence].slice(0, evidenceMax);
  return {
    sql: `UPDATE watch_finding SET count = count + ?, evidence = ?,
      first_at = CASE WHEN first_at > ? THEN ? ELSE first_at END, last_at = CASE WHEN last_at < ? THEN ? ELSE last_at END WHERE id = ?`,
    params: [
      ...[signal.count, JSON.stringify(more)],
      ...[signal.firstAt, signal.firstAt, signal.lastAt, signal.lastAt, id],
    ],
  };
}

function* insert(
  signal: Signal,
  subject: Subject,
  { context, tells }: { readonly context: CommandContext; readonly tells: boolean },
): Act<string> {
  const { tenant, environment, rule, version, severity, firstAt, lastAt, count, evidence, facts } = signal;
  const id = `fnd-${context.nextId()}`;
  yield {
    sql: `INSERT INTO watch_finding (id, tenant, environment, rule, version, severity, subject_kind, subject, first_at, last_at, count, evidence, facts,
      state, changed_by, changed_at, reason, tells) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', NULL, NULL, NULL, ?)`,
    params: [
      ...[id, tenant, environment, rule, version, severity, subject.kind, subject.name, firstAt, lastAt, count],
      ...[JSON.stringify(evidence.slice(0, evidenceMax)), JSON.stringify(facts), tells ? 1 : 0],
    ],
  };
  yield actStatement(context, {
    ...{ tenant, environment, actor: "built-in", action: "finding.raise", object: `finding/${rule}/${id}` },
    facts: {
      ...{ version, severity, kind: subject.kind, subject: subject.name, firstAt, lastAt, count },
      tells: tells ? "yes" : "no",
    },
  });
  return id;
}

export interface WatchPlaces {
  readonly places: readonly { readonly origin: string; readonly saved: number }[];
  readonly states: readonly StoredRule[];
}

const readWatch: Command<null, WatchPlaces> = {
  audit: null,
  *body() {
    const places = yield { sql: "SELECT origin, saved FROM watch_place ORDER BY origin LIMIT ?", params: [originsMax] };
    const states = yield { sql: "SELECT rule, version, state FROM watch_rule ORDER BY rule", params: [] };
    return {
      places: places.map((row) => ({ origin: String(row["origin"]), saved: Number(row["saved"]) })),
      states: states.map((row) => ({
        rule: String(row["rule"]),
        version: Number(row["version"]),
        state: String(row["state"]),
      })),
    };
  },
};

export function findingOf(row: Row): Finding {
  const changedBy = row["changed_by"];
  return {
    id: String(row["id"]),
    environment: String(row["environment"]),
    rule: String(row["rule"]),
    version: Number(row["version"]),
    // as: the columns are written above from these types.
    severity: String(row["severity"]) as Finding["severity"],
    subject: { kind: String(row["subject_kind"]) as Subject["kind"], name: String(row["subject"]) },
    firstAt: Number(row["first_at"]),
    lastAt: Number(row["last_at"]),
    count: Number(row["count"]),
    evidence: JSON.parse(String(row["evidence"])) as Finding["evidence"],
    facts: JSON.parse(String(row["facts"])) as Finding["facts"],
    state: String(row["state"]) as FindingState,
    tells: Number(row["tells"]) === 1,
    change:
      typeof changedBy === "string"
        ? { actor: changedBy, at: Number(row["changed_at"]), reason: String(row["reason"]) }
        : null,
  };
}

/** Up to 1,000: what is not resolved first, then the newest. */
const listFindings: Command<{ readonly tenant: string }, readonly Finding[]> = {
  audit: null,
  *body({ tenant }) {
    const rows = yield {
      sql: "SELECT * FROM watch_finding WHERE tenant = ? ORDER BY CASE WHEN state = 'resolved' THEN 1 ELSE 0 END, last_at DESC, id LIMIT ?",
      params: [tenant, listMax],
    };
    return rows.map(findingOf);
  },
};

const readFinding: Command<{ readonly tenant: string; readonly id: string }, Finding | null> = {
  audit: null,
  *body({ tenant, id }) {
    const [row] = yield { sql: "SELECT * FROM watch_finding WHERE tenant = ? AND id = ?", params: [tenant, id] };
    return row === undefined ? null : findingOf(row);
  },
};

/** Those of these ids that there are. */
const findFindings: Command<{ readonly tenant: string; readonly ids: readonly string[] }, readonly Finding[]> = {
  audit: null,
  *body({ tenant, ids }) {
    const found: Finding[] = [];
    for (const id of ids) {
      const [row] = yield { sql: "SELECT * FROM watch_finding WHERE tenant = ? AND id = ?", params: [tenant, id] };
      if (row !== undefined) found.push(findingOf(row));
    }
    return found;
  },
};

export interface FindingChange {
  readonly tenant: string;
  readonly id: string;
  readonly to: Exclude<FindingState, "open">;
  readonly actor: string;
  readonly reason: string;
}

/** `refused`: it is resolved, and what is resolved stays so; what comes again is a new finding. */
const changeFinding: Command<FindingChange, "changed" | "refused" | "not-found"> = {
  audit: ["finding.acknowledge", "finding.resolve"],
  *body({ tenant, id, to, actor, reason }, context) {
    const [row] = yield { sql: "SELECT * FROM watch_finding WHERE tenant = ? AND id = ?", params: [tenant, id] };
    if (row === undefined) return "not-found";
    if (row["state"] === "resolved") return "refused";
    yield {
      sql: "UPDATE watch_finding SET state = ?, changed_by = ?, changed_at = ?, reason = ? WHERE tenant = ? AND id = ?",
      params: [to, actor, context.now, reason, tenant, id],
    };
    yield actStatement(context, {
      ...{ tenant, environment: String(row["environment"]), actor },
      action: to === "resolved" ? "finding.resolve" : "finding.acknowledge",
      object: `finding/${String(row["rule"])}/${id}`,
      facts: { from: String(row["state"]), reason },
    });
    return "changed";
  },
};

export const watchCommands = {
  takeSignals,
  raiseFinding,
  readWatch,
  listFindings,
  readFinding,
  findFindings,
  changeFinding,
} satisfies CommandTable;

export type WatchCommands = typeof watchCommands;
