// Promises the rows of authorization requests under way: pushed requests and interactions, kept sealed, each finished once.
// Trusts its callers for the digest. Tables: docs/identity/authorization-code.md "What is stored".
import type { Command, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../store.ts";

/** `interaction`: a user is being asked; `par`: a pushed request (RFC 9126); `code`; `refresh`; `device`: a device code (RFC 8628). */
export type ObjectKind = "interaction" | "par" | "code" | "refresh" | "device";

export interface ObjectName extends Place {
  readonly kind: ObjectKind;
  /** base64url SHA-256 of the id. */
  readonly digest: string;
}

export interface StoredObject {
  readonly client: string;
  readonly grant: string | null;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly usedAt: number | null;
  readonly sealed: Uint8Array;
  /** Of the grant it belongs to; null when it belongs to none. */
  readonly grantEnded: boolean | null;
  readonly grantExpiresAt: number | null;
  readonly grantSealed: Uint8Array | null;
}

/** One object with the state of its grant, whatever has become of either; null when there is none. */
const readOAuthObject: Command<ObjectName, StoredObject | null> = {
  audit: null,
  *body({ tenant, environment, kind, digest }) {
    const [row] = yield {
      sql: `SELECT o.client, o.grant_id, o.expires_at, o.used_at, o.sealed, g.id AS found, g.ended_at, g.expires_at AS grant_expires_at, g.sealed AS grant_sealed
        FROM oauth_object o LEFT JOIN oauth_grant g ON g.tenant = o.tenant AND g.environment = o.environment AND g.id = o.grant_id
        WHERE o.tenant = ? AND o.environment = ? AND o.kind = ? AND o.digest = ?`,
      params: [tenant, environment, kind, digest],
    };
    return row === undefined ? null : objectOf(row);
  },
};

function objectOf(row: Row): StoredObject {
  const grant = row["grant_id"] === null ? null : String(row["grant_id"]);
  return {
    client: String(row["client"]),
    grant,
    expiresAt: Number(row["expires_at"]),
    usedAt: row["used_at"] === null ? null : Number(row["used_at"]),
    sealed: bytes(row["sealed"]) ?? new Uint8Array(),
    // A grant that is not there any more has ended.
    grantEnded: grant === null ? null : row["found"] === null || row["ended_at"] !== null,
    grantExpiresAt: row["grant_expires_at"] === null ? null : Number(row["grant_expires_at"]),
    grantSealed: bytes(row["grant_sealed"]),
  };
}

function bytes(value: unknown): Uint8Array | null {
  return value instanceof Uint8Array ? value : null;
}

export interface NewRequest extends ObjectName {
  readonly kind: "interaction" | "par";
  readonly client: string;
  readonly expiresAt: number;
  readonly sealed: Uint8Array;
}

/** Keeps a request under an id nobody has used; true when it was kept. */
const keepOAuthRequest: Command<NewRequest, boolean> = {
  audit: { bookkeeping: "a request under way; what it led to is its own record" },
  *body({ tenant, environment, kind, digest, client, expiresAt, sealed }) {
    const kept = yield {
      sql: `INSERT INTO oauth_object (tenant, environment, kind, digest, client, grant_id, expires_at, used_at, sealed)
        VALUES (?, ?, ?, ?, ?, NULL, ?, NULL, ?) ON CONFLICT DO NOTHING RETURNING digest`,
      params: [tenant, environment, kind, digest, client, expiresAt, sealed],
    };
    return kept.length === 1;
  },
};

/** Digests of an interaction and of the pushed request it came from. */
export interface RequestUse extends Place {
  readonly interaction: string;
  readonly pushed: string | null;
}

/** Uses up an interaction and its pushed request; false, and nothing is used, when either was used before or has expired. */
export function* useRequest(use: RequestUse, now: number): Generator<Statement, boolean, readonly Row[]> {
  const names = [
    ["interaction", use.interaction],
    ...(use.pushed === null ? [] : [["par", use.pushed] as const]),
  ] as const;
  // The pushed request outlives its own end once a user is looking at it, so only the interaction's end counts (RFC 9126 §4).
  for (const [kind, digest] of names) {
    const there = yield {
      sql: `SELECT digest FROM oauth_object WHERE tenant = ? AND environment = ? AND kind = ? AND digest = ? AND used_at IS NULL AND (kind = 'par' OR expires_at > ?)`,
      params: [use.tenant, use.environment, kind, digest, now],
    };
    if (there.length === 0) return false;
  }
  for (const [kind, digest] of names) {
    const used = yield {
      sql: "UPDATE oauth_object SET used_at = ? WHERE tenant = ? AND environment = ? AND kind = ? AND digest = ? AND used_at IS NULL RETURNING digest",
      params: [now, use.tenant, use.environment, kind, digest],
    };
    if (used.length === 0) return false;
  }
  return true;
}

/** Ends a request without a grant; true for the one run that did. */
const refuseAuthorization: Command<RequestUse, boolean> = {
  audit: { bookkeeping: "a request that led to nothing; the refusal is a leaf of the issuer" },
  *body(use, { now }) {
    return yield* useRequest(use, now);
  },
};

export const requestCommands = { readOAuthObject, keepOAuthRequest, refuseAuthorization } satisfies CommandTable;
