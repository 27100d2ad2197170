// Promises credentials that change by compare-and-set: a one-time code, a recovery code, an enrolment link and a passkey's counter each pass once,
// however many ask at once. Trusts the hashes and sealed seeds it is given. Specified in docs/identity/people.md; WebAuthn Level 3 §6.1.1 (counter).
import type { Command, CommandContext, CommandTable } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../store.ts";
import {
  type Act,
  findUser,
  ofUser,
  passkeyOf,
  type StoredPasskey,
  type StoredUser,
  type UserPlace,
  userAudit,
  whereUser,
} from "./user-commands.ts";

export const passkeysMax = 20;
const afterRestore = "created_at >= coalesce((SELECT max(restored_at) FROM backup_restore), 0)";

/** Whose link this is, while it is good; it is not used up. */
export function* findEnrolment({ tenant, environment }: Place, digest: string, now: number): Act<StoredUser | null> {
  const [row] = yield {
    sql: `SELECT user_id FROM people_enrolment WHERE tenant = ? AND environment = ? AND digest = ? AND used_at IS NULL AND until > ? AND ${afterRestore}`,
    params: [tenant, environment, digest, now],
  };
  if (row === undefined) return null;
  const user = yield* findUser({ tenant, environment, user: String(row["user_id"]) });
  return user?.state === "active" ? user : null;
}

const readEnrolment: Command<Place & { readonly digest: string }, StoredUser | null> = {
  audit: null,
  *body({ digest, ...place }, { now }) {
    return yield* findEnrolment(place, digest, now);
  },
};

/** By what right a credential is set. `link`: an enrolment link, which this uses up. */
export type CredentialRight = { readonly kind: "session" } | { readonly kind: "link"; readonly digest: string };

/** False: the link is used, old, another user's, or from before a restore. */
export function* takeRight(place: UserPlace, right: CredentialRight, now: number): Act<boolean> {
  const { tenant, environment, user } = place;
  const [row] = yield {
    sql: `SELECT state FROM people_user WHERE ${whereUser}`,
    params: [tenant, environment, user],
  };
  if (row?.["state"] !== "active") return false;
  if (right.kind === "session") return true;
  const used = yield {
    sql: `UPDATE people_enrolment SET used_at = ? WHERE tenant = ? AND environment = ? AND digest = ? AND user_id = ? AND used_at IS NULL AND until > ?
      AND ${afterRestore} RETURNING user_id`,
    params: [now, tenant, environment, right.digest, user, now],
  };
  return used.length === 1;
}

const facts = (right: CredentialRight) => ({ right: right.kind });

/** A password a person chose. False: no right (any more). */
const setPassword: Command<
  UserPlace & { readonly password: string; readonly right: CredentialRight; readonly actor: string },
  boolean
> = {
  audit: "user.password",
  *body(input, context) {
    const { tenant, environment, user, password, right } = input;
    if (!(yield* takeRight(input, right, context.now))) return false;
    yield {
      sql: `UPDATE people_user SET password = ?, password_at = ? WHERE ${whereUser}`,
      params: [password, context.now, tenant, environment, user],
    };
    yield userAudit({ ...input, action: "user.password", facts: facts(right) }, context);
    return true;
  },
};

/** The same password under newer parameters; only over the hash that was verified. */
const rehashPassword: Command<UserPlace & { readonly from: string; readonly to: string }, boolean> = {
  audit: { bookkeeping: "the same password under other parameters; the log-in that proved it is its own record" },
  *body({ tenant, environment, user, from, to }) {
    const changed = yield {
      sql: `UPDATE people_user SET password = ? WHERE ${whereUser} AND password = ? RETURNING id`,
      params: [to, tenant, environment, user, from],
    };
    return changed.length === 1;
  },
};

/** Sets the seed after one code of it was shown to work; `step` is that code's, so that it is not good again. Recovery codes are replaced. */
const setTotp: Command<
  UserPlace & {
    readonly sealed: Uint8Array;
    readonly step: number;
    readonly recovery: readonly string[];
    readonly actor: string;
  },
  boolean
> = {
  audit: "user.totp",
  *body(input, context) {
    const { tenant, environment, user, sealed, step, recovery } = input;
    if (!(yield* takeRight(input, { kind: "session" }, context.now))) return false;
    yield {
      sql: `UPDATE people_user SET totp = ?, totp_at = ?, totp_step = ? WHERE ${whereUser}`,
      params: [sealed, context.now, step, tenant, environment, user],
    };
    yield* replaceRecovery(input, recovery);
    yield userAudit({ ...input, action: "user.totp", facts: { set: 1 } }, context);
    return true;
  },
};

function* replaceRecovery({ tenant, environment, user }: UserPlace, digests: readonly string[]): Act<void> {
  yield { sql: `DELETE FROM people_recovery WHERE ${ofUser}`, params: [tenant, environment, user] };
  for (const digest of digests)
    yield {
      sql: "INSERT INTO people_recovery (tenant, environment, user_id, digest, used_at) VALUES (?, ?, ?, ?, NULL)",
      params: [tenant, environment, user, digest],
    };
}

const setRecoveryCodes: Command<UserPlace & { readonly digests: readonly string[]; readonly actor: string }, boolean> =
  {
    audit: "user.recovery",
    *body(input, context) {
      if (!(yield* takeRight(input, { kind: "session" }, context.now))) return false;
      yield* replaceRecovery(input, input.digests);
      yield userAudit({ ...input, action: "user.recovery", facts: { codes: input.digests.length } }, context);
      return true;
    },
  };

/** True for the one run that moved the last accepted step forward to this one. */
const acceptTotpStep: Command<UserPlace & { readonly step: number }, boolean> = {
  audit: { bookkeeping: "a code used once; the log-in it led to is its own record" },
  *body({ tenant, environment, user, step }) {
    const moved = yield {
      sql: `UPDATE people_user SET totp_step = ? WHERE ${whereUser} AND totp IS NOT NULL AND (totp_step IS NULL OR totp_step < ?) RETURNING id`,
      params: [step, tenant, environment, user, step],
    };
    return moved.length === 1;
  },
};

/** How many codes are left after this one; null: it is none, or was used. */
const useRecoveryCode: Command<UserPlace & { readonly digest: string }, number | null> = {
  audit: "user.recovery-used",
  *body(input, context) {
    const { tenant, environment, user, digest } = input;
    const used = yield {
      sql: `UPDATE people_recovery SET used_at = ? WHERE ${ofUser} AND digest = ? AND used_at IS NULL RETURNING digest`,
      params: [context.now, tenant, environment, user, digest],
    };
    if (used.length === 0) return null;
    const [left] = yield {
      sql: `SELECT count(*) AS n FROM people_recovery WHERE ${ofUser} AND used_at IS NULL`,
      params: [tenant, environment, user],
    };
    const codesLeft = Number(left?.["n"] ?? 0);
    yield userAudit({ ...input, actor: `user:${user}`, action: "user.recovery-used", facts: { codesLeft } }, context);
    return codesLeft;
  },
};

export type NewPasskey = Omit<StoredPasskey, "user" | "createdAt" | "usedAt">;

const addPasskey: Command<
  UserPlace & { readonly passkey: NewPasskey; readonly right: CredentialRight; readonly actor: string },
  | { readonly kind: "added" }
  | { readonly kind: "no-right" }
  | { readonly kind: "there-already" }
  | { readonly kind: "too-many" }
> = {
  audit: "user.passkey-add",
  *body(input, context) {
    const { tenant, environment, user, passkey, right } = input;
    const [count] = yield {
      sql: `SELECT count(*) AS n FROM people_passkey WHERE ${ofUser}`,
      params: [tenant, environment, user],
    };
    if (Number(count?.["n"] ?? 0) >= passkeysMax) return { kind: "too-many" };
    const [same] = yield {
      sql: "SELECT id FROM people_passkey WHERE tenant = ? AND environment = ? AND id = ?",
      params: [tenant, environment, passkey.id],
    };
    if (same !== undefined) return { kind: "there-already" };
    if (!(yield* takeRight(input, right, context.now))) return { kind: "no-right" };
    yield {
      sql: `INSERT INTO people_passkey (tenant, environment, id, user_id, public_key, counter, synced, transports, created_at, used_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)`,
      params: [
        tenant,
        environment,
        passkey.id,
        user,
        passkey.publicKey,
        passkey.counter,
        passkey.synced ? 1 : 0,
        JSON.stringify(passkey.transports),
        context.now,
      ],
    };
    yield userAudit(
      { ...input, action: "user.passkey-add", facts: { ...facts(right), synced: passkey.synced ? 1 : 0 } },
      context,
    );
    return { kind: "added" };
  },
};

const readPasskey: Command<Place & { readonly id: string }, StoredPasskey | null> = {
  audit: null,
  *body({ tenant, environment, id }) {
    const [row] = yield {
      sql: "SELECT * FROM people_passkey WHERE tenant = ? AND environment = ? AND id = ?",
      params: [tenant, environment, id],
    };
    return row === undefined ? null : passkeyOf(row);
  },
};

/** Moves the counter of a passkey forward. False: it stands where it did or before (a copy of the authenticator), or the passkey is gone. */
const usePasskey: Command<UserPlace & { readonly id: string; readonly counter: number }, boolean> = {
  audit: { bookkeeping: "the counter of a passkey; the log-in it led to is its own record" },
  *body({ tenant, environment, user, id, counter }, { now }) {
    const moved = yield {
      sql: `UPDATE people_passkey SET counter = ?, used_at = ? WHERE ${ofUser} AND id = ? AND (counter < ? OR (counter = 0 AND ? = 0)) RETURNING id`,
      params: [counter, now, tenant, environment, user, id, counter, counter],
    };
    return moved.length === 1;
  },
};

/** The last way in is never removed: an account nobody can enter is an operator's reset, not a slip. */
const removePasskey: Command<
  UserPlace & { readonly id: string; readonly actor: string },
  { readonly kind: "removed" } | { readonly kind: "not-found" } | { readonly kind: "last-way-in" }
> = {
  audit: "user.passkey-remove",
  *body(input, context) {
    const { tenant, environment, user, id } = input;
    const found = yield* findUser(input);
    if (found?.passkeys.some((passkey) => passkey.id === id) !== true) return { kind: "not-found" };
    if (found.passkeys.length === 1 && found.password === null) return { kind: "last-way-in" };
    yield { sql: `DELETE FROM people_passkey WHERE ${ofUser} AND id = ?`, params: [tenant, environment, user, id] };
    yield userAudit({ ...input, action: "user.passkey-remove" }, context);
    return { kind: "removed" };
  },
};

const removeTotp: Command<UserPlace & { readonly actor: string }, boolean> = {
  audit: "user.totp",
  *body(input, context: CommandContext) {
    const { tenant, environment, user } = input;
    const changed = yield {
      sql: `UPDATE people_user SET totp = NULL, totp_at = NULL WHERE ${whereUser} AND totp IS NOT NULL RETURNING id`,
      params: [tenant, environment, user],
    };
    if (changed.length === 0) return false;
    yield* replaceRecovery(input, []);
    yield userAudit({ ...input, action: "user.totp", facts: { set: 0 } }, context);
    return true;
  },
};

export const credentialCommands = {
  readEnrolment,
  setPassword,
  rehashPassword,
  setTotp,
  removeTotp,
  setRecoveryCodes,
  acceptTotpStep,
  useRecoveryCode,
  addPasskey,
  readPasskey,
  usePasskey,
  removePasskey,
} satisfies CommandTable;
