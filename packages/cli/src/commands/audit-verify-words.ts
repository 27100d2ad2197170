// Promises what a verification found in words for people and in JSON, and beside every yes what was not looked at. Trusts the report.
// What each answer means: docs/audit.md "Verifying".
import type { VerifyReport } from "@sallyport/kernel/log/verify.ts";
import { type PolicyReport, policyLine } from "./audit-policy.ts";

type LogProblem = VerifyReport["problems"][number];
type OriginReport = VerifyReport["origins"][number];

/** One log that was verified, and by what. */
export interface VerifiedLog {
  readonly directory: string;
  readonly report: VerifyReport;
  readonly key: string;
  readonly keyFrom: "own" | "given";
  /** Files of checkpoints kept elsewhere that were given. */
  readonly olderFiles: number;
  /** A kept checkpoint was given to go on from. */
  readonly isFromKept: boolean;
  /** Checkpoints in them that are of other logs. */
  readonly othersCheckpoints: number;
  /** Null: none was given. */
  readonly policy: PolicyReport | null;
}

export function isYes({ report, policy }: VerifiedLog): boolean {
  return report.ok && policy?.met !== false;
}

/** As JSON has it. */
export function printedLog(log: VerifiedLog): object {
  const { directory, report, key, keyFrom, olderFiles, policy } = log;
  const said = {
    directory,
    ...report,
    notChecked: leftOut(log),
    origins: report.origins.map(printableOrigin),
    verifierKey: key,
    keyFrom,
    olderFiles,
  };
  return policy === null ? said : { ...said, policy };
}

/** JSON knows no bytes: a root is base64, as in the checkpoint it stands in. */
function printableOrigin({ checkpoint, root, ...origin }: VerifyReport["origins"][number]) {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  return {
    ...origin,
    root: root === null ? null : Buffer.from(root, "hex").toString("base64"),
    checkpoint: checkpoint === null ? null : { ...checkpoint, root: base64(checkpoint.root) },
  };
}

/** What nothing in this answer speaks of: what the log's own files could not show, and what was not asked for. */
function leftOut({ report, keyFrom, olderFiles, isFromKept, policy }: VerifiedLog): readonly string[] {
  return [
    ...report.notChecked,
    ...(keyFrom === "own" ? ["whether the key is the right one: it is the one in the directory (--key)"] : []),
    ...(olderFiles === 0 && !isFromKept && policy?.met !== true
      ? [
          "whether whoever has the key cut its end off or made it anew: no checkpoint kept elsewhere was given (--older)",
        ]
      : []),
  ];
}

export function verifyWords(log: VerifiedLog): readonly string[] {
  const { report, key, keyFrom, policy } = log;
  const { counts } = report;
  const isHeldTogether = report.isPart ? " in these leaves" : "";
  return [
    ...(policy === null ? [] : [policyLine(policy, report.origins.at(-1)?.leaves ?? 0)]),
    ...report.origins.flatMap((origin) => [`origin     ${origin.origin}`, originLine(origin)]),
    `signer     ${key}${keyFrom === "own" ? "  (the key in the directory: nothing outside vouches for it)" : ""}`,
    `extends    ${extendsWords(log)}`,
    `crossings  ${counts.crossings}${isHeldTogether}: ${counts.intents} intents, ${counts.outcomes} outcomes, ${counts.unknown} of them found at recovery, ${report.open.length} open`,
    ...tallyWords(report),
    ...report.problems.map(problemLine),
    ...leftOut(log).map((text) => `unchecked  ${text}`),
    verdictLine(log),
    ...liveWords(report),
  ];
}

function originLine({ size, leaves, root, removed, unread, checked }: OriginReport): string {
  if (size === null) return "  checkpoint  none that the key signed";
  if (removed === true)
    return `  removed     its ${size} leaves are not here; only its last checkpoint, root ${root}, was judged`;
  if (unread === true) return `  not read    none of its ${size} leaves was asked for, root ${root}`;
  if (checked === undefined) return `  checkpoint  ${size} of ${leaves} leaves, root ${root}`;
  const { from, to } = checked;
  const leavesRead = from === to ? "none" : to - from === 1 ? `leaf ${from}` : `leaves ${from} to ${to - 1}`;
  return `  part        ${leavesRead} of the ${size} that are signed, root ${root}`;
}

function extendsWords({ olderFiles, othersCheckpoints }: VerifiedLog): string {
  if (olderFiles === 0) return "no older checkpoint was given";
  const files = `checkpoints of ${olderFiles} ${olderFiles === 1 ? "file" : "files"} kept elsewhere`;
  return othersCheckpoints === 0 ? files : `${files}; ${othersCheckpoints} in them are of other logs`;
}

function verdictLine({ report, policy }: VerifiedLog): string {
  const first = report.firstBad;
  if (!report.ok) return `no: ${first === null ? "see above" : `the first bad place is ${problemLine(first)}`}`;
  if (policy?.met === false) return "no: the policy is not met; the leaves by themselves are whole";
  if (!report.isPart) return `yes: ${report.leaves} leaves are whole, unchanged and complete`;
  if (report.leaves === 0) return "yes, as far as it goes: nothing was added, and what was signed before still stands";
  return `yes, of the part that was asked for: ${report.leaves} leaves are the signed ones, in their places; of nothing else`;
}

/** Where all that is wrong is what a log that is being written looks like between two checkpoints. */
function liveWords({ problems }: VerifyReport): readonly string[] {
  const isOfRunning = problems.length > 0 && problems.every(({ whileRunning }) => whileRunning === true);
  return isOfRunning
    ? [
        "fix: a log that is being written looks so too. If its process runs, ask again with --live; if it has ended, it did not end in order",
      ]
    : [];
}

/** What the listeners counted, and where nobody did. */
function tallyWords({ isPart, tallies: counts }: VerifyReport) {
  const { tallies, seen, refused, unread, uncounted, crashes, crashWindows, early } = counts;
  if (tallies === 0 && uncounted === 0) return earlyWords(early);
  const lines = [
    ...(tallies === 0
      ? []
      : [
          `counted    ${seen} crossings where requests arrive, apart from the log, in ${tallies} tallies (one for each ten seconds with traffic): ${refused} refused for want of a record, every other one held against its leaf; besides, ${unread} that never became a request`,
        ]),
    ...(uncounted === 0
      ? []
      : [
          `counted    nobody counted ${uncounted} of the crossings, ${isPart ? "whose tallies are not among these leaves" : "which are from before there were tallies"}`,
        ]),
    ...crashWindows.map(
      ({ from, until, leaves }) =>
        `crash      ${time(from)} to ${time(until)}: ${leaves} crossings found, how many there were is not known`,
    ),
  ];
  if (crashes > crashWindows.length) lines.push(`crash      and ${crashes - crashWindows.length} more`);
  return [...lines, ...earlyWords(early)];
}

const time = (ms: number | null) => (ms === null ? "the end" : new Date(ms).toISOString());

/** Answers that went ahead of their records, and where their records may be missing. */
function earlyWords({ promises, settled, crashes, mayMiss }: VerifyReport["tallies"]["early"]) {
  if (promises === 0) return [];
  const lines = [
    `early      ${settled} crossings were answered before their records were durable, and are all here`,
    ...mayMiss.map(
      ({ from, until, upTo }) =>
        `early      ${time(from)} to ${time(until)}: the gateway died; up to ${upTo} crossings may be missing`,
    ),
  ];
  if (crashes > mayMiss.length) lines.push(`early      and ${crashes - mayMiss.length} more`);
  return lines;
}

function problemLine(problem: LogProblem): string {
  const place = problem.file === null ? problem.origin : `${problem.file}:${problem.offset ?? "-"}`;
  const leaf = problem.index === null ? "" : ` leaf ${problem.index}`;
  return `${problem.kind}: ${place}${leaf}: ${problem.message}`;
}
