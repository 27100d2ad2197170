// Promises what has revoked a token, asked of the rows themselves, and a client's own revocation of its token in one transaction with its record.
// Trusts the revocation rows of identity/store.ts. Specified in docs/identity/revocation.md.
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";
import type { Revocable, TokenRevocationKind } from "@sallyport/protocol/token/access-token.ts";
import { appendTokenRevocation } from "../revoke.ts";

export interface Place {
  readonly tenant: string;
  readonly environment: string;
}

export interface RevokedBy extends Revocable {
  readonly seq: number;
  /** Milliseconds since the epoch: the moment of the revocation. */
  readonly notBefore: number;
}

/** As many as one token has (revocablesOf). */
const revocablesMax = 32;
/** Of these the id alone decides, whenever the token was issued (channel/messages.ts). */
const byIdAlone: readonly string[] = ["jti", "grant", "session"];

/** The first entry in force that ends a token of these ids, issued then (milliseconds since the epoch); null: none does. */
const findTokenRevocation: Command<
  Place & { readonly of: readonly Revocable[]; readonly issuedAt: number },
  RevokedBy | null
> = {
  audit: null,
  *body({ tenant, environment, of, issuedAt }, { now }) {
    const asked = of.slice(0, revocablesMax);
    if (asked.length === 0) return null;
    const [row] = yield {
      sql: `SELECT seq, kind, value, not_before FROM identity_revocation WHERE tenant = ? AND environment = ? AND until > ?
        AND (${asked.map(({ kind }) => `(kind = ? AND value = ?${byIdAlone.includes(kind) ? "" : " AND not_before >= ?"})`).join(" OR ")})
        ORDER BY seq LIMIT 1`,
      params: [
        tenant,
        environment,
        now,
        ...asked.flatMap(({ kind, value }) => (byIdAlone.includes(kind) ? [kind, value] : [kind, value, issuedAt])),
      ],
    };
    if (row === undefined) return null;
    return {
      seq: Number(row["seq"]),
      // Written by appendRevocation from the same type, and one of those asked for.
      kind: String(row["kind"]) as TokenRevocationKind,
      value: String(row["value"]),
      notBefore: Number(row["not_before"]),
    };
  },
};

/** A client gives back its own token; null when it is revoked already. */
const revokeOwnToken: Command<
  Place & { readonly client: string; readonly jti: string; readonly until: number },
  { readonly seq: number } | null
> = {
  audit: "token.revoke",
  *body({ tenant, environment, client, jti, until }, context) {
    const there = yield {
      sql: "SELECT seq FROM identity_revocation WHERE tenant = ? AND environment = ? AND kind = 'jti' AND value = ? LIMIT 1",
      params: [tenant, environment, jti],
    };
    if (there.length > 0) return null;
    const { seq } = yield* appendTokenRevocation({
      tenant,
      environment,
      value: jti,
      notBefore: context.now,
      until: Math.max(until, context.now),
    });
    yield actStatement(context, {
      tenant,
      environment,
      actor: `client:${client}`,
      action: "token.revoke",
      object: `revocation/${seq}`,
      facts: { kind: "jti", value: jti },
    });
    return { seq };
  },
};

/** An operator had a token made; its issuance is a record of its own. */
const recordTokenIssue: Command<
  Place & {
    readonly actor: string;
    readonly reason: string;
    readonly client: string;
    readonly audience: string;
    readonly jti: string;
  },
  null
> = {
  audit: "token.issue",
  *body({ tenant, environment, actor, reason, client, audience, jti }, context) {
    yield actStatement(context, {
      tenant,
      environment,
      actor,
      action: "token.issue",
      object: `client/${client}`,
      facts: { audience, jti, reason },
    });
    return null;
  },
};

export const tokensCommands = { findTokenRevocation, revokeOwnToken, recordTokenIssue } satisfies CommandTable;

export type TokensCommands = typeof tokensCommands;
