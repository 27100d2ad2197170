// Promises that no command changes state without a record of it. Trusts the runner's counts. Rule 10 of the design, docs/store.md.
import { StoreFault } from "./fault.ts";
import type { Command } from "./port.ts";

export interface RunTally {
  /** Rows inserted, updated or deleted, not counting audit rows. */
  readonly changed: number;
  /** Actions of the audit rows written. */
  readonly actions: readonly string[];
}

/** The fault of a run that broke its promise, or null. Pure. */
export function decideAudit(
  name: string,
  audit: Command<unknown, unknown>["audit"],
  tally: RunTally,
): StoreFault | null {
  if (audit === null)
    return tally.changed + tally.actions.length > 0
      ? new StoreFault("read-wrote", `command ${name} has audit: null and changed rows; name its audit action`)
      : null;
  if (typeof audit === "object" || tally.changed === 0) return null;
  return tally.actions.includes(audit)
    ? null
    : new StoreFault(
        "audit-missing",
        `command ${name} changed ${tally.changed} rows and recorded no "${audit}": yield auditStatement() in the same command`,
      );
}
