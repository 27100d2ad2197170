// Promises log-in sessions that are known by a digest, end by themselves (idle and absolute), end on order with a revocation and its notices in the
// same transaction, and never outlive a restore. Trusts what was proven before `startSession`. Specified in docs/identity/sessions.md.
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { Acr } from "@sallyport/protocol/token/acr.ts";
import { tombstoneGrants } from "../oauth/grant-commands.ts";
import { appendRevocation, tokenEndMs } from "../revoke.ts";
import type { Place } from "../store.ts";

type Act<T> = Generator<Statement, T, readonly Row[]>;

/** How often `seen_at` is written, at most. */
const touchEveryMs = 60_000;
const sessionsListMax = 1_000;
const clientsMax = 64;

export interface SessionFacts {
  /** `ses_…`: public, in tokens. */
  readonly sid: string;
  readonly user: string;
  readonly createdAt: number;
  readonly seenAt: number;
  /** Absolute end, milliseconds since the epoch. */
  readonly until: number;
  /** Milliseconds since the epoch. */
  readonly authTime: number;
  readonly acr: Acr;
  readonly amr: readonly string[];
  /** Was this browser used for this user before? */
  readonly device: "known" | "new";
  /** Of a fixed list, for example `Firefox on Linux`: never text of the request. */
  readonly browser: string;
}

const columns = "sid, user_id, created_at, seen_at, until, auth_time, acr, amr, device, browser";
const alive = `ended_at IS NULL AND until > ? AND idle_until > ? AND created_at >= coalesce((SELECT max(restored_at) FROM backup_restore), 0)`;
const inPlace = "tenant = ? AND environment = ?";

function sessionOf(row: Row): SessionFacts {
  return {
    sid: String(row["sid"]),
    user: String(row["user_id"]),
    createdAt: Number(row["created_at"]),
    seenAt: Number(row["seen_at"]),
    until: Number(row["until"]),
    authTime: Number(row["auth_time"]),
    // as: the columns are written from this type below.
    acr: String(row["acr"]) as Acr,
    amr: JSON.parse(String(row["amr"])) as readonly string[],
    device: row["device"] === "known" ? "known" : "new",
    browser: String(row["browser"]),
  };
}

/** One living session by the digest of its cookie or by its sid, with its user still active. */
function* findAlive(
  place: Place,
  by: { readonly digest: string } | { readonly sid: string },
  now: number,
): Act<SessionFacts | null> {
  const [column, value] = "digest" in by ? ["digest", by.digest] : ["sid", by.sid];
  const [row] = yield {
    sql: `SELECT ${columns} FROM people_session s WHERE ${inPlace} AND ${column} = ? AND ${alive}
      AND EXISTS (SELECT 1 FROM people_user u WHERE u.tenant = s.tenant AND u.environment = s.environment AND u.id = s.user_id AND u.state = 'active')`,
    params: [place.tenant, place.environment, value, now, now],
  };
  return row === undefined ? null : sessionOf(row);
}

const readSession: Command<Place & ({ readonly digest: string } | { readonly sid: string }), SessionFacts | null> = {
  audit: null,
  *body(input, { now }) {
    return yield* findAlive(input, input, now);
  },
};

export interface NewSession extends Place {
  readonly sid: string;
  readonly digest: string;
  readonly user: string;
  readonly acr: Acr;
  readonly amr: readonly string[];
  readonly device: "known" | "new";
  readonly browser: string;
  /** When they proved it, where that was not just now; never later than now. */
  readonly authTime: number | null;
  readonly idleMs: number;
  readonly absoluteMs: number;
  /** Digest of the session this browser had before; it ends: a cookie set before a log-in is worth nothing after it. */
  readonly replaces: string | null;
  /** Digest of the device cookie and how long it is remembered; null: it is not. */
  readonly remember: { readonly digest: string; readonly lifetimeMs: number } | null;
}

/** Starts the session of a log-in; null when the user is not active (any more). */
const startSession: Command<NewSession, SessionFacts | null> = {
  audit: "session.start",
  *body(input, context) {
    const { tenant, environment, sid, digest, user, acr, amr, device, browser } = input;
    const { now } = context;
    const [row] = yield {
      sql: "SELECT state FROM people_user WHERE tenant = ? AND environment = ? AND id = ?",
      params: [tenant, environment, user],
    };
    if (row?.["state"] !== "active") return null;
    if (input.replaces !== null) yield* endByDigest(input, input.replaces, context);
    const until = now + input.absoluteMs;
    const authTime = Math.min(now, input.authTime ?? now);
    yield {
      sql: `INSERT INTO people_session (tenant, environment, digest, sid, user_id, created_at, seen_at, until, auth_time, acr, amr, device, browser, idle_until)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      params: [
        tenant,
        environment,
        digest,
        sid,
        user,
        now,
        now,
        until,
        authTime,
        acr,
        JSON.stringify(amr),
        device,
        browser,
        now + input.idleMs,
      ],
    };
    yield* rememberDevice(input, now);
    yield sessionAudit(
      { ...input, actor: `user:${user}`, action: "session.start", facts: { acr, amr: amr.join(" "), device } },
      context,
    );
    return { sid, user, createdAt: now, seenAt: now, until, authTime, acr, amr, device, browser };
  },
};

function* rememberDevice(
  { tenant, environment, user, remember }: Pick<NewSession, "tenant" | "environment" | "user" | "remember">,
  now: number,
): Act<void> {
  if (remember === null) return;
  yield {
    sql: `INSERT INTO people_device (tenant, environment, user_id, digest, created_at, until) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (tenant, environment, user_id, digest) DO UPDATE SET until = excluded.until`,
    params: [tenant, environment, user, remember.digest, now, now + remember.lifetimeMs],
  };
}

/** Was this browser used for this user before? */
const isKnownDevice: Command<Place & { readonly user: string; readonly digest: string }, boolean> = {
  audit: null,
  *body({ tenant, environment, user, digest }, { now }) {
    const rows = yield {
      sql: `SELECT created_at FROM people_device WHERE ${inPlace} AND user_id = ? AND digest = ? AND until > ?`,
      params: [tenant, environment, user, digest, now],
    };
    return rows.length > 0;
  },
};

/** The same session after a further proof: a new cookie, the same sid, so that tokens of before live on. null: it is gone, or another user's. */
const raiseSession: Command<
  Place & {
    readonly from: string;
    readonly to: string;
    readonly user: string;
    readonly acr: Acr;
    readonly amr: readonly string[];
    readonly authTime: number | null;
    readonly idleMs: number;
  },
  SessionFacts | null
> = {
  audit: "session.raise",
  *body(input, context) {
    const { tenant, environment, from, to, user, acr, amr, idleMs } = input;
    const { now } = context;
    const found = yield* findAlive(input, { digest: from }, now);
    if (found === null || found.user !== user) return null;
    const authTime = Math.min(now, input.authTime ?? now);
    yield {
      sql: `UPDATE people_session SET digest = ?, auth_time = ?, acr = ?, amr = ?, seen_at = ?, idle_until = ? WHERE ${inPlace} AND digest = ?`,
      params: [to, authTime, acr, JSON.stringify(amr), now, now + idleMs, tenant, environment, from],
    };
    yield sessionAudit(
      { ...input, sid: found.sid, actor: `user:${user}`, action: "session.raise", facts: { acr, amr: amr.join(" ") } },
      context,
    );
    return { ...found, authTime, acr, amr, seenAt: now };
  },
};

/** A living session that is used; its idle end moves at most once a minute. */
const touchSession: Command<Place & { readonly digest: string; readonly idleMs: number }, null> = {
  audit: { bookkeeping: "a time of last sight" },
  *body({ tenant, environment, digest, idleMs }, { now }) {
    yield {
      sql: `UPDATE people_session SET seen_at = ?, idle_until = ? WHERE ${inPlace} AND digest = ? AND seen_at < ? AND ${alive}`,
      params: [now, now + idleMs, tenant, environment, digest, now - touchEveryMs, now, now],
    };
    return null;
  },
};

/** A client that was given tokens of this session: it is told when the session ends. False: it is over, or has 64 others. */
const noteSessionClient: Command<Place & { readonly sid: string; readonly client: string }, boolean> = {
  audit: { bookkeeping: "who is told of an end; the token is its own record" },
  *body(input, { now }) {
    const { tenant, environment, sid, client } = input;
    if ((yield* findAlive(input, { sid }, now)) === null) return false;
    // Those that are noted already have their place.
    const [count] = yield {
      sql: `SELECT count(*) AS n FROM people_session_client WHERE ${inPlace} AND sid = ? AND client <> ?`,
      params: [tenant, environment, sid, client],
    };
    if (Number(count?.["n"] ?? 0) >= clientsMax) return false;
    yield {
      sql: "INSERT INTO people_session_client (tenant, environment, sid, client) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      params: [tenant, environment, sid, client],
    };
    return true;
  },
};

const listSessions: Command<Place & { readonly user?: string }, readonly SessionFacts[]> = {
  audit: null,
  *body({ tenant, environment, user }, { now }) {
    const rows = yield {
      sql: `SELECT ${columns} FROM people_session WHERE ${inPlace} AND (? = '' OR user_id = ?) AND ${alive} ORDER BY created_at DESC, sid LIMIT ?`,
      params: [tenant, environment, user ?? "", user ?? "", now, now, sessionsListMax],
    };
    return rows.map(sessionOf);
  },
};

/** Ends one session by its sid; with `user` only one of that user's. False: there is no such living session. */
const endSession: Command<
  Place & { readonly sid: string; readonly user?: string; readonly actor: string; readonly why: string },
  boolean
> = {
  audit: "session.end",
  *body(input, context) {
    const { tenant, environment, sid, user, actor, why } = input;
    const [row] = yield {
      sql: `UPDATE people_session SET ended_at = ?, ended_why = ? WHERE ${inPlace} AND sid = ? AND (? = '' OR user_id = ?) AND ended_at IS NULL RETURNING user_id`,
      params: [context.now, why, tenant, environment, sid, user ?? "", user ?? ""],
    };
    if (row === undefined) return false;
    yield* followEnd(input, { sid, user: String(row["user_id"]) }, context);
    yield sessionAudit(
      { ...input, user: String(row["user_id"]), actor, action: "session.end", facts: { why } },
      context,
    );
    return true;
  },
};

function* endByDigest(place: Place, digest: string, context: CommandContext): Act<void> {
  const [row] = yield {
    sql: `UPDATE people_session SET ended_at = ?, ended_why = 'replaced' WHERE ${inPlace} AND digest = ? AND ended_at IS NULL RETURNING sid, user_id`,
    params: [context.now, place.tenant, place.environment, digest],
  };
  if (row === undefined) return;
  yield* followEnd(place, { sid: String(row["sid"]), user: String(row["user_id"]) }, context);
}

/** Ends every session of a user inside another act; `keep`: but the one with this sid. */
export function* endSessions(
  { tenant, environment, user }: Place & { readonly user: string },
  { why, keep = "" }: { readonly why: string; readonly keep?: string },
  context: CommandContext,
): Act<number> {
  const rows = yield {
    sql: `UPDATE people_session SET ended_at = ?, ended_why = ? WHERE ${inPlace} AND user_id = ? AND sid <> ? AND ended_at IS NULL RETURNING sid`,
    params: [context.now, why, tenant, environment, user, keep],
  };
  for (const row of rows) yield* followEnd({ tenant, environment }, { sid: String(row["sid"]), user }, context);
  return rows.length;
}

/** What an end brings with it: tokens and refresh tokens die, and every client that had some is told (OpenID Connect Back-Channel Logout 1.0). */
function* followEnd(
  { tenant, environment }: Place,
  { sid, user }: { readonly sid: string; readonly user: string },
  context: CommandContext,
): Act<void> {
  const { now } = context;
  yield* appendRevocation({
    tenant,
    environment,
    kind: "session",
    value: sid,
    notBefore: now,
    until: now + tokenEndMs,
  });
  yield* tombstoneGrants({ tenant, environment, by: "session", value: sid }, now);
  const clients = yield {
    sql: `SELECT client FROM people_session_client WHERE ${inPlace} AND sid = ? ORDER BY client`,
    params: [tenant, environment, sid],
  };
  for (const { client } of clients)
    yield {
      sql: `INSERT INTO people_logout (id, tenant, environment, sid, user_id, client, created_at, next_at, attempts, state)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 'waiting')`,
      params: [context.nextId(), tenant, environment, sid, user, String(client), now, now],
    };
}

const endUserSessions: Command<
  Place & { readonly user: string; readonly keep?: string; readonly actor: string; readonly why: string },
  number
> = {
  audit: "session.end",
  *body(input, context) {
    const { user, actor, why, keep } = input;
    const count = yield* endSessions(input, keep === undefined ? { why } : { why, keep }, context);
    if (count > 0)
      yield actStatement(context, {
        tenant: input.tenant,
        environment: input.environment,
        actor,
        action: "session.end",
        object: `user/${user}`,
        facts: { why, count },
      });
    return count;
  },
};

const expiredPerRunMax = 200;

/** Ends sessions whose whole time is over: what they allowed ends with them. Idle ones only close the browser's door. Returns how many. */
const endExpiredSessions: Command<null, number> = {
  audit: "session.end",
  *body(_input, context) {
    const rows = yield {
      sql: `SELECT tenant, environment, sid, user_id FROM people_session WHERE ended_at IS NULL AND until <= ? ORDER BY until, sid LIMIT ${expiredPerRunMax}`,
      params: [context.now],
    };
    for (const row of rows) {
      const place = { tenant: String(row["tenant"]), environment: String(row["environment"]) };
      const session = { sid: String(row["sid"]), user: String(row["user_id"]) };
      yield {
        sql: `UPDATE people_session SET ended_at = ?, ended_why = 'time' WHERE ${inPlace} AND sid = ?`,
        params: [context.now, place.tenant, place.environment, session.sid],
      };
      yield* followEnd(place, session, context);
      const facts = { why: "time" };
      yield sessionAudit({ ...place, ...session, actor: "built-in", action: "session.end", facts }, context);
    }
    return rows.length;
  },
};

function sessionAudit(
  act: Place & {
    readonly sid: string;
    readonly user: string;
    readonly actor: string;
    readonly action: string;
    readonly facts: Readonly<Record<string, string | number>>;
  },
  context: CommandContext,
): Statement {
  const { tenant, environment, sid, user, actor, action, facts } = act;
  return actStatement(context, {
    tenant,
    environment,
    actor,
    action,
    object: `user/${user}`,
    facts: { session: sid, ...facts },
  });
}

export const sessionCommands = {
  readSession,
  startSession,
  isKnownDevice,
  raiseSession,
  touchSession,
  noteSessionClient,
  listSessions,
  endSession,
  endUserSessions,
  endExpiredSessions,
} satisfies CommandTable;
