// Promises the ends of log-in sessions: each with its revocation, the end of the grants made in it, and the notices to its clients, in one transaction.
// Trusts its callers for who asks. Specified in docs/identity/sessions.md; notices: OpenID Connect Back-Channel Logout 1.0.
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { tombstoneGrants } from "../oauth/grant-commands.ts";
import { appendRevocation, tokenEndMs } from "../revoke.ts";
import type { Place } from "../store.ts";

type Act<T> = Generator<Statement, T, readonly Row[]>;

const inPlace = "tenant = ? AND environment = ?";

/** Ends one session by its sid; with `user` only one of that user's. False: there is no such living session. */
const endSession: Command<OrderedEnd, boolean> = {
  audit: "session.end",
  *body(input, context) {
    return yield* endOne(input, context);
  },
};

type OrderedEnd = Place & {
  readonly sid: string;
  readonly user?: string;
  readonly actor: string;
  readonly why: string;
};

export function* endOne(input: OrderedEnd, context: CommandContext): Act<boolean> {
  const { tenant, environment, sid, user, actor, why } = input;
  const [row] = yield {
    sql: `UPDATE people_session SET ended_at = ?, ended_why = ? WHERE ${inPlace} AND sid = ? AND (? = '' OR user_id = ?) AND ended_at IS NULL RETURNING user_id`,
    params: [context.now, why, tenant, environment, sid, user ?? "", user ?? ""],
  };
  if (row === undefined) return false;
  const ended = { tenant, environment, sid, user: String(row["user_id"]) };
  yield* followEnd(input, ended, context);
  yield sessionAudit({ ...ended, actor, action: "session.end", facts: { why } }, context);
  return true;
}

export function* endByDigest(place: Place, digest: string, context: CommandContext): Act<void> {
  const [row] = yield {
    sql: `UPDATE people_session SET ended_at = ?, ended_why = 'replaced' WHERE ${inPlace} AND digest = ? AND ended_at IS NULL RETURNING sid, user_id`,
    params: [context.now, place.tenant, place.environment, digest],
  };
  if (row === undefined) return;
  const ended = { sid: String(row["sid"]), user: String(row["user_id"]) };
  yield* followEnd(place, ended, context);
  const facts = { why: "replaced" };
  yield sessionAudit({ ...place, ...ended, actor: `user:${ended.user}`, action: "session.end", facts }, context);
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

export function sessionAudit(
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

export const sessionEndCommands = { endSession, endUserSessions, endExpiredSessions } satisfies CommandTable;
