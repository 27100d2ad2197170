// Promises that what a person allowed a client once is not asked again, that nothing beyond it is taken as allowed, and that it can be taken back. Trusts the forms of routes/flow-routes.ts.
// Specified in OpenID Connect Core 1.0 §3.1.2.4, docs/identity/people.md "Consent".
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";
import { endGrant } from "../oauth/grant-commands.ts";
import { type Ask, askOf, isConsented } from "./given-consent.ts";
import { type UserPlace, userAudit } from "./user-commands.ts";

export const consentsListMax = 1_000;

/** Did the user allow all of this before? */
const hasConsent: Command<UserPlace & Ask, boolean> = {
  audit: null,
  *body(input) {
    return yield* isConsented(input);
  },
};

/** Replaces what was allowed before: the newest answer is the one that counts. */
const giveConsent: Command<UserPlace & Ask, null> = {
  audit: "user.consent",
  *body(input, context) {
    const { tenant, environment, user, client, providers, scopes } = input;
    yield {
      sql: `INSERT INTO people_consent (tenant, environment, user_id, client, providers, scopes, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant, environment, user_id, client) DO UPDATE SET providers = excluded.providers, scopes = excluded.scopes, created_at = excluded.created_at`,
      params: [tenant, environment, user, client, JSON.stringify(providers), JSON.stringify(scopes), context.now],
    };
    const facts = { client, providers: providers.length, scopes: scopes?.length ?? -1 };
    yield userAudit({ ...input, actor: `user:${user}`, action: "user.consent", facts }, context);
    return null;
  },
};

export interface GivenConsent extends Ask {
  /** When it was given last, milliseconds since the epoch; null: nothing is kept, but grants are alive (an app that was allowed by a code). */
  readonly at: number | null;
  /** Grants that are alive: each stands for tokens the client can still get. */
  readonly grants: number;
}

const liveGrant = "tenant = ? AND environment = ? AND subject = ? AND ended_at IS NULL AND expires_at > ?";

/** What a user allowed, by client: what is kept as allowed, and what lives of it. */
const listConsents: Command<UserPlace, readonly GivenConsent[]> = {
  audit: null,
  *body({ tenant, environment, user }, { now }) {
    const kept = yield {
      sql: `SELECT client, providers, scopes, created_at FROM people_consent WHERE tenant = ? AND environment = ? AND user_id = ? LIMIT ${consentsListMax}`,
      params: [tenant, environment, user],
    };
    const live = yield {
      sql: `SELECT client, count(*) AS n FROM oauth_grant WHERE ${liveGrant} GROUP BY client LIMIT ${consentsListMax}`,
      params: [tenant, environment, user, now],
    };
    const alive = new Map(live.map((row) => [String(row["client"]), Number(row["n"])]));
    const given = kept.map((row): GivenConsent => {
      const client = String(row["client"]);
      const grants = alive.get(client) ?? 0;
      alive.delete(client);
      return { client, ...askOf(row), at: Number(row["created_at"]), grants };
    });
    const others = [...alive].map(([client, grants]): GivenConsent => {
      return { client, providers: [], scopes: [], at: null, grants };
    });
    return [...given, ...others].sort((a, b) => (a.client < b.client ? -1 : 1));
  },
};

/** Takes back what a user allowed a client, and ends every grant that stands for it. False: there was nothing to take back. */
const withdrawConsent: Command<
  UserPlace & { readonly client: string; readonly actor: string; readonly reason?: string },
  boolean
> = {
  audit: ["user.consent-withdraw", "grant.end"],
  *body(input, context) {
    const { tenant, environment, user, client, actor, reason } = input;
    const kept = yield {
      sql: "DELETE FROM people_consent WHERE tenant = ? AND environment = ? AND user_id = ? AND client = ? RETURNING client",
      params: [tenant, environment, user, client],
    };
    const live = yield {
      sql: `SELECT id FROM oauth_grant WHERE ${liveGrant} AND client = ?`,
      params: [tenant, environment, user, context.now, client],
    };
    for (const { id } of live)
      yield* endGrant({ tenant, environment, grant: String(id), actor, why: "consent-withdrawn" }, context);
    if (kept.length === 0 && live.length === 0) return false;
    const facts = { client, grants: live.length, ...(reason === undefined ? {} : { reason }) };
    yield userAudit({ ...input, action: "user.consent-withdraw", facts }, context);
    return true;
  },
};

export const consentCommands = { hasConsent, giveConsent, listConsents, withdrawConsent } satisfies CommandTable;
