// Promises the identity tables and their commands: the key ring by compare-and-set, replay ids by insert only, operators, revocations with their cause.
// Trusts the store to run each command in one transaction. Tables: docs/identity.md "Tables". Nothing is written for a machine token.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { Revocation } from "@sallyport/protocol/channel/messages.ts";
import { assertionLifetimeSecondsMax, clockSkewSeconds } from "./decide-assertion.ts";
import type { RingEntry, RingState } from "./decide-ring.ts";
import { tombstoneGrants } from "./oauth/grant-commands.ts";
import { operatorCommands } from "./operator-store.ts";
import type { ReplayDomain } from "./replay.ts";
import { appendRevocation, appendTokenRevocation, type RevocationOrder, revocationOf } from "./revoke.ts";

export const replayPurgeMax = 1_000;
const revocationsReadMax = 10_000;
/** An assertion lives at most this long, clocks' difference on both sides included. */
const assertionSpanMs = (assertionLifetimeSecondsMax + 2 * clockSkewSeconds) * 1_000;

export const identityMigrations: readonly Migration[] = [
  {
    capability: "identity",
    version: 1,
    name: "key ring, replay ids, operators, revocations",
    up: (t) => [
      `CREATE TABLE identity_ring (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, seq ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment)) ${t.table}`,
      `CREATE TABLE identity_key (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, kid ${t.text} NOT NULL, alg ${t.text} NOT NULL,
        jwk ${t.text} NOT NULL, state ${t.text} NOT NULL, seq ${t.integer} NOT NULL, activated_at ${t.integer}, verifiable_until ${t.integer},
        sealed ${t.blob}, PRIMARY KEY (tenant, environment, kid)) ${t.table}`,
      `CREATE TABLE identity_replay (domain ${t.text} NOT NULL, digest ${t.text} NOT NULL, until ${t.integer} NOT NULL, PRIMARY KEY (domain, digest)) ${t.table}`,
      "CREATE INDEX identity_replay_until ON identity_replay (until)",
      `CREATE TABLE identity_operator (tenant ${t.text} NOT NULL, id ${t.text} NOT NULL, kid ${t.text} NOT NULL, jwk ${t.text} NOT NULL,
        created_at ${t.integer} NOT NULL, revoked_at ${t.integer}, PRIMARY KEY (tenant, kid)) ${t.table}`,
      `CREATE TABLE identity_revocation_seq (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, seq ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment)) ${t.table}`,
      `CREATE TABLE identity_revocation (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, seq ${t.integer} NOT NULL, kind ${t.text} NOT NULL,
        value ${t.text} NOT NULL, not_before ${t.integer} NOT NULL, until ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, seq)) ${t.table}`,
    ],
  },
  {
    capability: "identity",
    version: 2,
    name: "roles of operators",
    up: (t) => [
      // Whoever was an operator before there were roles could do everything.
      `ALTER TABLE identity_operator ADD COLUMN roles ${t.text} NOT NULL DEFAULT 'admin'`,
      `CREATE TABLE identity_declared_operator (tenant ${t.text} NOT NULL, managed_by ${t.text} NOT NULL, id ${t.text} NOT NULL,
        roles ${t.text} NOT NULL, keys ${t.text} NOT NULL, PRIMARY KEY (tenant, managed_by, id)) ${t.table}`,
    ],
  },
];

export interface Place {
  readonly tenant: string;
  readonly environment: string;
}

/** A ring entry with its private half sealed; null once the key is gone. */
export interface StoredKey extends RingEntry {
  readonly sealed: Uint8Array | null;
}

export interface StoredRing {
  /** 0 before the first write. */
  readonly seq: number;
  readonly keys: readonly StoredKey[];
}

export interface RingWrite extends Place {
  /** Sequence the plan was made on; any other and nothing is written. */
  readonly expectedSeq: number;
  readonly actor: string;
  /** What an operator ordered; absent: the clock did. */
  readonly action?: "key.rotate" | "key.kill";
  /** Why an operator wanted it. */
  readonly reason?: string;
  readonly created: readonly Pick<StoredKey, "kid" | "alg" | "jwk" | "sealed">[];
  readonly moved: readonly { readonly kid: string; readonly to: RingState; readonly verifiableUntil: number | null }[];
  readonly revoked: readonly Omit<RevocationOrder, keyof Place>[];
}

function keyOf(row: Row): StoredKey {
  return {
    kid: String(row["kid"]),
    // The columns are written from the same types below.
    alg: String(row["alg"]) as StoredKey["alg"],
    jwk: JSON.parse(String(row["jwk"])) as StoredKey["jwk"],
    state: String(row["state"]) as RingState,
    seq: Number(row["seq"]),
    activatedAt: row["activated_at"] === null ? null : Number(row["activated_at"]),
    verifiableUntil: row["verifiable_until"] === null ? null : Number(row["verifiable_until"]),
    sealed: row["sealed"] instanceof Uint8Array ? row["sealed"] : null,
  };
}

const readKeyRing: Command<Place, StoredRing> = {
  audit: null,
  *body({ tenant, environment }) {
    const [ring] = yield {
      sql: "SELECT seq FROM identity_ring WHERE tenant = ? AND environment = ?",
      params: [tenant, environment],
    };
    const keys = yield {
      sql: "SELECT kid, alg, jwk, state, seq, activated_at, verifiable_until, sealed FROM identity_key WHERE tenant = ? AND environment = ? AND state <> 'gone' ORDER BY seq, kid",
      params: [tenant, environment],
    };
    return { seq: Number(ring?.["seq"] ?? 0), keys: keys.map(keyOf) };
  },
};

const ringActions = ["identity.ring", "key.rotate", "key.kill"] as const;

/** Writes one plan of decide-ring.ts; `conflict` when another node wrote first. Every write raises the sequence by one. */
const writeKeyRing: Command<
  RingWrite,
  { readonly kind: "written"; readonly seq: number } | { readonly kind: "conflict" }
> = {
  audit: ringActions,
  *body(write, context) {
    const { tenant, environment, expectedSeq } = write;
    // A ring that begins after a restore begins above its epoch: a gateway may hold a later one of the same environment from before.
    const [restore] =
      expectedSeq === 0 ? yield { sql: "SELECT max(epoch) AS epoch FROM backup_restore", params: [] } : [];
    const seq = expectedSeq + Number(restore?.["epoch"] ?? 0) + 1;
    const advanced = yield expectedSeq === 0
      ? {
          sql: "INSERT INTO identity_ring (tenant, environment, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq",
          params: [tenant, environment, seq],
        }
      : {
          sql: "UPDATE identity_ring SET seq = ? WHERE tenant = ? AND environment = ? AND seq = ? RETURNING seq",
          params: [seq, tenant, environment, expectedSeq],
        };
    if (advanced.length === 0) return { kind: "conflict" };
    // Several in one state when keys of more than one algorithm move at once.
    const note = (state: RingState, kid: string) => {
      facts[state] = facts[state] === undefined ? kid : `${facts[state]} ${kid}`;
    };
    const facts: Record<string, string | number> = {
      seq,
      ...(write.reason === undefined ? {} : { reason: write.reason }),
    };
    for (const { kid, to, verifiableUntil } of write.moved) {
      yield moveKey(write, { kid, to, verifiableUntil }, context.now);
      note(to, kid);
    }
    for (const { kid, alg, jwk, sealed } of write.created) {
      yield {
        sql: "INSERT INTO identity_key (tenant, environment, kid, alg, jwk, state, seq, activated_at, verifiable_until, sealed) VALUES (?, ?, ?, ?, ?, 'next', ?, NULL, NULL, ?)",
        params: [tenant, environment, kid, alg, JSON.stringify(jwk), seq, sealed],
      };
      note("next", kid);
    }
    for (const order of write.revoked) yield* appendRevocation({ ...order, tenant, environment });
    yield actStatement(context, {
      tenant,
      environment,
      actor: write.actor,
      action: write.action ?? "identity.ring",
      object: `ring/${tenant}/${environment}`,
      facts,
    });
    return { kind: "written", seq };
  },
};

/** A key that is gone loses its private half in the same write. */
function moveKey(place: Place, move: RingWrite["moved"][number], now: number): Statement {
  const where = [place.tenant, place.environment, move.kid] as const;
  if (move.to === "active") {
    return {
      sql: "UPDATE identity_key SET state = 'active', activated_at = ?, verifiable_until = NULL WHERE tenant = ? AND environment = ? AND kid = ?",
      params: [now, ...where],
    };
  }
  if (move.to === "gone") {
    return {
      sql: "UPDATE identity_key SET state = 'gone', sealed = NULL WHERE tenant = ? AND environment = ? AND kid = ?",
      params: where,
    };
  }
  return {
    sql: "UPDATE identity_key SET state = ?, verifiable_until = ? WHERE tenant = ? AND environment = ? AND kid = ?",
    params: [move.to, move.verifiableUntil, ...where],
  };
}

/** True for the one run that inserted the id. With `issuedAt` (null: unknown) only what was issued after the last restore is taken. */
export interface ReplayId {
  readonly domain: ReplayDomain;
  readonly digest: string;
  readonly until: number;
  /** Of an assertion alone. */
  readonly issuedAt?: number | null;
}

const seenOnce: Command<never, never>["audit"] = {
  bookkeeping: "an id seen once; the token it led to is its own record",
};

function* insertReplayId({ domain, digest, until, issuedAt }: ReplayId): Generator<Statement, boolean, readonly Row[]> {
  if (issuedAt !== undefined) {
    const [restore] = yield { sql: "SELECT max(restored_at) AS at FROM backup_restore", params: [] };
    // Assertions count whole seconds.
    const restoredAt = Math.floor(Number(restore?.["at"] ?? 0) / 1_000) * 1_000;
    // What says nothing was issued as early as it could have been.
    if ((issuedAt ?? until - assertionSpanMs) < restoredAt) return false;
  }
  const inserted = yield {
    sql: "INSERT INTO identity_replay (domain, digest, until) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING digest",
    params: [domain, digest, until],
  };
  return inserted.length === 1;
}

const claimReplayId: Command<ReplayId, boolean> = {
  audit: seenOnce,
  body: insertReplayId,
};

/** Both ids of one token request; see ReplayGuard.claimWithProof. */
const claimTokenRequest: Command<
  { readonly assertion: ReplayId; readonly proof: ReplayId },
  "fresh" | "assertion-replayed" | "proof-replayed"
> = {
  audit: seenOnce,
  *body({ assertion, proof }) {
    if (!(yield* insertReplayId(assertion))) return "assertion-replayed";
    return (yield* insertReplayId(proof)) ? "fresh" : "proof-replayed";
  },
};

/** Forgets at most 1,000 ids whose token could no longer be presented; returns how many. */
const purgeReplayIds: Command<null, number> = {
  audit: { bookkeeping: "ids of tokens that have expired" },
  *body(_input, { now }) {
    const old = yield {
      sql: "SELECT domain, digest FROM identity_replay WHERE until < ? ORDER BY until LIMIT ?",
      params: [now, replayPurgeMax],
    };
    for (const row of old)
      yield {
        sql: "DELETE FROM identity_replay WHERE domain = ? AND digest = ?",
        params: [String(row["domain"]), String(row["digest"])],
      };
    return old.length;
  },
};

/** Records a revocation whose cause is the operator's order itself. */
const revoke: Command<RevocationOrder & { readonly actor: string; readonly reason?: string }, Revocation> = {
  audit: "revocation.create",
  *body({ actor, reason = "", ...order }, context) {
    // A revocation is forgotten when the last token it could concern has ended; refresh tokens live longer, so their grants end here.
    if (order.kind === "grant" || order.kind === "session" || order.kind === "subject")
      yield* tombstoneGrants({ ...order, by: order.kind }, context.now);
    const entry = yield* order.kind === "jti" ? appendTokenRevocation(order) : appendRevocation(order);
    const { tenant, environment } = order;
    yield actStatement(context, {
      tenant,
      environment,
      actor,
      action: "revocation.create",
      object: `revocation/${entry.seq}`,
      facts: { kind: entry.kind, value: entry.value, until: entry.until, reason },
    });
    return entry;
  },
};

/** Entries after `from` that still matter, in order; at most 10,000. */
const readRevocations: Command<
  Place & { readonly from: number },
  { readonly seq: number; readonly entries: readonly Revocation[] }
> = {
  audit: null,
  *body({ tenant, environment, from }, { now }) {
    const [last] = yield {
      sql: "SELECT seq FROM identity_revocation_seq WHERE tenant = ? AND environment = ?",
      params: [tenant, environment],
    };
    const rows = yield {
      sql: "SELECT seq, kind, value, not_before, until FROM identity_revocation WHERE tenant = ? AND environment = ? AND seq > ? AND until > ? ORDER BY seq LIMIT ?",
      params: [tenant, environment, from, now, revocationsReadMax],
    };
    return { seq: Number(last?.["seq"] ?? 0), entries: rows.map(revocationOf) };
  },
};

export const identityCommands = {
  readKeyRing,
  writeKeyRing,
  claimReplayId,
  claimTokenRequest,
  purgeReplayIds,
  ...operatorCommands,
  revoke,
  readRevocations,
} satisfies CommandTable;

export type IdentityCommands = typeof identityCommands;
