// Promises the answer to "have the witnesses I ask for cosigned this log, and how much of it?", offline. Trusts the policy file alone.
// Specified in docs/witnesses.md "A verifier's policy".
import type { TlogPolicy } from "@sallyport/protocol/audit/tlog-policy.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { readFile } from "./audit-files.ts";

export interface PolicyReport {
  readonly met: boolean;
  /** Leaves of the largest checkpoint that meets it; 0 when none does. */
  readonly leaves: number;
  /** Witnesses that cosigned it, by their name in the policy, and when: milliseconds since the epoch. */
  readonly cosigned: readonly { readonly name: string; readonly at: number }[];
  /** Why not; null when it is met. */
  readonly why: string | null;
}

export interface ReadPolicy {
  /** Cosigned checkpoints of the log: their roots are held against the leaves like any kept elsewhere. */
  readonly notes: readonly string[];
  report(verifierKey: string): PolicyReport;
}

const refusals = {
  malformed: "its checkpoint cannot be read",
  unsigned: "its checkpoint is signed by no log of the policy",
  "bad-signature": "a line under its checkpoint, by a key of the policy, is wrong",
  "foreign-origin": "its checkpoint is of another log than its key",
  "no-quorum": "too few of the policy's witnesses have cosigned one checkpoint of it",
} as const;

/** Reads a policy for a log directory. Throws CommandEnd (bad use) for a file that is none. */
export async function readPolicy(path: string, directory: string): Promise<ReadPolicy> {
  const policy = await parsedPolicy(path);
  const { realDisk } = await import("@sallyport/kernel/log/real-disk.ts");
  const { cosignedNotes, judgeLog } = await import("@sallyport/kernel/witness/judge-log.ts");
  const notes = cosignedNotes(realDisk(), directory);
  return {
    notes,
    report: (verifierKey) => {
      const verdict = judgeLog(policy, notes, { verifierKey, now: Date.now() });
      if (verdict?.kind === "ok")
        return { met: true, leaves: verdict.checkpoint.size, cosigned: datesOf(verdict.cosigned), why: null };
      const why = verdict === null ? "it has no checkpoint" : refusals[verdict.why];
      return { met: false, leaves: 0, cosigned: datesOf(verdict?.cosigned ?? new Map()), why };
    },
  };
}

/** The policy in a file. Throws CommandEnd (bad use) for a file that holds none. */
export async function parsedPolicy(path: string): Promise<TlogPolicy> {
  const { parsePolicy } = await import("@sallyport/protocol/audit/tlog-policy.ts");
  const { sha256 } = await import("@sallyport/kernel/log/log-crypto.ts");
  const parsed = parsePolicy(sha256, readFile(path));
  if (parsed.kind === "ok") return parsed.policy;
  throw new CommandEnd(
    exitCode.badUse,
    `${path}:${parsed.line}: not a policy: ${parsed.why}`,
    "sallyport audit witnesses prints the witness lines; docs/witnesses.md has a whole policy, which ends in a quorum",
  );
}

const datesOf = (cosigned: ReadonlyMap<string, number>): PolicyReport["cosigned"] =>
  [...cosigned].map(([name, seconds]) => ({ name, at: seconds * 1_000 }));

/** For people. `leaves`: of the log's newest origin. */
export function policyLine(report: PolicyReport, leaves: number): string {
  const names =
    report.cosigned.length === 0
      ? "nobody"
      : report.cosigned.map(({ name, at }) => `${name} (${new Date(at).toISOString()})`).join(", ");
  return report.met
    ? `policy     met at ${report.leaves} of ${leaves} leaves, cosigned by ${names}`
    : `policy     not met: ${report.why}; cosigned by ${names}`;
}
