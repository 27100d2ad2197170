// Promises what checkpoints kept elsewhere say of a log: those its key signed, and every one that proves nothing by its name. Trusts the keys of the chain.
// Specified in docs/audit.md "Verifying".
import { parseCheckpointBody, splitCheckpoints, verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { type NoteVerifier, parseNote } from "@sallyport/protocol/audit/note.ts";
import { noteCrypto, verifierFor } from "./log-crypto.ts";
import { originOfYear, yearOfOrigin } from "./origin.ts";
import type { LogProblem, OriginReport, SignedRoot } from "./verify-report.ts";

/** One origin of a directory, under its own key. */
export interface Link {
  readonly directory: string;
  readonly origin: string;
  readonly key: NoteVerifier;
}

export const problemOf = (kind: LogProblem["kind"], origin: string, message: string): LogProblem => ({
  kind,
  origin,
  file: null,
  index: null,
  offset: null,
  message,
});

/** Checkpoints kept elsewhere: those of this log that its key signed. One that is signed by nobody we know proves nothing and is named. */
export function sortKept(
  texts: readonly string[],
  chain: readonly Link[],
): { roots: SignedRoot[]; problems: LogProblem[] } {
  const roots: SignedRoot[] = [];
  const problems: LogProblem[] = [];
  for (const note of texts.flatMap(splitCheckpoints)) {
    const origin = parseCheckpointBody(parseNote(note)?.text ?? "")?.origin ?? "";
    const year = yearOfOrigin(origin);
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

export function missingOrigins(roots: readonly SignedRoot[], origins: readonly OriginReport[]): LogProblem[] {
  const missing = new Set(
    roots.map((root) => root.origin).filter((origin) => !origins.some((report) => report.origin === origin)),
  );
  return [...missing].map((origin) =>
    problemOf("missing-origin", origin, "a checkpoint kept elsewhere is of this origin, but its folder is not here"),
  );
}

/** The checkpoint to go on from: the newest that the log signed; null where none of them is its own. */
export function newestKept(text: string, chain: readonly Link[]): SignedRoot | null {
  const { roots } = sortKept([text], chain);
  const newest = roots.toSorted((a, b) => yearOfOrigin(a.origin) - yearOfOrigin(b.origin) || a.size - b.size);
  return newest.at(-1) ?? null;
}
