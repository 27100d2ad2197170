// Promises users as rows with an opaque id: made, disabled, enabled and reset by an operator only, each with what follows (sessions end, tokens die)
// in the same transaction. Trusts the actor it is given. Specified in docs/identity/people.md "Users".
import { strict as assert } from "node:assert";
import { auditStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { tombstoneGrants } from "../oauth/grant-commands.ts";
import { appendRevocation, tokenEndMs } from "../revoke.ts";
import type { Place } from "../store.ts";
import { endSessions } from "./session-ends.ts";

export const usersMax = 100_000;
export const usersListMax = 1_000;
export const userNameForm = /^[a-z0-9][a-z0-9._@+-]{0,126}$/;

export type Act<T> = Generator<Statement, T, readonly Row[]>;

export interface UserPlace extends Place {
  /** `usr_…` */
  readonly user: string;
}

export interface StoredPasskey {
  /** Credential id, base64url. */
  readonly id: string;
  readonly user: string;
  /** COSE. */
  readonly publicKey: Uint8Array;
  readonly counter: number;
  /** Its private key may be on several devices. */
  readonly synced: boolean;
  readonly transports: readonly string[];
  readonly createdAt: number;
  readonly usedAt: number | null;
}

export interface StoredUser {
  readonly id: string;
  readonly name: string;
  readonly state: "active" | "disabled";
  readonly createdAt: number;
  /** Argon2id; null: none was set. */
  readonly password: string | null;
  readonly passwordAt: number | null;
  /** Sealed seed; null: none. */
  readonly totp: Uint8Array | null;
  readonly totpStep: number | null;
  readonly passkeys: readonly StoredPasskey[];
  readonly recoveryCodesLeft: number;
}

/** One line of a list. */
export interface UserSummary {
  readonly id: string;
  readonly name: string;
  readonly state: "active" | "disabled";
  readonly createdAt: number;
  readonly password: boolean;
  readonly totp: boolean;
  readonly passkeys: number;
  /** Providers outside they are connected with. */
  readonly links: number;
  readonly sessions: number;
}

export const whereUser = "tenant = ? AND environment = ? AND id = ?";
export const ofUser = "tenant = ? AND environment = ? AND user_id = ?";

export function passkeyOf(row: Row): StoredPasskey {
  return {
    id: String(row["id"]),
    user: String(row["user_id"]),
    // as: the column is a blob.
    publicKey: row["public_key"] as Uint8Array,
    counter: Number(row["counter"]),
    synced: Number(row["synced"]) === 1,
    // as: written by addPasskey from the same type.
    transports: JSON.parse(String(row["transports"])) as readonly string[],
    createdAt: Number(row["created_at"]),
    usedAt: row["used_at"] === null ? null : Number(row["used_at"]),
  };
}

function* userOf(place: Place, row: Row | undefined): Act<StoredUser | null> {
  if (row === undefined) return null;
  const id = String(row["id"]);
  const where = [place.tenant, place.environment, id];
  const passkeys = yield { sql: `SELECT * FROM people_passkey WHERE ${ofUser} ORDER BY created_at, id`, params: where };
  const [left] = yield {
    sql: `SELECT count(*) AS n FROM people_recovery WHERE ${ofUser} AND used_at IS NULL`,
    params: where,
  };
  return {
    id,
    name: String(row["name"]),
    state: row["state"] === "active" ? "active" : "disabled",
    createdAt: Number(row["created_at"]),
    password: row["password"] === null ? null : String(row["password"]),
    passwordAt: row["password_at"] === null ? null : Number(row["password_at"]),
    totp: row["totp"] instanceof Uint8Array ? row["totp"] : null,
    totpStep: row["totp_step"] === null ? null : Number(row["totp_step"]),
    passkeys: passkeys.map(passkeyOf),
    recoveryCodesLeft: Number(left?.["n"] ?? 0),
  };
}

export function* findUser({ tenant, environment, user }: UserPlace): Act<StoredUser | null> {
  const [row] = yield {
    sql: `SELECT * FROM people_user WHERE ${whereUser}`,
    params: [tenant, environment, user],
  };
  return yield* userOf({ tenant, environment }, row);
}

/** The record of one act on a user, to be yielded in the transaction of the act. */
export function userAudit(
  act: UserPlace & {
    readonly actor: string;
    readonly action: string;
    readonly facts?: Readonly<Record<string, string | number>>;
  },
  context: CommandContext,
): Statement {
  const { tenant, environment, user, actor, action, facts = {} } = act;
  const row = {
    id: context.nextId(),
    at: context.now,
    tenant,
    environment,
    actor,
    action,
    object: `user/${user}`,
    facts,
  };
  return auditStatement(row);
}

function* newLink(place: UserPlace, link: EnrolmentLink, context: CommandContext): Act<void> {
  assert.ok(link.until > context.now, "an enrolment link is good for a while");
  // One link at a time: who is sent a new one cannot be raced with the old one.
  yield {
    sql: `UPDATE people_enrolment SET used_at = ? WHERE ${ofUser} AND used_at IS NULL`,
    params: [context.now, place.tenant, place.environment, place.user],
  };
  yield {
    sql: "INSERT INTO people_enrolment (tenant, environment, digest, user_id, created_at, until, used_at) VALUES (?, ?, ?, ?, ?, ?, NULL)",
    params: [place.tenant, place.environment, link.digest, place.user, context.now, link.until],
  };
}

export interface EnrolmentLink {
  /** Of the secret in the link. */
  readonly digest: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

const addUser: Command<
  UserPlace & { readonly name: string; readonly link: EnrolmentLink; readonly actor: string },
  { readonly kind: "added" } | { readonly kind: "name-taken" } | { readonly kind: "too-many" }
> = {
  audit: "user.add",
  *body(input, context) {
    const { tenant, environment, user, name } = input;
    assert.match(name, userNameForm);
    const [count] = yield {
      sql: "SELECT count(*) AS n FROM people_user WHERE tenant = ? AND environment = ?",
      params: [tenant, environment],
    };
    if (Number(count?.["n"] ?? 0) >= usersMax) return { kind: "too-many" };
    const made = yield {
      sql: "INSERT INTO people_user (tenant, environment, id, name, state, created_at) VALUES (?, ?, ?, ?, 'active', ?) ON CONFLICT DO NOTHING RETURNING id",
      params: [tenant, environment, user, name, context.now],
    };
    if (made.length === 0) return { kind: "name-taken" };
    yield* newLink(input, input.link, context);
    yield userAudit({ ...input, action: "user.add", facts: { linkUntil: input.link.until } }, context);
    return { kind: "added" };
  },
};

const listUsers: Command<Place & { readonly after?: string }, readonly UserSummary[]> = {
  audit: null,
  *body({ tenant, environment, after = "" }, { now }) {
    const rows = yield {
      sql: `SELECT id, name, state, created_at, password IS NOT NULL AS has_password, totp IS NOT NULL AS has_totp,
        (SELECT count(*) FROM people_passkey p WHERE p.tenant = u.tenant AND p.environment = u.environment AND p.user_id = u.id) AS passkeys,
        (SELECT count(*) FROM people_link l WHERE l.tenant = u.tenant AND l.environment = u.environment AND l.user_id = u.id) AS links,
        (SELECT count(*) FROM people_session s WHERE s.tenant = u.tenant AND s.environment = u.environment AND s.user_id = u.id
          AND s.ended_at IS NULL AND s.until > ? AND s.idle_until > ?) AS sessions
        FROM people_user u WHERE tenant = ? AND environment = ? AND name > ? ORDER BY name LIMIT ?`,
      params: [now, now, tenant, environment, after, usersListMax],
    };
    return rows.map((row) => ({
      id: String(row["id"]),
      name: String(row["name"]),
      state: row["state"] === "active" ? "active" : "disabled",
      createdAt: Number(row["created_at"]),
      password: Number(row["has_password"]) === 1,
      totp: Number(row["has_totp"]) === 1,
      passkeys: Number(row["passkeys"]),
      links: Number(row["links"]),
      sessions: Number(row["sessions"]),
    }));
  },
};

const readUser: Command<UserPlace, StoredUser | null> = {
  audit: null,
  *body(input) {
    return yield* findUser(input);
  },
};

const readUserByName: Command<Place & { readonly name: string }, StoredUser | null> = {
  audit: null,
  *body({ tenant, environment, name }) {
    const [row] = yield {
      sql: "SELECT * FROM people_user WHERE tenant = ? AND environment = ? AND name = ?",
      params: [tenant, environment, name],
    };
    return yield* userOf({ tenant, environment }, row);
  },
};

/** Every token about this user dies, whatever session it came from. */
function* revokeSubject({ tenant, environment, user }: UserPlace, now: number): Act<void> {
  yield* appendRevocation({
    tenant,
    environment,
    kind: "subject",
    value: user,
    notBefore: now,
    until: now + tokenEndMs,
  });
  yield* tombstoneGrants({ tenant, environment, by: "subject", value: user }, now);
}

/** Ends every session and every token of the user. False: there is no such user, or nothing to change. */
const disableUser: Command<UserPlace & { readonly actor: string; readonly reason: string }, boolean> = {
  audit: "user.disable",
  *body(input, context) {
    const { tenant, environment, user, reason } = input;
    const changed = yield {
      sql: `UPDATE people_user SET state = 'disabled', disabled_at = ? WHERE ${whereUser} AND state = 'active' RETURNING id`,
      params: [context.now, tenant, environment, user],
    };
    if (changed.length === 0) return false;
    yield* endSessions(input, { why: "user-disabled" }, context);
    yield* revokeSubject(input, context.now);
    yield userAudit({ ...input, action: "user.disable", facts: { reason } }, context);
    return true;
  },
};

const enableUser: Command<UserPlace & { readonly actor: string; readonly reason: string }, boolean> = {
  audit: "user.enable",
  *body(input, context) {
    const { tenant, environment, user, reason } = input;
    const changed = yield {
      sql: `UPDATE people_user SET state = 'active', disabled_at = NULL WHERE ${whereUser} AND state = 'disabled' RETURNING id`,
      params: [tenant, environment, user],
    };
    if (changed.length === 0) return false;
    yield userAudit({ ...input, action: "user.enable", facts: { reason } }, context);
    return true;
  },
};

/** Takes every credential away, ends every session and token, and makes one new enrolment link. */
const resetUser: Command<
  UserPlace & { readonly actor: string; readonly reason: string; readonly link: EnrolmentLink },
  boolean
> = {
  audit: "user.reset",
  *body(input, context) {
    const { tenant, environment, user, reason } = input;
    const where = [tenant, environment, user];
    const changed = yield {
      sql: `UPDATE people_user SET password = NULL, password_at = NULL, totp = NULL, totp_at = NULL WHERE ${whereUser} RETURNING id`,
      params: where,
    };
    if (changed.length === 0) return false;
    for (const table of ["people_passkey", "people_recovery", "people_device", "people_link", "people_consent"])
      yield { sql: `DELETE FROM ${table} WHERE ${ofUser}`, params: where };
    yield* endSessions(input, { why: "user-reset" }, context);
    yield* revokeSubject(input, context.now);
    yield* newLink(input, input.link, context);
    yield userAudit({ ...input, action: "user.reset", facts: { reason, linkUntil: input.link.until } }, context);
    return true;
  },
};

export const userCommands = {
  addUser,
  listUsers,
  readUser,
  readUserByName,
  disableUser,
  enableUser,
  resetUser,
} satisfies CommandTable;
