// Promises the rows of device codes: a poll that comes early waits longer each time, one person decides, one poll is answered with tokens (redeemCode).
// Trusts the store to run each command in one transaction. Specified in RFC 8628 §3.5; tables: docs/identity/device.md "What is stored".
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { grantAudit, insertGrant, isOver, type NewGrant } from "../oauth/grant-commands.ts";
import type { Place } from "../store.ts";

/** Between two polls of one device, at first (RFC 8628 §3.2). */
export const pollIntervalMs = 5_000;
/** What a poll may come early by: the way of the one before took longer. */
const earlyMs = 1_000;
const slowDownMs = 5_000;
const intervalMsMax = 120_000;

export interface DeviceName extends Place {
  /** base64url SHA-256 of the device code. */
  readonly digest: string;
}

export interface NewDevice extends DeviceName {
  /** Keyed digest of the user code. */
  readonly userCode: string;
  readonly client: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly sealed: Uint8Array;
}

/** Keeps a pair of codes; false, and nothing is kept, when another device has this user code now. */
const keepDevice: Command<NewDevice, boolean> = {
  audit: "device.ask",
  *body({ tenant, environment, digest, userCode, client, expiresAt, sealed }, context) {
    const kept = yield {
      sql: `INSERT INTO oauth_device (tenant, environment, digest, user_code, interval_ms, next_poll_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING RETURNING digest`,
      params: [tenant, environment, digest, userCode, pollIntervalMs, context.now, expiresAt],
    };
    if (kept.length === 0) return false;
    yield {
      sql: `INSERT INTO oauth_object (tenant, environment, kind, digest, client, grant_id, expires_at, used_at, sealed) VALUES (?, ?, 'device', ?, ?, NULL, ?, NULL, ?)`,
      params: [tenant, environment, digest, client, expiresAt, sealed],
    };
    const place = { tenant, environment, digest };
    yield deviceAudit(place, { action: "device.ask", actor: `client:${client}`, client }, context);
    return true;
  },
};

/** The digest of the device code that a user code belongs to; null when there is none, whatever became of it. */
const findDevice: Command<Place & { readonly userCode: string }, string | null> = {
  audit: null,
  *body({ tenant, environment, userCode }) {
    const [row] = yield {
      sql: "SELECT digest FROM oauth_device WHERE tenant = ? AND environment = ? AND user_code = ?",
      params: [tenant, environment, userCode],
    };
    return row === undefined ? null : String(row["digest"]);
  },
};

export type Polled = "pending" | "slow-down" | "decided";

/** Counts a poll nobody has decided about yet. Each early one makes the interval five seconds longer (RFC 8628 §3.5); `decided`: read the row again. */
const pollDevice: Command<DeviceName & { readonly client: string }, Polled> = {
  audit: { bookkeeping: "when a device asked; what it is answered in the end is its own record" },
  *body(input, { now }) {
    const { tenant, environment, digest } = input;
    const [row] = yield {
      sql: `SELECT d.interval_ms, d.next_poll_at FROM oauth_device d JOIN oauth_object o
        ON o.tenant = d.tenant AND o.environment = d.environment AND o.kind = 'device' AND o.digest = d.digest
        WHERE d.tenant = ? AND d.environment = ? AND d.digest = ? AND o.client = ? AND o.grant_id IS NULL AND o.used_at IS NULL`,
      params: [tenant, environment, digest, input.client],
    };
    if (row === undefined) return "decided";
    const isEarly = now + earlyMs < Number(row["next_poll_at"]);
    const intervalMs = Math.min(Number(row["interval_ms"]) + (isEarly ? slowDownMs : 0), intervalMsMax);
    yield {
      sql: "UPDATE oauth_device SET interval_ms = ?, next_poll_at = ? WHERE tenant = ? AND environment = ? AND digest = ?",
      params: [intervalMs, now + intervalMs, tenant, environment, digest],
    };
    return isEarly ? "slow-down" : "pending";
  },
};

/** A user allowed a device: the grant is made and the device code stands for it. True for the one run that decided. */
const allowDevice: Command<DeviceName & { readonly grant: NewGrant }, boolean> = {
  audit: "grant.allow",
  *body({ grant, ...device }, context) {
    if (yield* isOver(device, grant)) return false;
    const decided = yield {
      sql: `UPDATE oauth_object SET grant_id = ? WHERE ${undecided} AND client = ? RETURNING digest`,
      params: [grant.id, device.tenant, device.environment, device.digest, context.now, grant.client],
    };
    if (decided.length === 0) return false;
    yield* insertGrant(device, grant, context.now);
    const act = { action: "grant.allow", actor: `user:${grant.subject}`, grant: grant.id, client: grant.client };
    yield grantAudit(device, act, context);
    return true;
  },
};

const undecided =
  "tenant = ? AND environment = ? AND kind = 'device' AND digest = ? AND grant_id IS NULL AND used_at IS NULL AND expires_at > ?";

/** A user said no. True for the one run that decided. */
const refuseDevice: Command<DeviceName & { readonly user: string }, boolean> = {
  audit: "device.refuse",
  *body({ user, ...device }, context) {
    const rows: readonly Row[] = yield {
      sql: `UPDATE oauth_object SET used_at = ? WHERE ${undecided} RETURNING client`,
      params: [context.now, device.tenant, device.environment, device.digest, context.now],
    };
    const [row] = rows;
    if (row === undefined) return false;
    const act = { action: "device.refuse", actor: `user:${user}`, client: String(row["client"]) };
    yield deviceAudit(device, act, context);
    return true;
  },
};

function deviceAudit(
  { tenant, environment, digest }: DeviceName,
  act: { readonly action: string; readonly actor: string; readonly client: string },
  context: CommandContext,
): Statement {
  const { action, actor, client } = act;
  return actStatement(context, { tenant, environment, actor, action, object: `device/${digest}`, facts: { client } });
}

export const deviceCommands = { keepDevice, findDevice, pollDevice, allowDevice, refuseDevice } satisfies CommandTable;
