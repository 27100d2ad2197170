// Promises the answer to "is this log whole, unchanged and complete?", offline, over a copied directory. Trusts only the verifier key and the
// checkpoints it is given. Specified in docs/formats/leaf.md; what each answer means: docs/audit.md "Verifying".
import { createHash } from "node:crypto";
import { join } from "node:path";
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
import { originOfYear, yearFolders } from "./origin.ts";
import { realDisk } from "./real-disk.ts";
import { OriginVerifier } from "./verify-origin.ts";
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
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly leaves: number;
  readonly origins: readonly OriginReport[];
  readonly counts: CrossingCounts;
  /** Intents without an outcome. */
  readonly open: readonly string[];
  /** At most 100. */
  readonly problems: readonly LogProblem[];
  /** The first problem that names a file, and where it can the leaf and the byte. */
  readonly firstBad: LogProblem | null;
}

/** Checks every byte of a log directory. Never changes it. Throws LogFault `log-key` for a malformed key and `not-found` for a directory without a log. */
export function verifyLogDirectory(directory: string, options: VerifyOptions): VerifyReport {
  const disk = options.disk ?? realDisk();
  const given = parseVerifierKey(sha256, options.verifierKey);
  if (given === null)
    throw new LogFault("log-key", "the verifier key is not an Ed25519 key of the form <origin>+<key id>+<base64>");
  const years = yearFolders(disk.list(directory));
  if (years.length === 0) throw new LogFault("not-found", `${directory} holds no log: no folder is named by a year`);
  const kept = sortKept(options.olderCheckpoints ?? [], given);
  const completeness = new Completeness();
  const problems: LogProblem[] = [...kept.problems];
  const origins: OriginReport[] = [];
  let leaves = 0;
  for (const year of years) {
    const origin = originOfYear(given.name, year);
    const report = new OriginVerifier({
      disk,
      directory: join(directory, String(year)),
      origin,
      key: verifierFor(origin, given.publicKey),
      kept: kept.roots.filter((root) => root.origin === origin),
      completeness,
      // Every year but the last has ended.
      live: options.live === true && year === years.at(-1),
      onLeaves: (count) => {
        leaves += count;
        options.onProgress?.(leaves);
      },
    }).verify();
    problems.push(...report.problems, ...checkChain(report, origins.at(-1) ?? null));
    origins.push(report);
  }
  problems.push(...missingOrigins(kept.roots, origins), ...openIntents(completeness, origins, options.live === true));
  const found = problems.slice(0, problemsMax);
  return {
    ok: found.length === 0,
    leaves,
    origins,
    counts: completeness.counts,
    open: completeness.open(),
    problems: found,
    firstBad:
      found.find((problem) => problem.offset !== null) ??
      found.find((problem) => problem.file !== null) ??
      found[0] ??
      null,
  };
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
function sortKept(texts: readonly string[], given: NoteVerifier): { roots: SignedRoot[]; problems: LogProblem[] } {
  const roots: SignedRoot[] = [];
  const problems: LogProblem[] = [];
  for (const note of texts.flatMap(splitCheckpoints)) {
    const origin = parseCheckpointBody(parseNote(note)?.text ?? "")?.origin ?? "";
    const year = Number(origin.slice(origin.lastIndexOf("/") + 1));
    const keys =
      origin !== "" && originOfYear(given.name, year) === origin ? [verifierFor(origin, given.publicKey)] : [];
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
