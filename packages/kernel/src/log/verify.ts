// Promises the answer to "is this log whole, unchanged and complete?", offline, over a copied directory. Trusts only the verifier key and the
// checkpoints it is given. Specified in docs/formats/leaf.md; what each answer means: docs/audit.md "Verifying".
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { printHex } from "@sallyport/protocol/audit/base64.ts";
import {
  parseCheckpointBody,
  printCheckpointBody,
  splitCheckpoints,
  verifyCheckpoint,
} from "@sallyport/protocol/audit/checkpoint.ts";
import { type NoteVerifier, parseNote, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { Completeness, type CrossingCounts } from "./completeness.ts";
import { type Disk, readWhole } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { noteCrypto, sha256, verifierFor } from "./log-crypto.ts";
import { originOfYear, yearFolders, yearOfOrigin } from "./origin.ts";
import { realDisk } from "./real-disk.ts";
import { logFolders, readVerifierKey, verifierKeyFile } from "./seam.ts";
import { TallyCheck, type TallyCounts } from "./tally-check.ts";
import { Crew, type CrewOptions } from "./verify-crew.ts";
import { OriginVerifier } from "./verify-origin.ts";
import { checkRemoved, isRemoved, removedOrigin } from "./verify-removed.ts";
import { type LogProblem, type OriginReport, problemsMax, type SignedRoot } from "./verify-report.ts";

export interface VerifyOptions {
  /** C2SP verifier key (Ed25519) of any one of the directory's origins: the years differ only in the name. */
  readonly verifierKey: string;
  /** Texts of checkpoints kept elsewhere; each may hold several notes. */
  readonly olderCheckpoints?: readonly string[];
  /** A copy of a running log: open intents and leaves beyond the last checkpoint are expected. */
  readonly live?: boolean;
  /** Called with the number of leaves checked so far, every 65,536. */
  readonly onProgress?: (leaves: number) => void;
  readonly disk?: Disk;
  /** Threads that judge; without effect on a given disk, which they could not read. */
  readonly crew?: CrewOptions;
}

export interface VerifyReport {
  readonly ok: boolean;
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
  const kept = sortKept(options.olderCheckpoints ?? [], chain);
  // What began in a year that is removed may end in one that is here.
  const lastRemoved = chain.findLast(({ directory: folder }) => isRemoved(disk, folder));
  const knownFrom = lastRemoved === undefined ? 0 : Date.UTC(yearOfOrigin(lastRemoved.origin) + 1, 0, 1);
  const completeness = new Completeness({ isFromBeginning: lastRemoved === undefined });
  const tallies = new TallyCheck(knownFrom);
  const problems: LogProblem[] = [...kept.problems];
  const origins: OriginReport[] = [];
  let leaves = 0;
  for (const link of chain) {
    const removed = removedOrigin(disk, link, kept.roots);
    if (removed !== null) {
      problems.push(
        ...removed.problems,
        ...checkRemoved(removed, { before: origins.at(-1) ?? null, isNewest: link === chain.at(-1) }),
      );
      origins.push(removed);
      continue;
    }
    const report = new OriginVerifier({
      disk,
      ...link,
      isBare: isBareCopy(disk, link.directory),
      kept: kept.roots.filter((root) => root.origin === link.origin),
      completeness,
      tallies,
      crew,
      // Every origin but the last has ended.
      live: options.live === true && link === chain.at(-1),
      onLeaves: (count) => {
        leaves += count;
        options.onProgress?.(leaves);
      },
    }).verify();
    problems.push(...report.problems, ...checkChain(report, origins.at(-1) ?? null));
    origins.push(report);
  }
  problems.push(...missingOrigins(kept.roots, origins), ...openIntents(completeness, origins, options.live === true));
  tallies.end(options.live === true);
  const found = problems.slice(0, problemsMax);
  return {
    ok: found.length === 0,
    leaves,
    origins,
    counts: completeness.counts,
    tallies: tallies.counts,
    open: completeness.open(),
    problems: found,
    firstBad: firstPlace(found),
  };
}

/** The problem that says best where to look. */
function firstPlace(found: readonly LogProblem[]): LogProblem | null {
  return found.find(({ offset }) => offset !== null) ?? found.find(({ file }) => file !== null) ?? found[0] ?? null;
}

/** Has a copied log (its public key lies beside it, not its private one) this origin's segments and checkpoint alone? Then nothing derived is due. */
function isBareCopy(disk: Disk, directory: string): boolean {
  const beside = disk.list(dirname(directory));
  const isCopy = beside.includes(verifierKeyFile) && !beside.includes("log.key");
  return isCopy && !disk.list(directory).includes("tile");
}

interface Link {
  readonly directory: string;
  readonly origin: string;
  readonly key: NoteVerifier;
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

const problemOf = (kind: LogProblem["kind"], origin: string, message: string): LogProblem => ({
  kind,
  origin,
  file: null,
  index: null,
  offset: null,
  message,
});

/** Checkpoints kept elsewhere: those of this log that its key signed. One that is signed by nobody we know proves nothing and is named. */
function sortKept(texts: readonly string[], chain: readonly Link[]): { roots: SignedRoot[]; problems: LogProblem[] } {
  const roots: SignedRoot[] = [];
  const problems: LogProblem[] = [];
  for (const note of texts.flatMap(splitCheckpoints)) {
    const origin = parseCheckpointBody(parseNote(note)?.text ?? "")?.origin ?? "";
    const year = Number(origin.slice(origin.lastIndexOf("/") + 1));
    // Also a year whose folder is gone: that is what such a checkpoint shows.
    const sibling = chain.find((link) => originOfYear(link.origin, year) === origin);
    const keys = sibling === undefined ? [] : [verifierFor(origin, sibling.key.publicKey)];
    const verdict = verifyCheckpoint(noteCrypto, note, { origin, keys });
    if (verdict.kind === "ok") roots.push({ ...verdict.checkpoint, from: "a checkpoint kept elsewhere" });
    else
      problems.push(
        problemOf(
          "checkpoint",
          origin,
          `a checkpoint kept elsewhere is not one this key signed for this log (${verdict.why})`,
        ),
      );
  }
  return { roots, problems };
}

function missingOrigins(roots: readonly SignedRoot[], origins: readonly OriginReport[]): LogProblem[] {
  const missing = new Set(
    roots.map((root) => root.origin).filter((origin) => !origins.some((report) => report.origin === origin)),
  );
  return [...missing].map((origin) =>
    problemOf("missing-origin", origin, "a checkpoint kept elsewhere is of this origin, but its folder is not here"),
  );
}

function openIntents(completeness: Completeness, origins: readonly OriginReport[], live: boolean): LogProblem[] {
  const open = completeness.open();
  if (live || open.length === 0) return [];
  return [
    problemOf(
      "crossing",
      origins.at(-1)?.origin ?? "",
      `${open.length} intents have no outcome, the first is ${open[0]}`,
    ),
  ];
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
