// Promises that an installation on hold after a restore says so, and what to do, until it is no longer. Trusts the registry's rows.
// Specified in docs/backup.md "Integrations after a restore".
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../commands.ts";

const namedMax = 5;

/** Sentences for `sallyport status`; none for an installation that was never restored, or when everything was confirmed. */
export async function restoreWarnings(
  store: Pick<Store<ControlCommands>, "run">,
  tenant: string,
): Promise<readonly string[]> {
  const held = await store.run("listHeld", { tenant });
  if (held.length === 0) return [];
  const [last] = await store.run("listRestores", null);
  const stale = [...new Set(held.filter(({ applied }) => !applied).map(({ managedBy }) => managedBy))];
  const names = held.slice(0, namedMax).map(({ environment, id }) => `${environment}/${id}`);
  const more = held.length > namedMax ? ` and ${held.length - namedMax} more` : "";
  const when = last === undefined ? "" : ` (backup of ${new Date(last.backupAt).toISOString()})`;
  return [
    `restored${when}: ${held.length} integrations are on hold (${names.join(", ")}${more}); what was suspended after the backup is not known here. Suspend or retire again what was, then: sallyport integration confirm`,
    ...(stale.length === 0
      ? []
      : [
          `restored: ${stale.join(", ")} was not applied since, so nothing of it can be confirmed: sallyport apply, or serve --config`,
        ]),
  ];
}
