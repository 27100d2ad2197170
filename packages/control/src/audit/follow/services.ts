// Promises what folds may ask of control, and nothing else. Trusts the follower to be their only caller. Used by foundations.ts.
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../../commands.ts";
import type { Taken } from "../../watch/store.ts";
import { namesService } from "../export/export-names.ts";
import { makeNames } from "../export/make-names.ts";
import type { Pseudonyms } from "../pseudonyms.ts";

export interface ServiceParts {
  readonly tenant: string;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly pseudonyms: Pick<Pseudonyms, "of">;
}

/** By name; each takes and gives what is structured-cloneable. */
export function followServices({
  tenant,
  store,
  pseudonyms,
}: ServiceParts): Readonly<Record<string, (input: unknown) => Promise<unknown>>> {
  return {
    [namesService]: () => makeNames(store, tenant, pseudonyms),
    "watch.read": () => store.run("readWatch", null),
    // Sent by watch/findings-fold.ts and by nobody else.
    "watch.take": (input) => store.run("takeSignals", input as Taken),
  };
}
