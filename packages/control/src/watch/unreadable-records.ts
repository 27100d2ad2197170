// Promises a finding for every log with records that this version cannot read: no rule saw them, and they stop nothing. Pure.
// Trusts the origin, which a checkpoint proves. Specified in docs/findings.md "Records that cannot be read".
import type { OriginPlace } from "@sallyport/kernel/log/origin.ts";
import type { Evidence, Signal } from "./detector.ts";
import type { LogRule } from "./log-rules.ts";

export const unreadableRecords: LogRule = {
  id: "unreadable-records",
  version: 1,
  severity: "medium",
  describe: "A log holds records that this version cannot read: no rule saw them.",
};

/** One record. `at`: milliseconds since the epoch at which it was met; its own time cannot be read. */
export function unreadableSignal({ tenant }: Pick<OriginPlace, "tenant">, evidence: Evidence, at: number): Signal {
  const { id, version, severity } = unreadableRecords;
  return {
    ...{ rule: id, version, severity, tenant },
    // As findings about logs are: of no environment that is served.
    environment: "sallyport",
    subject: { kind: "origin", name: evidence.origin },
    ...{ firstAt: at, lastAt: at, count: 1, evidence: [evidence], facts: {} },
  };
}
