// Promises what happens to grants and to what stands for them: a code is redeemed once, a refresh token rotated once, and a second use ends the grant
// with its revocation in the same transaction. Trusts its callers for who asks. Rules: RFC 6749 §4.1.2 and §10.4, RFC 9700 §4.14, docs/identity/refresh.md.
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { type Ask, isConsented } from "../people/given-consent.ts";
import { appendRevocation, tokenEndMs } from "../revoke.ts";
import type { Place } from "../store.ts";
import { type RequestUse, useRequest } from "./request-commands.ts";

/** How long after its rotation a refresh token gets the same answer again, and no new one. */
export const graceMs = 10_000;
const purgeMax = 1_000;
/** A device that asks late hears that its code has expired, not that there was none. */
const afterlifeMs = 600_000;

export interface NewGrant {
  readonly id: string;
  readonly client: string;
  readonly subject: string;
  readonly session: string | null;
  /** When the user logged in, milliseconds since the epoch. */
  readonly authenticatedAt: number;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly sealed: Uint8Array;
}

export interface NewToken {
  readonly digest: string;
  readonly expiresAt: number;
  readonly sealed: Uint8Array;
}

type Ended = Generator<Statement, boolean, readonly Row[]>;

export function* insertGrant(place: Place, grant: NewGrant, now: number): Generator<Statement, void, readonly Row[]> {
  yield {
    sql: `INSERT INTO oauth_grant (tenant, environment, id, client, subject, session, created_at, expires_at, ended_at, sealed)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)`,
    params: [
      place.tenant,
      place.environment,
      grant.id,
      grant.client,
      grant.subject,
      grant.session,
      now,
      grant.expiresAt,
      grant.sealed,
    ],
  };
}

interface TokenOf extends NewToken {
  readonly kind: "code" | "refresh";
  readonly client: string;
  readonly grant: string;
}

function insertToken(place: Place, token: TokenOf): Statement {
  return {
    sql: `INSERT INTO oauth_object (tenant, environment, kind, digest, client, grant_id, expires_at, used_at, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)`,
    params: [
      place.tenant,
      place.environment,
      token.kind,
      token.digest,
      token.client,
      token.grant,
      token.expiresAt,
      token.sealed,
    ],
  };
}

export interface AllowedAuthorization extends RequestUse {
  readonly grant: NewGrant;
  readonly code: NewToken;
  /** What the user's kept consent must still cover: one that is taken back at this moment finds this grant, or this grant is not made. null: it rests on none. */
  readonly consent: Pick<Ask, "providers" | "scopes"> | null;
}

/** A user allowed a request: uses it up and makes the grant and its code. False, and nothing is made, when the request was used before. */
const allowAuthorization: Command<AllowedAuthorization, boolean> = {
  audit: "grant.allow",
  *body({ grant, code, consent, ...use }, context) {
    if (yield* isOver(use, grant)) return false;
    const { client, subject: user } = grant;
    if (consent !== null && !(yield* isConsented({ ...use, ...consent, client, user }))) return false;
    if (!(yield* useRequest(use, context.now))) return false;
    yield* insertGrant(use, grant, context.now);
    yield insertToken(use, { ...code, kind: "code", client: grant.client, grant: grant.id });
    yield grantAudit(
      use,
      { action: "grant.allow", actor: `user:${grant.subject}`, grant: grant.id, client: grant.client },
      context,
    );
    return true;
  },
};

/** The session or the user ended while the request was being answered: the end found no grant to end, so none may come after it. */
export function* isOver(place: Place, { session, subject, authenticatedAt }: NewGrant): Ended {
  const rows = yield {
    sql: `SELECT seq FROM identity_revocation WHERE tenant = ? AND environment = ?
      AND ((kind = 'session' AND value = ?) OR (kind = 'subject' AND value = ? AND not_before >= ?)) LIMIT 1`,
    params: [place.tenant, place.environment, session ?? "", subject, authenticatedAt],
  };
  return rows.length > 0;
}

export interface GrantEnd extends Place {
  readonly grant: string;
  /** `client:<id>`, `user:<id>`, `operator:<id>`, `built-in`. */
  readonly actor: string;
  /** Words with hyphens: `code-reused`, `session-ended`. */
  readonly why: string;
}

/**
 * Ends a grant and everything that descends from it: the tombstone, the revocation that reaches gateways, the record. `yield*` it in the command of
 * the cause; that command's own audit action is then beside `grant.end`. False when it had ended before.
 */
export function* endGrant(end: GrantEnd, context: CommandContext): Ended {
  const [row] = yield {
    sql: "UPDATE oauth_grant SET ended_at = ? WHERE tenant = ? AND environment = ? AND id = ? AND ended_at IS NULL RETURNING client",
    params: [context.now, end.tenant, end.environment, end.grant],
  };
  if (row === undefined) return false;
  yield* appendRevocation({
    tenant: end.tenant,
    environment: end.environment,
    kind: "grant",
    value: end.grant,
    notBefore: context.now,
    until: context.now + tokenEndMs,
  });
  const { actor, grant, why } = end;
  yield grantAudit(end, { action: "grant.end", actor, grant, client: String(row["client"]), why }, context);
  return true;
}

/** Ends one grant on command; true for the run that did. */
const endOAuthGrant: Command<GrantEnd, boolean> = {
  audit: "grant.end",
  body: endGrant,
};

const grantColumn = { grant: "id", session: "session", subject: "subject" } as const;

/**
 * Ends one live grant, or every one of a session or a subject; `yield*` it in the command of the cause, which writes its own revocation of kind `session` or
 * `subject`: one entry for gateways instead of one per grant. Returns how many ended.
 */
export function* tombstoneGrants(
  of: Place & { readonly by: keyof typeof grantColumn; readonly value: string },
  now: number,
): Generator<Statement, number, readonly Row[]> {
  const rows = yield {
    sql: `UPDATE oauth_grant SET ended_at = ? WHERE tenant = ? AND environment = ? AND ${grantColumn[of.by]} = ? AND ended_at IS NULL RETURNING id`,
    params: [now, of.tenant, of.environment, of.value],
  };
  return rows.length;
}

export interface Redemption extends Place {
  readonly kind: "code" | "device";
  readonly client: string;
  /** Digest of the code. */
  readonly digest: string;
  /** null: the client gets no refresh token. */
  readonly refresh: NewToken | null;
}

export type Redeemed = "redeemed" | "reused" | "gone";

/** Redeems a code, or a device code that was allowed. A second use ends the grant, so that what the first one got is dead (RFC 6749 §4.1.2); `gone`: expired, or the grant has ended. */
const redeemCode: Command<Redemption, Redeemed> = {
  audit: ["grant.redeem", "grant.end"],
  *body(input, context) {
    const { tenant, environment, kind, client, digest, refresh } = input;
    const { now } = context;
    const why = `${kind}-reused`;
    const [row] = yield {
      sql: `UPDATE oauth_object SET used_at = ? WHERE tenant = ? AND environment = ? AND kind = ? AND digest = ? AND client = ? AND used_at IS NULL
        AND grant_id IS NOT NULL AND expires_at > ? RETURNING grant_id`,
      params: [now, tenant, environment, kind, digest, client, now],
    };
    const record = { action: "grant.redeem", actor: `client:${client}`, client };
    if (row === undefined) {
      const used = yield* secondUse(input, { kind, why }, context);
      if (used !== null) yield grantAudit(input, { ...record, grant: used, why }, context);
      return used === null ? "gone" : "reused";
    }
    const grant = String(row["grant_id"]);
    const live = yield* isLive(input, grant, now);
    if (live && refresh !== null) yield insertToken(input, { ...refresh, kind: "refresh", client, grant });
    yield grantAudit(input, { ...record, grant, ...(live ? {} : { why: "grant-ended" }) }, context);
    return live ? "redeemed" : "gone";
  },
};

/** The row was there and used: the grant ends, and is named. Not there, or expired unused: null, nothing to end. */
function* secondUse(
  input: Place & { readonly client: string; readonly digest: string },
  what: { readonly kind: TokenOf["kind"] | "device"; readonly why: string },
  context: CommandContext,
): Generator<Statement, string | null, readonly Row[]> {
  const { tenant, environment, client, digest } = input;
  const [row] = yield {
    sql: "SELECT grant_id FROM oauth_object WHERE tenant = ? AND environment = ? AND kind = ? AND digest = ? AND client = ? AND used_at IS NOT NULL AND grant_id IS NOT NULL",
    params: [tenant, environment, what.kind, digest, client],
  };
  if (row === undefined) return null;
  const grant = String(row["grant_id"]);
  yield* endGrant({ tenant, environment, grant, actor: `client:${client}`, why: what.why }, context);
  return grant;
}

function* isLive(place: Place, grant: string, now: number): Ended {
  const rows = yield {
    sql: "SELECT id FROM oauth_grant WHERE tenant = ? AND environment = ? AND id = ? AND ended_at IS NULL AND expires_at > ?",
    params: [place.tenant, place.environment, grant, now],
  };
  return rows.length === 1;
}

export interface Rotation extends Place {
  readonly client: string;
  /** Digest of the refresh token that was presented. */
  readonly digest: string;
  readonly next: NewToken;
  /** Who presented it: a digest of the key or certificate it came with. Only the same one gets the same answer again. */
  readonly holder: string;
  /** A digest of what was asked (resource, scope). */
  readonly asked: string;
  /** The whole answer, sealed. */
  readonly answer: Uint8Array;
}

export type Rotated =
  | { readonly kind: "rotated" }
  /** A concurrent refresh by the same holder was first: its answer. */
  | { readonly kind: "same"; readonly answer: Uint8Array }
  /** Within the grace, by the same holder, but something else was asked. Nothing ended. */
  | { readonly kind: "differs" }
  /** Used again: the grant has ended. */
  | { readonly kind: "reused" }
  | { readonly kind: "gone" };

/** Rotates a refresh token: of any number of runs one gets through; who comes second gets that one's answer, or ends the family. */
const rotateRefresh: Command<Rotation, Rotated> = {
  audit: ["grant.refresh", "grant.end"],
  *body(input, context) {
    const { tenant, environment, client, digest, next } = input;
    const { now } = context;
    const [row] = yield {
      sql: `UPDATE oauth_object SET used_at = ? WHERE tenant = ? AND environment = ? AND kind = 'refresh' AND digest = ? AND client = ? AND used_at IS NULL
        AND expires_at > ? RETURNING grant_id`,
      params: [now, tenant, environment, digest, client, now],
    };
    if (row === undefined) return yield* rotatedBefore(input, context);
    const grant = String(row["grant_id"]);
    const record = { action: "grant.refresh", actor: `client:${client}`, grant, client };
    if (!(yield* isLive(input, grant, now))) {
      yield grantAudit(input, { ...record, why: "grant-ended" }, context);
      return { kind: "gone" };
    }
    yield insertToken(input, { ...next, kind: "refresh", client, grant });
    yield {
      sql: "INSERT INTO oauth_answer (tenant, environment, digest, holder, asked, until, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)",
      params: [tenant, environment, digest, input.holder, input.asked, now + graceMs, input.answer],
    };
    yield grantAudit(input, record, context);
    return { kind: "rotated" };
  },
};

function* rotatedBefore(input: Rotation, context: CommandContext): Generator<Statement, Rotated, readonly Row[]> {
  const { tenant, environment, digest } = input;
  const [kept] = yield {
    sql: `SELECT a.holder, a.asked, a.sealed FROM oauth_answer a
      JOIN oauth_object o ON o.tenant = a.tenant AND o.environment = a.environment AND o.kind = 'refresh' AND o.digest = a.digest
      JOIN oauth_grant g ON g.tenant = o.tenant AND g.environment = o.environment AND g.id = o.grant_id
      WHERE a.tenant = ? AND a.environment = ? AND a.digest = ? AND a.until > ? AND o.client = ? AND g.ended_at IS NULL`,
    params: [tenant, environment, digest, context.now, input.client],
  };
  const answer = kept?.["sealed"];
  if (kept !== undefined && kept["holder"] === input.holder && answer instanceof Uint8Array)
    return kept["asked"] === input.asked ? { kind: "same", answer } : { kind: "differs" };
  const used = yield* secondUse(input, { kind: "refresh", why: "refresh-reused" }, context);
  if (used === null) return { kind: "gone" };
  const act = { action: "grant.refresh", actor: `client:${input.client}`, grant: used, client: input.client };
  yield grantAudit(input, { ...act, why: "refresh-reused" }, context);
  return { kind: "reused" };
}

/** Forgets what can do no harm any more; at most 1,000 rows of each table. Grants stay until the last token of theirs has ended. */
const purgeOAuth: Command<null, number> = {
  audit: { bookkeeping: "requests, codes and tokens that have expired" },
  *body(_input, { now }) {
    let gone = 0;
    for (const [table, key, condition, before] of [
      ["oauth_answer", "tenant, environment, digest", "until < ?", now],
      ["oauth_object", "tenant, environment, kind, digest", "expires_at < ?", now - afterlifeMs],
      ["oauth_device", "tenant, environment, digest", "expires_at < ?", now - afterlifeMs],
      ["oauth_grant", "tenant, environment, id", "expires_at < ?", now - tokenEndMs],
    ] as const) {
      const rows = yield {
        sql: `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} WHERE ${condition} LIMIT ${purgeMax}) RETURNING 1 AS one`,
        params: [before],
      };
      gone += rows.length;
    }
    return gone;
  },
};

export function grantAudit(
  place: Place,
  act: {
    readonly action: string;
    readonly actor: string;
    readonly grant: string;
    readonly client: string;
    readonly why?: string;
  },
  context: CommandContext,
): Statement {
  return actStatement(context, {
    tenant: place.tenant,
    environment: place.environment,
    actor: act.actor,
    action: act.action,
    object: `grant/${act.grant}`,
    facts: { client: act.client, ...(act.why === undefined ? {} : { why: act.why }) },
  });
}

export const grantCommands = {
  allowAuthorization,
  endOAuthGrant,
  redeemCode,
  rotateRefresh,
  purgeOAuth,
} satisfies CommandTable;
