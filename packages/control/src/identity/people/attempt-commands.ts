// Promises attempts counted before anything is checked, so that many at once are as slow as one after another, and what may be used once used once.
// Trusts decide-throttle.ts for the arithmetic. Keys are digests. Specified in docs/identity/people.md "Throttling".
import { strict as assert } from "node:assert";
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../store.ts";
import { decideThrottle, type ThrottleTake } from "./decide-throttle.ts";

const takesMax = 4;
const purgeMax = 1_000;
const whereBucket = "tenant = ? AND environment = ? AND bucket = ?";

/** Takes one attempt from every bucket or from none; null when it may be made, otherwise milliseconds to wait. */
const takeAttempt: Command<Place & { readonly takes: readonly ThrottleTake[] }, number | null> = {
  audit: { bookkeeping: "attempts counted; a refused one is a record of the caller" },
  *body({ tenant, environment, takes }, { now }) {
    assert.ok(takes.length <= takesMax, "an attempt takes from few buckets");
    const stored = new Map<string, number>();
    for (const { key } of takes) {
      const [row] = yield {
        sql: `SELECT full_at FROM people_attempt WHERE ${whereBucket}`,
        params: [tenant, environment, key],
      };
      if (row !== undefined) stored.set(key, Number(row["full_at"]));
    }
    const verdict = decideThrottle(takes, stored, now);
    if (verdict.kind === "wait") return verdict.retryAfterMs;
    for (const [index, { key }] of takes.entries())
      yield {
        sql: `INSERT INTO people_attempt (tenant, environment, bucket, full_at) VALUES (?, ?, ?, ?)
          ON CONFLICT (tenant, environment, bucket) DO UPDATE SET full_at = excluded.full_at`,
        params: [tenant, environment, key, verdict.fullAt[index] ?? now],
      };
    return null;
  },
};

/** Somebody was right: what they took from these buckets is given back. */
const giveAttemptBack: Command<Place & { readonly takes: readonly ThrottleTake[] }, null> = {
  audit: { bookkeeping: "attempts counted; the log-in is its own record" },
  *body({ tenant, environment, takes }) {
    assert.ok(takes.length <= takesMax, "an attempt takes from few buckets");
    for (const { key, rule } of takes)
      yield {
        sql: `UPDATE people_attempt SET full_at = full_at - ? WHERE ${whereBucket}`,
        params: [rule.everyMs, tenant, environment, key],
      };
    return null;
  },
};

/** True for the one run that used it: a challenge, a state, a pending log-in. */
const spendOnce: Command<Place & { readonly digest: string; readonly until: number }, boolean> = {
  audit: { bookkeeping: "an id seen once; what it led to is its own record" },
  *body({ tenant, environment, digest, until }) {
    const inserted = yield {
      sql: "INSERT INTO people_spent (tenant, environment, digest, until) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING digest",
      params: [tenant, environment, digest, until],
    };
    return inserted.length === 1;
  },
};

/** Forgets at most 1,000 rows of each kind that nothing depends on any more; returns how many. */
const purgePeople: Command<null, number> = {
  audit: { bookkeeping: "counters that are full, ids that have expired, sessions that ended long ago" },
  *body(_input, { now }) {
    const keepMs = 30 * 86_400_000;
    const old: readonly (readonly [table: string, key: string, condition: string, bound: number])[] = [
      ["people_attempt", "tenant, environment, bucket", "full_at < ?", now],
      ["people_spent", "tenant, environment, digest", "until < ?", now],
      ["people_device", "tenant, environment, user_id, digest", "until < ?", now],
      ["people_enrolment", "tenant, environment, digest", "until < ?", now - keepMs],
      [
        "people_session_client",
        "tenant, environment, sid",
        "sid NOT IN (SELECT sid FROM people_session WHERE until >= ?)",
        now - keepMs,
      ],
      [
        "people_session_outside",
        "tenant, environment, sid, issuer",
        "sid NOT IN (SELECT sid FROM people_session WHERE until >= ?)",
        now - keepMs,
      ],
      ["people_session", "tenant, environment, sid", "until < ?", now - keepMs],
      ["people_logout", "id", "state <> 'waiting' AND created_at < ?", now - keepMs],
    ];
    let count = 0;
    for (const [table, key, condition, bound] of old) {
      const gone = yield {
        sql: `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE ${condition} LIMIT ${purgeMax}) RETURNING 1 AS one`,
        params: [bound],
      };
      count += gone.length;
    }
    return count;
  },
};

export const attemptCommands = { takeAttempt, giveAttemptBack, spendOnce, purgePeople } satisfies CommandTable;

export type AttemptCommands = typeof attemptCommands;
