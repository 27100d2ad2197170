// Promises that a token revoked in any way a gateway would notice is noticed by control too, from the rows themselves. Trusts the revocation table.
// Kinds and times: docs/formats/join.md, docs/formats/token.md §3 check 12.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { Command, CommandTable, Store } from "@sallyport/kernel/store/port.ts";
import { type Revocable, revocablesOf, type SignedAccessToken } from "@sallyport/protocol/token/access-token.ts";

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
}

/** An id that was revoked once never comes back, so no time is compared. */
const byIdAlone: ReadonlySet<string> = new Set(["jti", "grant", "session"]);
export const candidatesMax = 32;

/** Is one of these revoked for a token issued then? */
const isTokenRevoked: Command<RevocationQuery, boolean> = {
  audit: null,
  *body({ tenant, environment, candidates, issuedAt }, { now }) {
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

/** Asks the store about a verified token of our own. Rejects when the store fails: then it counts as revoked. */
export function isRevokedIn(
  store: Pick<Store<ExchangeCommands>, "run">,
  place: { readonly tenant: string; readonly environment: string },
  { claims, kid }: SignedAccessToken,
): Promise<boolean> {
  const candidates = revocablesOf(claims, kid);
  return store.run("isTokenRevoked", { ...place, candidates, issuedAt: claims.iat * 1000 });
}
