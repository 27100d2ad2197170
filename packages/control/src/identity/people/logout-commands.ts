// Promises that an end of a session is told to a client by one control node at a time, in bounded tries, and never again once it was recorded as told.
// Trusts the rows that the end itself has written (session-commands.ts). Specified in docs/identity/logout.md "Telling applications".
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable, Row } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../store.ts";

export const undeliveredListMax = 1_000;

/** A session that nobody ended, idle or not, by the digest of its cookie: what it allowed lives on until somebody does. */
const readHeldSession: Command<
  Place & { readonly digest: string },
  { readonly sid: string; readonly user: string } | null
> = {
  audit: null,
  *body({ tenant, environment, digest }) {
    const [row] = yield {
      sql: `SELECT sid, user_id FROM people_session WHERE tenant = ? AND environment = ? AND digest = ? AND ended_at IS NULL`,
      params: [tenant, environment, digest],
    };
    return row === undefined ? null : { sid: String(row["sid"]), user: String(row["user_id"]) };
  },
};

export interface ClaimedLogout {
  readonly id: string;
  readonly session: string;
  readonly user: string;
  readonly client: string;
  /** This one included. */
  readonly attempts: number;
}

export interface Claim extends Place {
  /** Of this claim and no other. */
  readonly lease: string;
  /** Longer than a try may take. */
  readonly leaseMs: number;
  readonly clientsMax: number;
  /** Of each client, so that one who is slow holds up nobody else. */
  readonly rowsMax: number;
}

/** Takes what is due for as long as the lease; another node takes it up again when this one is gone. */
const claimLogouts: Command<Claim, readonly ClaimedLogout[]> = {
  audit: { bookkeeping: "who tries; what came of it is the record" },
  *body({ tenant, environment, lease, leaseMs, clientsMax, rowsMax }, { now }) {
    const due = "tenant = ? AND environment = ? AND state = 'waiting' AND next_at <= ?";
    const clients = yield {
      sql: `SELECT client, min(next_at) AS first FROM people_logout WHERE ${due} GROUP BY client ORDER BY first, client LIMIT ?`,
      params: [tenant, environment, now, clientsMax],
    };
    const claimed: Row[] = [];
    for (const { client } of clients)
      claimed.push(
        ...(yield {
          sql: `UPDATE people_logout SET lease = ?, next_at = ?, attempts = attempts + 1
            WHERE id IN (SELECT id FROM people_logout WHERE ${due} AND client = ? ORDER BY next_at, id LIMIT ?)
            RETURNING id, sid, user_id, client, attempts`,
          params: [lease, now + leaseMs, tenant, environment, now, String(client), rowsMax],
        }),
      );
    return claimed.map((row) => ({
      id: String(row["id"]),
      session: String(row["sid"]),
      user: String(row["user_id"]),
      client: String(row["client"]),
      attempts: Number(row["attempts"]),
    }));
  },
};

export type LogoutOutcome =
  | { readonly kind: "delivered" }
  | { readonly kind: "retry"; readonly why: string; readonly nextAt: number }
  | { readonly kind: "failed"; readonly why: string };

/** What came of a try. False: the lease was lost, and somebody else says what came of theirs. */
const settleLogout: Command<
  Place & ClaimedLogout & { readonly lease: string; readonly outcome: LogoutOutcome },
  boolean
> = {
  audit: "session.tell",
  *body({ tenant, environment, id, session, user, client, attempts, lease, outcome }, context) {
    const why = outcome.kind === "delivered" ? null : outcome.why;
    const state = outcome.kind === "retry" ? "waiting" : outcome.kind;
    const settled = yield {
      sql: `UPDATE people_logout SET state = ?, why = ?, next_at = ?, lease = NULL WHERE id = ? AND lease = ? AND state = 'waiting' RETURNING id`,
      params: [state, why, outcome.kind === "retry" ? outcome.nextAt : context.now, id, lease],
    };
    if (settled.length === 0) return false;
    const facts = { session, client, outcome: outcome.kind, attempt: attempts, ...(why === null ? {} : { why }) };
    const object = `user/${user}`;
    yield actStatement(context, { tenant, environment, actor: "built-in", action: "session.tell", object, facts });
    return true;
  },
};

/** The client wants to hear of no ends: nothing is sent, and nothing is kept waiting. */
const dropLogout: Command<{ readonly id: string; readonly lease: string }, null> = {
  audit: { bookkeeping: "nobody is told" },
  *body({ id, lease }) {
    yield { sql: "DELETE FROM people_logout WHERE id = ? AND lease = ? AND state = 'waiting'", params: [id, lease] };
    return null;
  },
};

export interface UndeliveredLogout {
  readonly session: string;
  readonly user: string;
  readonly client: string;
  readonly state: "waiting" | "failed";
  readonly attempts: number;
  /** Of the last try: a code of docs/dial.md, `status-<n>`, `client-missing`, `trust-missing`. */
  readonly why: string;
  /** When the session ended, milliseconds since the epoch. */
  readonly endedAt: number;
  /** Of the next try; null: there is none. */
  readonly nextAt: number | null;
}

/** Ends that a client could not be told of, up to 1,000, the newest first. */
const listUndelivered: Command<Place, readonly UndeliveredLogout[]> = {
  audit: null,
  *body({ tenant, environment }) {
    const rows = yield {
      sql: `SELECT sid, user_id, client, state, attempts, why, created_at, next_at FROM people_logout
        WHERE tenant = ? AND environment = ? AND state IN ('waiting', 'failed') AND why IS NOT NULL ORDER BY created_at DESC, id LIMIT ${undeliveredListMax}`,
      params: [tenant, environment],
    };
    return rows.map((row) => ({
      session: String(row["sid"]),
      user: String(row["user_id"]),
      client: String(row["client"]),
      state: row["state"] === "failed" ? "failed" : "waiting",
      attempts: Number(row["attempts"]),
      why: String(row["why"]),
      endedAt: Number(row["created_at"]),
      nextAt: row["state"] === "failed" ? null : Number(row["next_at"]),
    }));
  },
};

export const logoutCommands = {
  readHeldSession,
  claimLogouts,
  settleLogout,
  dropLogout,
  listUndelivered,
} satisfies CommandTable;
