// Promises that no command changes state without a record of it, or records an act under a word it does not declare.
// Trusts the runner's counts. Rule 10 of the design, docs/store.md.
import { StoreFault } from "./fault.ts";
import type { Bookkeeping, Command } from "./port.ts";

export interface RunTally {
  /** Rows inserted, updated or deleted, not counting audit rows. */
  readonly changed: number;
  /** Actions of the audit rows written. */
  readonly actions: readonly string[];
}

type Audit = Command<unknown, unknown>["audit"];

/** Every action a command may record. */
export function actionsOf(audit: Audit): readonly string[] {
  if (audit === null) return [];
  if (typeof audit === "string") return [audit];
  return isBookkeeping(audit) ? (audit.acts ?? []) : audit;
}

/** The fault of a run that broke its promise, or null. Pure. */
export function decideAudit(name: string, audit: Audit, tally: RunTally): StoreFault | null {
  if (audit === null)
    return tally.changed + tally.actions.length > 0
      ? new StoreFault("read-wrote", `command ${name} has audit: null and changed rows; name its audit action`)
      : null;
  const declared = actionsOf(audit);
  const owes = !isBookkeeping(audit) && tally.changed > 0;
  if (owes && !tally.actions.some((action) => declared.includes(action)))
    return new StoreFault(
      "audit-missing",
      `command ${name} changed ${tally.changed} rows and recorded no "${declared.join('" or "')}": yield auditStatement() in the same command`,
    );
  const stray = tally.actions.find((action) => !declared.includes(action));
  if (stray === undefined) return null;
  return new StoreFault(
    "audit-undeclared",
    `command ${name} recorded "${stray}", which its audit does not name: add the word there, so that everybody who reads the log knows it`,
  );
}

function isBookkeeping(audit: Audit): audit is Bookkeeping {
  return typeof audit === "object" && audit !== null && "bookkeeping" in audit;
}
