// Promises whether a user still allows a client what it asks, in whatever transaction that matters. Trusts consent-commands.ts for what is kept.
// Specified in docs/identity/people.md "Consent".
import type { Row, Statement } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../store.ts";

export interface Ask {
  readonly client: string;
  /** Sorted. */
  readonly providers: readonly string[];
  /** Sorted; null: everything the integrations grant. */
  readonly scopes: readonly string[] | null;
}

export function askOf(row: Row): Omit<Ask, "client"> {
  // as: written by giveConsent from the same types.
  return {
    providers: JSON.parse(String(row["providers"])) as readonly string[],
    scopes: JSON.parse(String(row["scopes"])) as readonly string[] | null,
  };
}

/** Did the user allow all of this, and has not taken it back? `yield*` it in the command that acts on it. */
export function* isConsented(
  asked: Place & Ask & { readonly user: string },
): Generator<Statement, boolean, readonly Row[]> {
  const { tenant, environment, user, client, providers, scopes } = asked;
  const [row] = yield {
    sql: "SELECT providers, scopes FROM people_consent WHERE tenant = ? AND environment = ? AND user_id = ? AND client = ?",
    params: [tenant, environment, user, client],
  };
  if (row === undefined) return false;
  const given = askOf(row);
  if (providers.some((provider) => !given.providers.includes(provider))) return false;
  if (given.scopes === null) return true;
  return (scopes ?? [null]).every((scope) => scope !== null && given.scopes?.includes(scope) === true);
}
