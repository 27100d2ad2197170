// Promises the declared names of systems and clients by the pseudonyms of this year, and of nobody else: no user, no operator, no address.
// Trusts the estate in force. Specified in docs/export.md "A sink" (`names`).
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../../commands.ts";
import { readEnvironments } from "../../registry/estate-state.ts";
import type { Pseudonyms } from "../pseudonyms.ts";

export async function makeNames(
  store: Pick<Store<ControlCommands>, "run">,
  tenant: string,
  pseudonyms: Pick<Pseudonyms, "of">,
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (const [environment, { config }] of await readEnvironments(store, tenant)) {
    for (const { id, clients } of config.systems) {
      names.set(await pseudonyms.of(environment, "caller", id), id);
      for (const client of clients) names.set(await pseudonyms.of(environment, "client", client.id), client.id);
    }
  }
  return names;
}
