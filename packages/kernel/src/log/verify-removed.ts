// Promises that a year which retention removed is still a link of the chain: what is left of it is its last checkpoint, and that is judged as ever.
// Trusts the key alone. That a year was let go, and not taken, the log of control says (docs/audit-actions.md, `log.remove`). Described in docs/archive.md.
import { join } from "node:path";
import { printHex } from "@sallyport/protocol/audit/base64.ts";
import { verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import type { NoteVerifier } from "@sallyport/protocol/audit/note.ts";
import { type Disk, readWhole } from "./disk.ts";
import { noteCrypto } from "./log-crypto.ts";
import { listSegments } from "./segments.ts";
import type { LogProblem, OriginReport, SignedRoot } from "./verify-report.ts";

/** In a year's folder: its records were removed, only the checkpoint is left. */
export const removedFile = "removed";

/** Was this year removed: it says so, and no segment of it is left? */
export function isRemoved(disk: Disk, directory: string): boolean {
  return readWhole(disk, join(directory, removedFile)) !== null && listSegments(disk, directory).length === 0;
}

/** What can be said of a removed year; null for one that is here. */
export function removedOrigin(
  disk: Disk,
  { directory, origin, key }: { readonly directory: string; readonly origin: string; readonly key: NoteVerifier },
  kept: readonly SignedRoot[],
): OriginReport | null {
  if (!isRemoved(disk, directory)) return null;
  const file = join(directory, "checkpoint");
  const note = readWhole(disk, file)?.toString("utf8") ?? "";
  const verdict = verifyCheckpoint(noteCrypto, note, { origin, keys: [key] });
  const checkpoint = verdict.kind === "ok" ? verdict.checkpoint : null;
  const problem = (kind: LogProblem["kind"], message: string): LogProblem => ({
    ...{ kind, origin, file, index: null, offset: null, message },
  });
  const problems: LogProblem[] = [];
  if (checkpoint === null)
    problems.push(problem("checkpoint", "the checkpoint of a removed year is not one the key signed"));
  const longer = kept.find((root) => root.origin === origin && root.size > (checkpoint?.size ?? 0));
  if (longer !== undefined)
    problems.push(
      problem(
        "truncated",
        `a checkpoint kept elsewhere has ${longer.size} leaves of this year, its last one here fewer`,
      ),
    );
  return {
    origin,
    leaves: 0,
    size: checkpoint?.size ?? null,
    root: checkpoint === null ? null : printHex(checkpoint.root),
    checkpoint,
    problems,
    firstLeaf: null,
    removed: true,
  };
}

/** Retention lets go of the oldest years: one that is gone behind one that is here was taken, and so was the newest. */
export function checkRemoved(
  { origin }: OriginReport,
  at: { readonly before: OriginReport | null; readonly isNewest: boolean },
): LogProblem[] {
  const problem = (message: string): LogProblem[] => [
    { kind: "chain", origin, file: null, index: null, offset: null, message },
  ];
  if (at.before !== null && at.before.removed !== true)
    return problem(
      `this year is said to be removed, but ${at.before.origin}, which is older, is here: retention removes the oldest first`,
    );
  return at.isNewest ? problem("the newest year is said to be removed: nothing is here to be judged") : [];
}
