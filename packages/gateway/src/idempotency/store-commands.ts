// Promises the rows of the data-plane store: who has a key, what came of it, who writes to a resource, how many keys each calling system has, and (limit/quota-commands.ts) what is used of quotas; every
// change is one transaction, and only the crossing that holds a row can end it. Trusts the hashes it is given. Specified in docs/idempotency.md "Tables".
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { Bookkeeping, Command, Row } from "@sallyport/kernel/store/port.ts";
import { quotaCommands, quotaMigrations } from "../limit/quota-commands.ts";
import { decideClaim, type KeyState } from "./decide-claim.ts";

export const migrations: readonly Migration[] = [
  {
    capability: "data-plane",
    version: 1,
    name: "whose store this is",
    up: (t) => [
      `CREATE TABLE data_plane (one ${t.integer} NOT NULL PRIMARY KEY, tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL,
        region ${t.text} NOT NULL, key_check ${t.blob} NOT NULL) ${t.table}`,
    ],
  },
  {
    capability: "idempotency",
    version: 1,
    name: "keys and their answers, keys of each calling system, writers of resources",
    up: (t) => [
      `CREATE TABLE idempotency_key (key_hash ${t.blob} NOT NULL PRIMARY KEY, owner ${t.blob} NOT NULL, payload ${t.blob} NOT NULL,
        state ${t.text} NOT NULL, crossing ${t.text} NOT NULL, lease_until ${t.integer} NOT NULL, expires_at ${t.integer} NOT NULL,
        rules ${t.blob}, answer ${t.blob}) ${t.table}`,
      "CREATE INDEX idempotency_key_expiry ON idempotency_key (expires_at)",
      `CREATE TABLE idempotency_owner (owner ${t.blob} NOT NULL PRIMARY KEY, keys ${t.integer} NOT NULL) ${t.table}`,
      `CREATE TABLE resource_writer (resource_hash ${t.blob} NOT NULL PRIMARY KEY, crossing ${t.text} NOT NULL,
        lease_until ${t.integer} NOT NULL) ${t.table}`,
    ],
  },
  ...quotaMigrations,
];

const bookkeeping: Bookkeeping = {
  bookkeeping: "what a crossing left for its repeats; the crossing itself is in the gateway's log",
};

const bytesOf = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : new Uint8Array());

export interface Place {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  /** What the data key makes of a fixed text: tells another key apart. */
  readonly keyCheck: Uint8Array;
}

/** The first to come says whose store this is. */
const bindPlace: Command<Place, "ours" | "foreign-place" | "foreign-key"> = {
  audit: bookkeeping,
  *body({ tenant, environment, region, keyCheck }) {
    yield {
      sql: "INSERT INTO data_plane (one, tenant, environment, region, key_check) VALUES (1, ?, ?, ?, ?) ON CONFLICT (one) DO NOTHING",
      params: [tenant, environment, region, keyCheck],
    };
    const [row] = yield { sql: "SELECT tenant, environment, region, key_check FROM data_plane", params: [] };
    if (row?.["tenant"] !== tenant || row["environment"] !== environment || row["region"] !== region)
      return "foreign-place";
    return Buffer.compare(bytesOf(row["key_check"]), keyCheck) === 0 ? "ours" : "foreign-key";
  },
};

export interface ClaimInput {
  readonly keyHash: Uint8Array;
  readonly owner: Uint8Array;
  readonly payload: Uint8Array;
  readonly crossing: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly leaseMs: number;
  readonly ttlMs: number;
  readonly providerHonours: boolean;
}

export type ClaimOutput =
  /** `isNew`: a row more than before. `again`: an earlier crossing may have had the effect. */
  | { readonly kind: "taken"; readonly isNew: boolean; readonly again: boolean }
  | { readonly kind: "reused" | "not-kept" | "unknown"; readonly crossing: string }
  | { readonly kind: "in-flight"; readonly crossing: string; readonly leaseUntil: number }
  | { readonly kind: "replay"; readonly crossing: string; readonly rules: Uint8Array; readonly answer: Uint8Array };

/** Takes a key for one crossing, or says what became of it. */
const claimKey: Command<ClaimInput, ClaimOutput> = {
  audit: bookkeeping,
  *body(input) {
    const { keyHash, owner, payload, crossing, now, leaseMs, ttlMs } = input;
    const fresh = [owner, payload, "in-flight", crossing, now + leaseMs, now + ttlMs];
    const made = yield {
      sql: `INSERT INTO idempotency_key (owner, payload, state, crossing, lease_until, expires_at, key_hash) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (key_hash) DO NOTHING RETURNING state`,
      params: [...fresh, keyHash],
    };
    if (made.length === 1) return { kind: "taken", isNew: true, again: false };
    const [row] = yield {
      sql: "SELECT payload, state, crossing, lease_until, expires_at, rules, answer FROM idempotency_key WHERE key_hash = ?",
      params: [keyHash],
    };
    if (row === undefined) throw new Error("a key that was there is gone within one transaction");
    const known = knownOf(row);
    const decision = decideClaim(known, input);
    switch (decision) {
      case "take":
      case "take-again":
        yield {
          sql: `UPDATE idempotency_key SET owner = ?, payload = ?, state = ?, crossing = ?, lease_until = ?, expires_at = ?, rules = NULL,
            answer = NULL WHERE key_hash = ?`,
          params: [...fresh, keyHash],
        };
        return { kind: "taken", isNew: false, again: decision === "take-again" };
      case "replay":
        return {
          kind: "replay",
          crossing: known.crossing,
          rules: bytesOf(row["rules"]),
          answer: bytesOf(row["answer"]),
        };
      case "in-flight":
        return { kind: "in-flight", crossing: known.crossing, leaseUntil: known.leaseUntil };
      default:
        return { kind: decision, crossing: known.crossing };
    }
  },
};

function knownOf(row: Row) {
  return {
    // as: only the commands of this file write states.
    state: String(row["state"]) as KeyState,
    payload: bytesOf(row["payload"]),
    crossing: String(row["crossing"]),
    leaseUntil: Number(row["lease_until"]),
    expiresAt: Number(row["expires_at"]),
  };
}

export interface HeldKey {
  readonly keyHash: Uint8Array;
  readonly crossing: string;
}

export type KeyEnd =
  | { readonly state: "answered"; readonly rules: Uint8Array; readonly answer: Uint8Array }
  | { readonly state: "unkept" | "unknown" };

/** What came of it. False: somebody else has the key by now, and nothing was changed. */
const endKey: Command<HeldKey & { readonly end: KeyEnd }, boolean> = {
  audit: bookkeeping,
  *body({ keyHash, crossing, end }) {
    const [rules, answer] = end.state === "answered" ? [end.rules, end.answer] : [null, null];
    const changed = yield {
      sql: `UPDATE idempotency_key SET state = ?, rules = ?, answer = ? WHERE key_hash = ? AND crossing = ? AND state IN ('in-flight', 'unknown')
        RETURNING state`,
      params: [end.state, rules, answer, keyHash, crossing],
    };
    return changed.length === 1;
  },
};

/** The provider was not asked: the key is free again. */
const releaseKey: Command<HeldKey, boolean> = {
  audit: bookkeeping,
  *body({ keyHash, crossing }) {
    const gone = yield {
      sql: "DELETE FROM idempotency_key WHERE key_hash = ? AND crossing = ? AND state = 'in-flight' RETURNING state",
      params: [keyHash, crossing],
    };
    return gone.length === 1;
  },
};

/** Adds to the keys of a calling system; answers how many it has. */
const countKeys: Command<{ readonly owner: Uint8Array; readonly more: number }, number> = {
  audit: bookkeeping,
  *body({ owner, more }) {
    const [row] = yield {
      sql: `INSERT INTO idempotency_owner (owner, keys) VALUES (?, ?)
        ON CONFLICT (owner) DO UPDATE SET keys = idempotency_owner.keys + excluded.keys RETURNING keys`,
      params: [owner, more],
    };
    return Number(row?.["keys"] ?? 0);
  },
};

export interface WriterInput {
  readonly resourceHash: Uint8Array;
  readonly crossing: string;
  readonly now: number;
  readonly leaseMs: number;
}

/** Becomes the one writer of a resource; false: another crossing is. */
const beginWrite: Command<WriterInput, boolean> = {
  audit: bookkeeping,
  *body({ resourceHash, crossing, now, leaseMs }) {
    const taken = yield {
      sql: `INSERT INTO resource_writer (resource_hash, crossing, lease_until) VALUES (?, ?, ?)
        ON CONFLICT (resource_hash) DO UPDATE SET crossing = excluded.crossing, lease_until = excluded.lease_until
        WHERE resource_writer.lease_until <= ? RETURNING crossing`,
      params: [resourceHash, crossing, now + leaseMs, now],
    };
    return taken.length === 1;
  },
};

const endWrite: Command<Pick<WriterInput, "resourceHash" | "crossing">, null> = {
  audit: bookkeeping,
  *body({ resourceHash, crossing }) {
    yield {
      sql: "DELETE FROM resource_writer WHERE resource_hash = ? AND crossing = ?",
      params: [resourceHash, crossing],
    };
    return null;
  },
};

export interface SweepInput {
  readonly now: number;
  /** Rows taken at once. */
  readonly rowsMax: number;
}

/** Takes out what is over; answers how many keys went. */
const sweepKeys: Command<SweepInput, number> = {
  audit: bookkeeping,
  *body({ now, rowsMax }) {
    const gone = yield {
      sql: `DELETE FROM idempotency_key WHERE key_hash IN (SELECT key_hash FROM idempotency_key WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
        RETURNING owner`,
      params: [now, rowsMax],
    };
    const owners = Map.groupBy(gone, ({ owner }) => Buffer.from(bytesOf(owner)).toString("hex"));
    for (const [owner, rows] of owners)
      yield {
        sql: "UPDATE idempotency_owner SET keys = CASE WHEN keys > ? THEN keys - ? ELSE 0 END WHERE owner = ?",
        params: [rows.length, rows.length, Buffer.from(owner, "hex")],
      };
    yield {
      sql: "DELETE FROM resource_writer WHERE resource_hash IN (SELECT resource_hash FROM resource_writer WHERE lease_until <= ? LIMIT ?)",
      params: [now, rowsMax],
    };
    return gone.length;
  },
};

export interface DataPlaneFigures {
  readonly keys: number;
  readonly writers: number;
}

const figures: Command<null, DataPlaneFigures> = {
  audit: null,
  *body() {
    const [row] = yield {
      sql: "SELECT (SELECT COUNT(*) FROM idempotency_key) AS keys, (SELECT COUNT(*) FROM resource_writer) AS writers",
      params: [],
    };
    return { keys: Number(row?.["keys"] ?? 0), writers: Number(row?.["writers"] ?? 0) };
  },
};

export const commands = {
  bindPlace,
  claimKey,
  endKey,
  releaseKey,
  countKeys,
  beginWrite,
  endWrite,
  sweepKeys,
  figures,
  ...quotaCommands,
};

export type DataPlaneCommands = typeof commands;
