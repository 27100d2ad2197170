// Promises that a revocation is one sequenced row in the transaction of its cause, so that there is no moment with one and without the other.
// Trusts the command that yields it. Kinds and meaning: packages/protocol/src/channel/messages.ts, docs/identity.md "Revocation".
import { strict as assert } from "node:assert";
import type { Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { Revocation, RevocationKind } from "@sallyport/protocol/channel/messages.ts";
import { outsideLifetimeSecondsMax } from "@sallyport/protocol/token/outside-token.ts";
import { jtiBytesMax } from "./decide-assertion.ts";
import { exchangeIdPrefix } from "./exchange/decide-exchange.ts";

/** Longest life of a token (a user's, ten minutes) and the clock skew verifiers allow: no revocation matters longer. */
export const tokenEndMs = 600_000 + 60_000;

/** The same where it may concern an access token of an issuer outside, which lives a day at most. */
export const anyTokenEndMs = outsideLifetimeSecondsMax * 1_000 + 60_000;

export interface RevocationOrder {
  readonly tenant: string;
  readonly environment: string;
  readonly kind: RevocationKind;
  /** `jti`, client id, integration id, `kid`, node id, grant id, session id or the subject's id at this issuer. */
  readonly value: string;
  /** Milliseconds since the epoch: what was issued at or before it is dead. */
  readonly notBefore: number;
  /** Milliseconds since the epoch after which nothing it concerns can still be alive. */
  readonly until: number;
}

/**
 * Statements that append one revocation; `yield*` them inside the command that makes the change. Returns the entry with its sequence.
 * A suspension (`integration`) and an evicted `node` stay until lifted: give them an `until` far away.
 */
export function* appendRevocation(order: RevocationOrder): Generator<Statement, Revocation, readonly Row[]> {
  assert.ok(
    order.value.length > 0 && order.value.length <= 128 && /^[\x21-\x7e]+$/.test(order.value),
    "a revocation names an id",
  );
  assert.ok(order.until >= order.notBefore, "a revocation does not end before it begins");
  const [row] = yield {
    // After a restore above its epoch, so that no gateway takes a new entry for one it held before.
    sql: `INSERT INTO identity_revocation_seq (tenant, environment, seq) VALUES (?, ?, 1 + coalesce((SELECT max(epoch) FROM backup_restore), 0))
      ON CONFLICT (tenant, environment) DO UPDATE SET seq = identity_revocation_seq.seq + 1 RETURNING seq`,
    params: [order.tenant, order.environment],
  };
  const seq = Number(row?.["seq"]);
  assert.ok(Number.isSafeInteger(seq), "the sequence answered");
  yield {
    sql: "INSERT INTO identity_revocation (tenant, environment, seq, kind, value, not_before, until) VALUES (?, ?, ?, ?, ?, ?, ?)",
    params: [order.tenant, order.environment, seq, order.kind, order.value, order.notBefore, order.until],
  };
  return { seq, kind: order.kind, value: order.value, notBefore: order.notBefore, until: order.until };
}

/** One token by its `jti`, and whatever was exchanged for it: that carries the token's name among its grants. `yield*` as above. */
export function* appendTokenRevocation(
  order: Omit<RevocationOrder, "kind">,
): Generator<Statement, Revocation, readonly Row[]> {
  const lineage = `${exchangeIdPrefix}${order.value}`;
  // A longer id is none of ours, and nothing was ever exchanged under its name.
  if (lineage.length <= jtiBytesMax) yield* appendRevocation({ ...order, kind: "grant", value: lineage });
  return yield* appendRevocation({ ...order, kind: "jti" });
}

export function revocationOf(row: Row): Revocation {
  return {
    seq: Number(row["seq"]),
    // Written from the same type above.
    kind: String(row["kind"]) as RevocationKind,
    value: String(row["value"]),
    notBefore: Number(row["not_before"]),
    until: Number(row["until"]),
  };
}
