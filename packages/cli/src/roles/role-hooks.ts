// Promises what whoever runs a role may see and replace of its work: how an estate is read, what is said of it. Trusts run.ts, which passes them.
// Types only: a gateway process must not load control's code for them.
import type { ApplyReport } from "@sallyport/control/admin/actions.ts";
import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";

export interface RoleHooks {
  /** Reads the estate directory; absent: as it stands on disk. Null: what is in force stays. */
  load?(directory: string): LoadedEstate | null;
  /** Files that an operator sends to plan or apply, as this process serves them; absent: as they stand. */
  sentAs?(loaded: LoadedEstate): LoadedEstate;
  /** The log's disk failed: nothing can be recorded any more. */
  logEnded(fault: Error): void;
  /** After every apply that took, the first and those of changes. */
  applied(report: ApplyReport, loaded: LoadedEstate): void;
  /** A change could not be applied: what was in force stays. */
  applyFailed(error: unknown): void;
}
