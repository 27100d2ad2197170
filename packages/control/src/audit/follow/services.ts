// Promises what folds may ask of control, and nothing else. Trusts the follower to be their only caller. Used by foundations.ts.
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../../commands.ts";
import { findingsService } from "../../watch/alerts/alert-fold.ts";
import { type AlertLine, logService } from "../../watch/alerts/log-notifier.ts";
import type { Taken } from "../../watch/store.ts";
import { namesService } from "../export/export-names.ts";
import { makeNames } from "../export/make-names.ts";
import type { Pseudonyms } from "../pseudonyms.ts";

export interface ServiceParts {
  readonly tenant: string;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly pseudonyms: Pick<Pseudonyms, "of">;
  readonly logger: { warn(fields: object, message: string): void };
}

/** By name; each takes and gives what is structured-cloneable. */
export function followServices({
  tenant,
  store,
  pseudonyms,
  logger,
}: ServiceParts): Readonly<Record<string, (input: unknown) => Promise<unknown>>> {
  return {
    [namesService]: () => makeNames(store, tenant, pseudonyms),
    "watch.read": () => store.run("readWatch", null),
    // Sent by watch/alerts/alert-fold.ts and log-notifier.ts and by nobody else.
    [findingsService]: (input) => store.run("findFindings", { tenant, ids: input as readonly string[] }),
    [logService]: async (input) => {
      const { fields, message } = input as AlertLine;
      logger.warn(fields, message);
    },
    // Sent by watch/findings-fold.ts and by nobody else.
    "watch.take": (input) => store.run("takeSignals", input as Taken),
  };
}
