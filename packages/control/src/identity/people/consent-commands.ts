// Promises that what a person allowed a client once is not asked again, and nothing beyond it is taken as allowed. Trusts the forms of routes/flow-routes.ts.
// Specified in OpenID Connect Core 1.0 §3.1.2.4, docs/identity/people.md "Consent".
import type { Command, CommandTable } from "@sallyport/kernel/store/port.ts";
import { type Act, type UserPlace, userAudit } from "./user-commands.ts";

export interface Ask {
  readonly client: string;
  /** Sorted. */
  readonly providers: readonly string[];
  /** Sorted; null: everything the integrations grant. */
  readonly scopes: readonly string[] | null;
}

function* readConsent({ tenant, environment, user }: UserPlace, client: string): Act<Omit<Ask, "client"> | null> {
  const [row] = yield {
    sql: "SELECT providers, scopes FROM people_consent WHERE tenant = ? AND environment = ? AND user_id = ? AND client = ?",
    params: [tenant, environment, user, client],
  };
  if (row === undefined) return null;
  // as: written below from the same types.
  return {
    providers: JSON.parse(String(row["providers"])) as readonly string[],
    scopes: JSON.parse(String(row["scopes"])) as readonly string[] | null,
  };
}

/** Did the user allow all of this before? */
const hasConsent: Command<UserPlace & Ask, boolean> = {
  audit: null,
  *body(input) {
    const { client, providers, scopes } = input;
    const given = yield* readConsent(input, client);
    if (given === null || providers.some((provider) => !given.providers.includes(provider))) return false;
    if (given.scopes === null) return true;
    return (scopes ?? [null]).every((scope) => scope !== null && given.scopes?.includes(scope) === true);
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

export const consentCommands = { hasConsent, giveConsent } satisfies CommandTable;
