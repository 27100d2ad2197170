// Promises what whoever runs a role may see and replace of its work: the start's printing, dev's reports. Trusts run.ts, which passes them.
// Types only: a gateway process must not load control's code for them.
import type { ApplyReport } from "@sallyport/control/admin/actions.ts";
import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";

export interface RoleHooks {
  /** After every apply that took, also of a change. */
  applied?(report: ApplyReport, loaded: LoadedEstate): void;
}
