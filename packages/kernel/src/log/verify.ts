// Promises the answer to "is this log whole, unchanged and complete?", offline, over a copied directory. Trusts only the verifier key and the
// checkpoints it is given. Specified in docs/formats/leaf.md; what each answer means: docs/audit.md "Verifying".
import { createHash } from "node:crypto";
import { join } from "node:path";
import { printHex } from "@sallyport/protocol/audit/base64.ts";
import { printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { type NoteVerifier, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { Completeness, type CrossingCounts } from "./completeness.ts";
import { type Disk, readWhole } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { sha256, verifierFor } from "./log-crypto.ts";
import { originOfYear, yearFolders } from "./origin.ts";
import { realDisk } from "./real-disk.ts";
import { logFolders, readVerifierKey } from "./seam.ts";
import { TallyCheck, type TallyCounts } from "./tally-check.ts";
import { Crew, type CrewOptions } from "./verify-crew.ts";
import { checkLogFiles } from "./verify-files.ts";
import { type Link, missingOrigins, newestKept, problemOf, sortKept } from "./verify-kept.ts";
import { knownFrom, type PlannedOrigin, planOf, verifyPlanned } from "./verify-plan.ts";
import { checkRemoved, removedOrigin } from "./verify-removed.ts";
import { type LogProblem, type OriginReport, type OriginRules, problemsMax, type SignedRoot } from "./verify-report.ts";
import { notChecked, refuseEmpty, type VerifyScope } from "./verify-scope.ts";

export interface VerifyOptions {
  /** C2SP verifier key (Ed25519) of any one of the directory's origins: the years differ only in the name. */
  readonly verifierKey: string;
  /** Texts of checkpoints kept elsewhere; each may hold several notes. */
  readonly olderCheckpoints?: readonly string[];
  /** A copy of a running log: open intents and leaves beyond the last checkpoint are expected. */
  readonly live?: boolean;
  /** Called with the number of leaves checked so far, every 65,536, and how many there will be, as far as the checkpoints say. */
  readonly onProgress?: (leaves: number, total: number) => void;
  /** Only these leaves; absent: all. */
  readonly scope?: VerifyScope;
  readonly disk?: Disk;
  /** Threads that judge; without effect on a given disk, which they could not read. */
  readonly crew?: CrewOptions;
}

export interface VerifyReport {
  /** Nothing is wrong with what was checked; what was not, `notChecked` says. */
  readonly ok: boolean;
  /** Not all of the log was asked for. */
  readonly isPart: boolean;
  readonly leaves: number;
  readonly origins: readonly OriginReport[];
  readonly counts: CrossingCounts;
  /** What the listeners counted, and where nobody did. */
  readonly tallies: TallyCounts;
  /** Intents without an outcome. */
  readonly open: readonly string[];
  /** At most 100. */
  readonly problems: readonly LogProblem[];
  /** The first problem that names a file, and where it can the leaf and the byte. */
  readonly firstBad: LogProblem | null;
  /** What this answer does not speak of. */
  readonly notChecked: readonly string[];
}

/** Checks every byte of a log directory. Never changes it. Throws LogFault `log-key` for a malformed key and `not-found` for a directory without a log. */
export function verifyLogDirectory(directory: string, options: VerifyOptions): VerifyReport {
  const crew = new Crew(options.disk ?? realDisk(), options.disk === undefined, options.crew ?? {});
  try {
    return verifyWith(crew, directory, options);
  } finally {
    crew.end();
  }
}

function verifyWith(crew: Crew, directory: string, options: VerifyOptions): VerifyReport {
  const disk = options.disk ?? realDisk();
  const given = parseVerifierKey(sha256, options.verifierKey);
  if (given === null)
    throw new LogFault("log-key", "the verifier key is not an Ed25519 key of the form <origin>+<key id>+<base64>");
  const chain = chainOf(disk, directory, given);
  const { scope } = options;
  const base = scope?.checkpoint === undefined ? null : newestKept(scope.checkpoint, chain);
  const kept = sortKept(options.olderCheckpoints ?? [], chain);
  const roots = base === null ? kept.roots : [...kept.roots, base];
  const problems: LogProblem[] = [...kept.problems];
  if (scope?.checkpoint !== undefined && base === null)
    problems.push(
      problemOf("checkpoint", given.name, "no checkpoint to go on from is one this key signed for this log"),
    );
  const plan = chain.map((link) => planOf(disk, link, { scope, base, isNewest: link === chain.at(-1) }));
  const firstRead = plan.find(({ part }) => part === "whole" || part === "range");
  const isFromBeginning = firstRead === plan[0] && firstRead?.part !== "range";
  const completeness = new Completeness({ isFromBeginning });
  const tallies = new TallyCheck(isFromBeginning ? 0 : knownFrom(disk, firstRead));
  const judged = verifyOrigins(plan, { disk, crew, roots, completeness, tallies, options });
  const { origins } = judged;
  problems.push(...judged.problems);
  problems.push(
    ...besideYears(disk, directory, { given, live: options.live === true, origin: chain.at(-1)?.origin ?? "" }),
  );
  const isPart = plan.some(({ part }) => part === "range" || part === "none");
  problems.push(...missingOrigins(roots, origins));
  if (!isPart) problems.push(...openIntents(completeness, origins, options.live === true));
  tallies.end(options.live === true || isPart);
  if (scope !== undefined && problems.length === 0) refuseEmpty(scope, origins);
  const found = problems.slice(0, problemsMax);
  return {
    ok: found.length === 0,
    isPart,
    leaves: judged.leaves,
    origins,
    counts: completeness.counts,
    tallies: tallies.counts,
    open: completeness.open(),
    problems: found,
    firstBad: firstPlace(found),
    notChecked: notChecked(origins, { isPart, live: options.live === true }),
  };
}

interface ChainRules extends Pick<OriginRules, "disk" | "crew" | "completeness" | "tallies"> {
  readonly roots: readonly SignedRoot[];
  readonly options: VerifyOptions;
}

/** Each origin as planned, oldest first, and whether it goes on from the one before. */
function verifyOrigins(plan: readonly PlannedOrigin[], { roots, options, ...shared }: ChainRules) {
  const total = plan.reduce((sum, { from, to }) => sum + to - from, 0);
  const origins: OriginReport[] = [];
  const problems: LogProblem[] = [];
  let leaves = 0;
  for (const planned of plan) {
    const { link, isBare } = planned;
    const isNewest = planned === plan.at(-1);
    const before = origins.at(-1) ?? null;
    const removed = removedOrigin(shared.disk, link, roots);
    const report =
      removed ??
      verifyPlanned(
        {
          ...shared,
          ...link,
          isBare,
          kept: roots.filter((root) => root.origin === link.origin),
          // Every origin but the last has ended.
          live: options.live === true && isNewest,
          onLeaves: (count) => {
            leaves += count;
            options.onProgress?.(leaves, total);
          },
        },
        planned,
      );
    const chain = removed === null ? checkChain(report, before) : checkRemoved(removed, { before, isNewest });
    problems.push(...report.problems, ...chain);
    origins.push(report);
  }
  return { origins, problems, leaves };
}

/** The problem that says best where to look. */
function firstPlace(found: readonly LogProblem[]): LogProblem | null {
  return found.find(({ offset }) => offset !== null) ?? found.find(({ file }) => file !== null) ?? found[0] ?? null;
}

/** Every origin of a directory, oldest first: the logs before a restore, each under its own key, then this one's years. */
function chainOf(disk: Disk, directory: string, given: NoteVerifier): readonly Link[] {
  const folders = logFolders(disk, directory);
  if (folders.length === 0) throw new LogFault("not-found", `${directory} holds no log: no folder is named by a year`);
  return [...folders].reverse().flatMap((folder) => {
    const key = folder === directory ? given : readVerifierKey(disk, folder);
    if (key === null)
      throw new LogFault(
        "log-key",
        `${folder} has no log.vkey, the key of the log before a restore; put it back from the backup`,
      );
    return yearFolders(disk.list(folder)).map((year) => {
      const origin = originOfYear(key.name, year);
      return { directory: join(folder, String(year)), origin, key: verifierFor(origin, key.publicKey) };
    });
  });
}

/** What lies beside the years of this log and of those before it. */
function besideYears(
  disk: Disk,
  directory: string,
  { given, live, origin }: { readonly given: NoteVerifier; readonly live: boolean; readonly origin: string },
): LogProblem[] {
  return logFolders(disk, directory).flatMap((folder) => {
    const key = folder === directory ? given : readVerifierKey(disk, folder);
    const found = key === null ? [] : checkLogFiles({ disk, directory: folder, live }, key);
    return found.map((problem) => ({ ...problem, origin, index: null }));
  });
}

function openIntents(completeness: Completeness, origins: readonly OriginReport[], live: boolean): LogProblem[] {
  const open = completeness.open();
  if (live || open.length === 0) return [];
  const message = `${open.length} intents have no outcome, the first is ${open[0]}`;
  return [{ ...problemOf("crossing", origins.at(-1)?.origin ?? "", message), whileRunning: true }];
}

/** Does the first leaf name the origin it stands in, and the end of the one before? */
function checkChain(report: OriginReport, before: OriginReport | null): LogProblem[] {
  if (report.firstLeaf === null) return [];
  const last = before?.checkpoint ?? null;
  const previous =
    last === null
      ? null
      : createHash("sha256")
          .update(printCheckpointBody(last.origin, last.size, last.root))
          .digest();
  const due =
    `"origin":${JSON.stringify(report.origin)},"previous":${previous === null ? "null" : `"${printHex(previous)}"`},` +
    `"previousOrigin":${last === null ? "null" : `"${last.origin}"`},"previousSize":${last?.size ?? 0}}`;
  if (report.firstLeaf.endsWith(due)) return [];
  // Retention may have dropped older years: then the first leaf names one that is not here, and only its own name can be checked.
  if (before === null && report.firstLeaf.includes(`"origin":${JSON.stringify(report.origin)},`)) return [];
  const message =
    before === null
      ? "the first leaf names another origin"
      : `the first leaf does not name the end of ${before.origin}`;
  return [{ ...problemOf("chain", report.origin, message), index: 0 }];
}

/** The checkpoints in a copies file, as one text for `olderCheckpoints`; null when there is no such file. */
export function readCheckpointFile(path: string, disk: Disk = realDisk()): string | null {
  return readWhole(disk, path)?.toString("utf8") ?? null;
}
