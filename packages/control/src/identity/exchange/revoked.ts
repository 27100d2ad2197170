// Promises that a token revoked in any way a gateway would notice is noticed by control too, from the rows themselves. Trusts the revocation table.
// Kinds and times: docs/formats/join.md, docs/formats/token.md §3 check 12.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { Command, CommandTable, Store } from "@sallyport/kernel/store/port.ts";
import {
  clockSkewMs,
  type Revocable,
  revocablesOf,
  type SignedAccessToken,
} from "@sallyport/protocol/token/access-token.ts";

export const exchangeMigrations: readonly Migration[] = [
  {
    capability: "exchange",
    version: 1,
    name: "revocations are found by what they end",
    up: () => ["CREATE INDEX identity_revocation_value ON identity_revocation (tenant, environment, kind, value)"],
  },
];

export interface RevocationQuery {
  readonly tenant: string;
  readonly environment: string;
  /** At most 32: its own ids and those of its lineage. */
  readonly candidates: readonly Revocable[];
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  /** Its keys did not end with a restore, so what was issued before one ends here: who was revoked in the time that is lost is not known. */
  readonly isOutside?: boolean;
}

/** An id that was revoked once never comes back, so no time is compared. */
const byIdAlone: ReadonlySet<string> = new Set(["jti", "grant", "session"]);
export const candidatesMax = 32;

/** Is one of these revoked for a token issued then? */
const isTokenRevoked: Command<RevocationQuery, boolean> = {
  audit: null,
  *body({ tenant, environment, candidates, issuedAt, isOutside = false }, { now }) {
    const [restore] = isOutside ? yield { sql: "SELECT max(restored_at) AS at FROM backup_restore", params: [] } : [];
    if (issuedAt < Number(restore?.["at"] ?? 0)) return true;
    for (const { kind, value } of candidates.slice(0, candidatesMax)) {
      const rows = yield {
        sql: "SELECT max(not_before) AS not_before FROM identity_revocation WHERE tenant = ? AND environment = ? AND kind = ? AND value = ? AND until > ?",
        params: [tenant, environment, kind, value, now],
      };
      const notBefore = rows[0]?.["not_before"] ?? null;
      if (notBefore !== null && (byIdAlone.has(kind) || issuedAt <= Number(notBefore))) return true;
    }
    return candidates.length > candidatesMax;
  },
};

export const exchangeCommands = { isTokenRevoked } satisfies CommandTable;
export type ExchangeCommands = typeof exchangeCommands;

/** A verified token of an issuer outside, as gateways revoke it (protocol/token/outside-access-token.ts). */
export interface OutsideRevocable {
  readonly kind: "outside";
  /** `ext_…` */
  readonly subject: string;
  readonly id: string;
  /** Seconds since the epoch, as the token says. */
  readonly iat: number;
  /** Absent: what was issued before a restore counts as revoked. */
  readonly outlivesRestore?: boolean;
}

/** Asks the store about a verified token. Rejects when the store fails: then it counts as revoked. */
export function isRevokedIn(
  store: Pick<Store<ExchangeCommands>, "run">,
  place: { readonly tenant: string; readonly environment: string },
  token: SignedAccessToken | OutsideRevocable,
): Promise<boolean> {
  return store.run("isTokenRevoked", { ...place, ...(token.kind === "outside" ? ofOutside(token) : ofOwn(token)) });
}

type Asked = Omit<RevocationQuery, "tenant" | "environment">;

function ofOutside({ subject, id, iat, outlivesRestore = false }: OutsideRevocable): Asked {
  const candidates = [
    { kind: "jti", value: id },
    { kind: "subject", value: subject },
  ] as const;
  // Its clock is not ours: it may be older than it says.
  return { candidates, issuedAt: iat * 1_000 - clockSkewMs, isOutside: !outlivesRestore };
}

function ofOwn({ claims, kid }: SignedAccessToken): Asked {
  return { candidates: revocablesOf(claims, kid), issuedAt: claims.iat * 1000 };
}
