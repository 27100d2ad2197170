// Promises that holds are placed, released and obeyed in one transaction with their records: no removal begins under a hold, and none without a record.
// Trusts decide-hold.ts for what a hold covers. Specified in docs/archive.md "Legal hold" and "Retention"; words in docs/audit-actions.md.
import { hash } from "node:crypto";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { decideHeld, type HoldScope, type LegalHold, placeOfOrigin } from "./decide-hold.ts";

export const keepingMigrations: readonly Migration[] = [
  {
    capability: "keeping",
    version: 1,
    name: "legal holds, removals, and what was said to the archive store",
    up: (t) => [
      `CREATE TABLE keeping_hold (tenant ${t.text} NOT NULL, id ${t.text} NOT NULL, origin ${t.text}, environment ${t.text}, from_year ${t.integer},
        to_year ${t.integer}, owner ${t.text} NOT NULL, reason ${t.text} NOT NULL, actor ${t.text} NOT NULL, placed_at ${t.integer} NOT NULL,
        released_at ${t.integer}, PRIMARY KEY (tenant, id)) ${t.table}`,
      `CREATE TABLE keeping_removal (origin ${t.text} PRIMARY KEY, leaves ${t.integer} NOT NULL, began_at ${t.integer} NOT NULL,
        finished_at ${t.integer}) ${t.table}`,
      `CREATE TABLE keeping_said (origin ${t.text} PRIMARY KEY, retain_until ${t.integer} NOT NULL, held ${t.integer} NOT NULL) ${t.table}`,
    ],
  },
];

/** Holds of one tenant, released ones too: a hundred a year for a century. */
export const holdsMax = 10_000;
const removalsMax = 100_000;
const columns = "tenant, id, origin, environment, from_year, to_year, owner, reason, actor, placed_at, released_at";
const text = (value: unknown): string | null => (value === null || value === undefined ? null : String(value));
const whole = (value: unknown): number | null => (value === null || value === undefined ? null : Number(value));

function holdOf(row: Row): LegalHold {
  return {
    tenant: String(row["tenant"]),
    id: String(row["id"]),
    origin: text(row["origin"]),
    environment: text(row["environment"]),
    fromYear: whole(row["from_year"]),
    toYear: whole(row["to_year"]),
    owner: String(row["owner"]),
    reason: String(row["reason"]),
    actor: String(row["actor"]),
    placedAt: Number(row["placed_at"]),
    releasedAt: whole(row["released_at"]),
  };
}

export interface PlaceHold extends HoldScope {
  readonly tenant: string;
  readonly id: string;
  readonly owner: string;
  readonly reason: string;
  readonly actor: string;
}

export type HoldOutcome =
  | { readonly kind: "done"; readonly hold: LegalHold }
  | { readonly kind: "exists" | "too-many" | "not-found" | "released" };

/** An id is used once: a released hold stays, with who placed it and why. */
const placeHold: Command<PlaceHold, HoldOutcome> = {
  audit: "hold.place",
  *body({ tenant, id, origin, environment, fromYear, toYear, owner, reason, actor }, context) {
    const [count] = yield { sql: "SELECT count(*) AS holds FROM keeping_hold WHERE tenant = ?", params: [tenant] };
    if (Number(count?.["holds"]) >= holdsMax) return { kind: "too-many" };
    const made = yield {
      sql: `INSERT INTO keeping_hold (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING RETURNING id`,
      params: [tenant, id, origin, environment, fromYear, toYear, owner, reason, actor, context.now],
    };
    if (made.length === 0) return { kind: "exists" };
    const scope = {
      ...(origin === null ? {} : { origin }),
      ...(environment === null ? {} : { environment }),
      ...(fromYear === null ? {} : { fromYear }),
      ...(toYear === null ? {} : { toYear }),
    };
    yield actStatement(context, {
      ...{ tenant, environment: "sallyport", actor, action: "hold.place", object: `hold/${id}` },
      facts: { ...scope, owner, reason },
    });
    const placed = { tenant, id, origin, environment, fromYear, toYear, owner, reason, actor };
    return { kind: "done", hold: { ...placed, placedAt: context.now, releasedAt: null } };
  },
};

const releaseHold: Command<Pick<PlaceHold, "tenant" | "id" | "reason" | "actor">, HoldOutcome> = {
  audit: "hold.release",
  *body({ tenant, id, reason, actor }, context) {
    const [row] = yield {
      sql: `SELECT ${columns} FROM keeping_hold WHERE tenant = ? AND id = ?`,
      params: [tenant, id],
    };
    if (row === undefined) return { kind: "not-found" };
    const hold = holdOf(row);
    if (hold.releasedAt !== null) return { kind: "released" };
    yield {
      sql: "UPDATE keeping_hold SET released_at = ? WHERE tenant = ? AND id = ? AND released_at IS NULL",
      params: [context.now, tenant, id],
    };
    yield actStatement(context, {
      ...{ tenant, environment: "sallyport", actor, action: "hold.release", object: `hold/${id}` },
      facts: { reason },
    });
    return { kind: "done", hold: { ...hold, releasedAt: context.now } };
  },
};

const selectHolds = (tenant: string) => ({
  sql: `SELECT ${columns} FROM keeping_hold WHERE tenant = ? ORDER BY placed_at, id LIMIT ?`,
  params: [tenant, holdsMax],
});

/** Also those that were released, oldest first; for a command that must obey them. */
export function* readHolds(tenant: string): Generator<Statement, readonly LegalHold[], readonly Row[]> {
  return (yield selectHolds(tenant)).map(holdOf);
}

const listHolds: Command<{ readonly tenant: string }, readonly LegalHold[]> = {
  audit: null,
  *body({ tenant }) {
    return yield* readHolds(tenant);
  },
};

export interface Removal {
  readonly origin: string;
  readonly leaves: number;
  readonly beganAt: number;
  readonly finishedAt: number | null;
}

/** An origin as the name of an object; one that is too long for a record by its hash. The facts have it as it is. */
function objectOf(origin: string): string {
  return `log/${origin.length > 200 ? hash("sha256", origin, "hex") : origin.replaceAll("/", ":")}`;
}

/** Records that a log goes for good, unless a hold covers it now. Begun twice, it is recorded once. */
const beginRemoval: Command<
  { readonly tenant: string; readonly origin: string; readonly leaves: number; readonly retainedUntil: number },
  { readonly kind: "begun" } | { readonly kind: "held"; readonly by: string }
> = {
  audit: "log.remove",
  *body({ tenant, origin, leaves, retainedUntil }, context) {
    const by = decideHeld(yield* readHolds(tenant), placeOfOrigin(origin));
    if (by !== null) return { kind: "held", by: by.id };
    const made = yield {
      sql: "INSERT INTO keeping_removal (origin, leaves, began_at, finished_at) VALUES (?, ?, ?, NULL) ON CONFLICT (origin) DO NOTHING RETURNING origin",
      params: [origin, leaves, context.now],
    };
    if (made.length > 0)
      yield actStatement(context, {
        ...{
          tenant,
          environment: "sallyport",
          actor: "built-in",
          action: "log.remove",
          object: objectOf(origin),
        },
        facts: { origin, leaves, retainedUntil },
      });
    return { kind: "begun" };
  },
};

const finishRemoval: Command<{ readonly origin: string }, null> = {
  audit: { bookkeeping: "the removal was recorded when it began" },
  *body({ origin }, { now }) {
    yield {
      sql: "UPDATE keeping_removal SET finished_at = ? WHERE origin = ? AND finished_at IS NULL",
      params: [now, origin],
    };
    return null;
  },
};

const listRemovals: Command<null, readonly Removal[]> = {
  audit: null,
  *body() {
    const rows = yield {
      sql: "SELECT origin, leaves, began_at, finished_at FROM keeping_removal ORDER BY origin LIMIT ?",
      params: [removalsMax],
    };
    return rows.map((row) => ({
      origin: String(row["origin"]),
      leaves: Number(row["leaves"]),
      beganAt: Number(row["began_at"]),
      finishedAt: whole(row["finished_at"]),
    }));
  },
};

/** What the objects of a log were last told in the store, so that it is told again only when it changes. */
export interface SaidKeeping {
  readonly origin: string;
  readonly retainUntil: number;
  readonly held: boolean;
}

const listSaid: Command<null, readonly SaidKeeping[]> = {
  audit: null,
  *body() {
    const rows = yield {
      sql: "SELECT origin, retain_until, held FROM keeping_said ORDER BY origin LIMIT ?",
      params: [removalsMax],
    };
    return rows.map((row) => ({
      origin: String(row["origin"]),
      retainUntil: Number(row["retain_until"]),
      held: Number(row["held"]) === 1,
    }));
  },
};

const noteSaid: Command<SaidKeeping, null> = {
  audit: { bookkeeping: "a note of what hold.place, hold.release and the configuration had said" },
  *body({ origin, retainUntil, held }) {
    yield {
      sql: `INSERT INTO keeping_said (origin, retain_until, held) VALUES (?, ?, ?)
        ON CONFLICT (origin) DO UPDATE SET retain_until = excluded.retain_until, held = excluded.held`,
      params: [origin, retainUntil, held ? 1 : 0],
    };
    return null;
  },
};

export const keepingCommands = {
  placeHold,
  releaseHold,
  listHolds,
  beginRemoval,
  finishRemoval,
  listRemovals,
  listSaid,
  noteSaid,
} satisfies CommandTable;
