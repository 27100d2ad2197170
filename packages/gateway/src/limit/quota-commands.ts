// Promises what is used of each quota in each period, over all gateways of a store: a draw is one transaction and never gives more than is left.
// Trusts the hashes it is given. Specified in docs/limits.md "Quotas".
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { Bookkeeping, Command } from "@sallyport/kernel/store/port.ts";

export const quotaMigrations: readonly Migration[] = [
  {
    capability: "quotas",
    version: 1,
    name: "what is used of each quota in each period",
    up: (t) => [
      `CREATE TABLE quota_use (quota_hash ${t.blob} NOT NULL PRIMARY KEY, used ${t.integer} NOT NULL, ends_at ${t.integer} NOT NULL) ${t.table}`,
      "CREATE INDEX quota_use_end ON quota_use (ends_at)",
    ],
  },
];

const bookkeeping: Bookkeeping = {
  bookkeeping: "permits that a gateway drew or gave back; each crossing is in the gateway's log",
};

/** Nobody draws more than this share of what is left, so that what gateways hold gets less towards the end. */
export const shareOfLeft = 8;

export interface DrawInput {
  /** Of the quota, of whom it counts, and of the period. */
  readonly quotaHash: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly endsAt: number;
  readonly max: number;
  /** At least 1. */
  readonly wanted: number;
}

export interface Drawn {
  readonly granted: number;
  /** Drawn by nobody. */
  readonly left: number;
}

const drawQuota: Command<DrawInput, Drawn> = {
  audit: bookkeeping,
  *body({ quotaHash, endsAt, max, wanted }) {
    // Also where the row is there already it is written, so that PostgreSQL locks it until this draw is over.
    const [row] = yield {
      sql: `INSERT INTO quota_use (quota_hash, used, ends_at) VALUES (?, 0, ?)
        ON CONFLICT (quota_hash) DO UPDATE SET ends_at = excluded.ends_at RETURNING used`,
      params: [quotaHash, endsAt],
    };
    const left = Math.max(0, max - Number(row?.["used"] ?? 0));
    const granted = Math.min(wanted, left, Math.max(1, Math.floor(left / shareOfLeft)));
    if (granted > 0)
      yield { sql: "UPDATE quota_use SET used = used + ? WHERE quota_hash = ?", params: [granted, quotaHash] };
    return { granted, left: left - granted };
  },
};

/** What was drawn and not used. */
const giveBackQuota: Command<{ readonly quotaHash: Uint8Array; readonly permits: number }, null> = {
  audit: bookkeeping,
  *body({ quotaHash, permits }) {
    yield {
      sql: "UPDATE quota_use SET used = CASE WHEN used > ? THEN used - ? ELSE 0 END WHERE quota_hash = ?",
      params: [permits, permits, quotaHash],
    };
    return null;
  },
};

/** Takes out periods that ended before `endedBefore`; answers how many went. */
const sweepQuotas: Command<{ readonly endedBefore: number; readonly rowsMax: number }, number> = {
  audit: bookkeeping,
  *body({ endedBefore, rowsMax }) {
    const gone = yield {
      sql: `DELETE FROM quota_use WHERE quota_hash IN (SELECT quota_hash FROM quota_use WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)
        RETURNING ends_at`,
      params: [endedBefore, rowsMax],
    };
    return gone.length;
  },
};

export const quotaCommands = { drawQuota, giveBackQuota, sweepQuotas };
