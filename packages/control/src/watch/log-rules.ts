// Promises a finding for every way in which a log contradicts itself, a witness or the archive: what the evidence makes certain, and of which log.
// Pure. Trusts whoever verified the evidence; of names that come from a node nothing. Specified in docs/findings.md "Logs that contradict themselves".
import { hash } from "node:crypto";
import { parseOriginName } from "@sallyport/kernel/log/origin.ts";
import type { LogFindingCode } from "@sallyport/kernel/witness/finding.ts";
import type { Severity, Signal, Subject } from "./detector.ts";

export type LogRuleCode =
  | LogFindingCode
  | "foreign-origin"
  | "bad-signature"
  | "too-many-origins"
  | "broken-chain"
  | "bad-records";

export interface LogRule {
  readonly id: string;
  readonly version: number;
  readonly severity: Severity;
  readonly describe: string;
}

const rule = (id: string, severity: Severity, describe: string): LogRule => ({ id, version: 1, severity, describe });

export const logRules: Readonly<Record<LogRuleCode, LogRule>> = {
  "rolled-back": rule(
    "log-rolled-back",
    "critical",
    "A log has fewer leaves than were signed before: an older copy was put back, or its end was cut off.",
  ),
  forked: rule("log-forked", "critical", "A log signed two histories of one size."),
  "split-view": rule(
    "log-split-view",
    "critical",
    "A witness cosigned leaves that are not those of this log: it was put back and went on, or two copies run.",
  ),
  restored: rule(
    "log-restored",
    "medium",
    "Control's log goes on from before what was cosigned: a restore, and the records in between are gone.",
  ),
  "witness-rolled-back": rule(
    "witness-rolled-back",
    "high",
    "A witness forgot what it cosigned, and could be shown another history.",
  ),
  "key-changed": rule("log-key-changed", "high", "A log is signed by another key than before."),
  "foreign-origin": rule("log-foreign-origin", "high", "A node sent the checkpoint of a log that is not its own."),
  "bad-signature": rule("log-bad-signature", "high", "A node sent a checkpoint that its log did not sign."),
  "too-many-origins": rule("log-too-many-origins", "medium", "A node named more logs than it can have."),
  "broken-chain": rule(
    "log-broken-chain",
    "critical",
    "What a node shipped does not go on where its log of the year before ended.",
  ),
  "bad-records": rule("log-bad-records", "critical", "What a node shipped is not what its log signed."),
};

/** Findings about logs are of no environment that is served: they are the operators'. */
const ownEnvironment = "sallyport";

export function logSignal({
  tenant,
  code,
  origin,
  by,
  at,
}: {
  readonly tenant: string;
  readonly code: LogRuleCode;
  /** As the evidence names it, which nobody may have checked. */
  readonly origin: string;
  /** `control`, or the name of the gateway that said so. */
  readonly by: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}): Signal {
  const { id, version, severity } = logRules[code];
  return {
    ...{ rule: id, version, severity, tenant, environment: ownEnvironment, subject: subjectOf(origin) },
    ...{ firstAt: at, lastAt: at, count: 1, evidence: [], facts: { code, by } },
  };
}

/** An origin in the form of origins; another is named by its hash. */
function subjectOf(origin: string): Subject {
  const isOne = parseOriginName(origin) !== null && origin.length <= 255;
  return { kind: "origin", name: isOne ? origin : `sha256:${hash("sha256", origin, "hex")}` };
}
