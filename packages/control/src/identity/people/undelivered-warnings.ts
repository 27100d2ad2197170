// Promises that an operator hears of clients which could not be told of ends. Trusts the rows. Specified in docs/identity/logout.md "Telling applications".
import type { UndeliveredLogout } from "./logout-commands.ts";

/** Sentences for `sallyport status`, one for each client and environment. */
export function undeliveredWarnings(
  rows: readonly (UndeliveredLogout & { readonly environment: string })[],
): readonly string[] {
  const byClient = Map.groupBy(rows, ({ environment, client }) => `${environment} ${client}`);
  return [...byClient.values()].flatMap((of) => {
    const [newest] = of;
    if (newest === undefined) return [];
    const { environment, client, why } = newest;
    const given = of.filter(({ state }) => state === "failed").length;
    const tail = given === 0 ? "it is tried again" : `${given} of them will not be tried again`;
    return `${environment}: ${client} could not be told of ${of.length} ended log-ins (${why}), ${tail}: sallyport session undelivered`;
  });
}
