// Promises an operator the words of a store or log that cannot work at the moment, in place of an internal fault that says nothing.
// Trusts StoreFault and LogFault: their internal texts name the place and the fix and never a value. Codes: docs/store.md, docs/audit.md.
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { StoreFault } from "@sallyport/kernel/store/fault.ts";
import { AdminFault } from "./actions.ts";

const passing: ReadonlySet<string> = new Set([
  "disk-full",
  "log-full",
  "log-closed",
  "store-busy",
  "store-io",
  "store-timeout",
  "store-unreachable",
  "store-closed",
  "commit-unknown",
]);

/** The fault as an operator should see it; null when it is none of the world outside, so a bug. */
export function unavailableFault(error: unknown): AdminFault | null {
  if (!(error instanceof StoreFault || error instanceof LogFault) || !passing.has(error.code)) return null;
  const lost = error.code === "commit-unknown" ? "look before trying again" : "try again when that is mended";
  return new AdminFault("unavailable", error.internal, lost);
}
