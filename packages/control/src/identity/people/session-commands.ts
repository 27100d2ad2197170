// Promises log-in sessions that are known by a digest, end by themselves (idle and absolute), are over once they were revoked, never fall in what they are
// worth, and never outlive a restore. Their ends: session-ends.ts. Trusts what was proven before `startSession`. Specified in docs/identity/sessions.md.
import type { Command, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { type Acr, acrLevels } from "@sallyport/protocol/token/acr.ts";
import type { Place } from "../store.ts";
import { noteOutside, type OutsideProof } from "./outside/outside-sessions.ts";
import { endByDigest, sessionAudit } from "./session-ends.ts";

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

/** An operator revoked this session or everything of its user, whom a log-in since then brings back. Whole seconds: tokens say no more of a log-in. */
const isRevoked = `EXISTS (SELECT 1 FROM identity_revocation r WHERE r.tenant = ? AND r.environment = ?
  AND ((r.kind = 'session' AND r.value = sid) OR (r.kind = 'subject' AND r.value = user_id AND r.not_before >= auth_time - auth_time % 1000)))`;

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
    sql: `SELECT ${columns} FROM people_session s WHERE ${inPlace} AND ${column} = ? AND ${alive} AND NOT ${isRevoked}
      AND EXISTS (SELECT 1 FROM people_user u WHERE u.tenant = s.tenant AND u.environment = s.environment AND u.id = s.user_id AND u.state = 'active')`,
    params: [place.tenant, place.environment, value, now, now, place.tenant, place.environment],
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
  /** The provider outside that vouched for it; null: it was proven here. */
  readonly outside: OutsideProof | null;
  readonly idleMs: number;
  readonly absoluteMs: number;
  /** Digest of the session this browser had before; it ends: a cookie set before a log-in is worth nothing after it. */
  readonly replaces: string | null;
  /** Digest of the device cookie and how long it is remembered; null: it is not. */
  readonly remember: { readonly digest: string; readonly lifetimeMs: number } | null;
}

/** Starts the session of a log-in; null when the user is not active (any more), or everything of theirs was revoked since they proved it. */
const startSession: Command<NewSession, SessionFacts | null> = {
  audit: ["session.start", "session.end"],
  *body(input, context) {
    const { tenant, environment, sid, digest, user, acr, amr, device, browser } = input;
    const { now } = context;
    const [row] = yield {
      sql: "SELECT state FROM people_user WHERE tenant = ? AND environment = ? AND id = ?",
      params: [tenant, environment, user],
    };
    if (row?.["state"] !== "active") return null;
    if (input.authTime !== null && (yield* isRevokedSince(input, input.authTime))) return null;
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
    yield* noteOutside(input, input.outside);
    yield* rememberDevice(input, now);
    yield sessionAudit(
      { ...input, actor: `user:${user}`, action: "session.start", facts: { acr, amr: amr.join(" "), device } },
      context,
    );
    return { sid, user, createdAt: now, seenAt: now, until, authTime, acr, amr, device, browser };
  },
};

function* isRevokedSince(
  { tenant, environment, user }: Pick<NewSession, "tenant" | "environment" | "user">,
  at: number,
): Act<boolean> {
  const rows = yield {
    sql: `SELECT seq FROM identity_revocation WHERE ${inPlace} AND kind = 'subject' AND value = ? AND not_before >= ? LIMIT 1`,
    params: [tenant, environment, user, at],
  };
  return rows.length > 0;
}

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

/**
 * The same session after a further proof: a new cookie, the same sid, so that tokens of before live on. What it is worth never falls: level and time stay
 * together, so a weaker proof changes neither, and one as strong but older does not either. null: it is gone, or another user's.
 */
const raiseSession: Command<
  Place & {
    readonly from: string;
    readonly to: string;
    readonly user: string;
    readonly acr: Acr;
    readonly amr: readonly string[];
    readonly authTime: number | null;
    readonly outside: OutsideProof | null;
    readonly idleMs: number;
  },
  SessionFacts | null
> = {
  audit: "session.raise",
  *body(input, context) {
    const { tenant, environment, from, to, user, idleMs } = input;
    const { now } = context;
    const found = yield* findAlive(input, { digest: from }, now);
    if (found === null || found.user !== user) return null;
    const proven = { acr: input.acr, amr: input.amr, authTime: Math.min(now, input.authTime ?? now) };
    const { acr, amr, authTime } = isWorthLess(proven, found) ? found : proven;
    yield {
      sql: `UPDATE people_session SET digest = ?, auth_time = ?, acr = ?, amr = ?, seen_at = ?, idle_until = ? WHERE ${inPlace} AND digest = ?`,
      params: [to, authTime, acr, JSON.stringify(amr), now, now + idleMs, tenant, environment, from],
    };
    yield* noteOutside({ tenant, environment, sid: found.sid }, input.outside);
    yield sessionAudit(
      {
        ...input,
        sid: found.sid,
        actor: `user:${user}`,
        action: "session.raise",
        facts: { acr, amr: amr.join(" "), shown: proven.amr.join(" ") },
      },
      context,
    );
    return { ...found, authTime, acr, amr, seenAt: now };
  },
};

type Worth = Pick<SessionFacts, "acr" | "authTime">;

function isWorthLess(proven: Worth, held: Worth): boolean {
  const [level, least] = [acrLevels.indexOf(proven.acr), acrLevels.indexOf(held.acr)];
  return level < least || (level === least && proven.authTime < held.authTime);
}

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

/** As a list shows it: with the name of its user, whom an operator knows by that. */
export type ListedSession = SessionFacts & { readonly name: string };

const listSessions: Command<Place & { readonly user?: string }, readonly ListedSession[]> = {
  audit: null,
  *body({ tenant, environment, user }, { now }) {
    const rows = yield {
      sql: `SELECT ${columns}, (SELECT u.name FROM people_user u WHERE u.tenant = people_session.tenant
        AND u.environment = people_session.environment AND u.id = people_session.user_id) AS name
        FROM people_session WHERE ${inPlace} AND (? = '' OR user_id = ?) AND ${alive} AND NOT ${isRevoked} ORDER BY created_at DESC, sid LIMIT ?`,
      params: [tenant, environment, user ?? "", user ?? "", now, now, tenant, environment, sessionsListMax],
    };
    return rows.map((row) => ({ ...sessionOf(row), name: String(row["name"] ?? "") }));
  },
};

export const sessionCommands = {
  readSession,
  startSession,
  isKnownDevice,
  raiseSession,
  touchSession,
  noteSessionClient,
  listSessions,
} satisfies CommandTable;
