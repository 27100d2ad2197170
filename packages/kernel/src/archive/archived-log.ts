// Promises what an archive holds of one tree: its segments in a chain from the first leaf to a checkpoint that the tree's key signed.
// Trusts the verifier key it is given; segments are judged by whoever reads them. Names: docs/formats/archive.md.
import { type Checkpoint, verifyCheckpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { noteCrypto, sha256 } from "../log/log-crypto.ts";
import { ArchiveFault } from "./fault.ts";
import { type ArchiveStore, listMax } from "./port.ts";

/** One object with leaves `first` to `next`, without it. */
export interface ArchivedSegment {
  readonly name: string;
  readonly first: number;
  readonly next: number;
  readonly bytes: number;
}

/** Objects of one tree: more are not read. At 15 minutes apiece and 16 MiB apiece that is decades. */
const segmentsMax = 1_000_000;

export const keyName = (origin: string): string => `${origin}/log.vkey`;
export const checkpointName = (origin: string): string => `${origin}/checkpoint`;
/** Says that the segments of this tree were removed when retention let them go. */
export const removedName = (origin: string): string => `${origin}/removed`;
const digits = (leaf: number): string => String(leaf).padStart(16, "0");
export const segmentName = (origin: string, first: number, next: number): string =>
  `${origin}/wal/${digits(first)}-${digits(next)}.wal`;

/** Reads `<first>-<next>.wal`; null for another name. */
function parseSegment(name: string, bytes: number): ArchivedSegment | null {
  const [, first, next] = /\/wal\/([0-9]{16})-([0-9]{16})\.wal$/.exec(name) ?? [];
  if (first === undefined || next === undefined || Number(next) <= Number(first)) return null;
  return { name, first: Number(first), next: Number(next), bytes };
}

/** Segments that begin at `from` or later, in order; `max` bounds how many are read. */
export async function listSegmentsFrom(
  store: ArchiveStore,
  origin: string,
  { from, max = segmentsMax }: { readonly from: number; readonly max?: number },
): Promise<readonly ArchivedSegment[]> {
  const found: ArchivedSegment[] = [];
  // Just before the first name that may begin there: `-` comes before every digit.
  let after = `${origin}/wal/${digits(from)}-`;
  while (found.length < max) {
    const page = await store.list({ prefix: `${origin}/wal/`, after, max: Math.min(listMax, max - found.length) });
    if (page.length === 0) return found;
    for (const { name, bytes } of page) {
      const segment = parseSegment(name, bytes);
      if (segment !== null) found.push(segment);
    }
    after = page.at(-1)?.name ?? after;
  }
  return found;
}

/** The newest checkpoint here, with the note as it lies there; null when nothing was archived yet. Rejects with `archive-differs` where the key did not sign it. */
export async function readArchivedCheckpoint(
  store: ArchiveStore,
  origin: string,
  verifierKey: string,
): Promise<{ readonly note: Uint8Array; readonly checkpoint: Checkpoint } | null> {
  const note = await store.get(checkpointName(origin));
  if (note === null) return null;
  const key = parseVerifierKey(sha256, verifierKey);
  const verdict = verifyCheckpoint(noteCrypto, Buffer.from(note).toString("utf8"), {
    origin,
    keys: key === null ? [] : [key],
  });
  if (verdict.kind === "ok") return { note, checkpoint: verdict.checkpoint };
  throw new ArchiveFault(
    "archive-differs",
    `${checkpointName(origin)} in ${store.place} is not a checkpoint that the key of this log signed (${verdict.why}): two logs archive into one place, or it was changed there`,
  );
}

/**
 * A chain of segments from leaf 0 to `size`, among segments in the order of a list; null when there is none. Where two begin at one leaf either may be
 * the right one: only one of them may reach the end.
 */
export function chainOf(segments: readonly ArchivedSegment[], size: number): readonly ArchivedSegment[] | null {
  /** Of those from which the end can be reached: the one to take at a leaf. */
  const onward = new Map<number, ArchivedSegment>();
  for (const segment of segments.toReversed())
    if (segment.next === size || onward.has(segment.next)) onward.set(segment.first, segment);
  const chain: ArchivedSegment[] = [];
  for (let leaf = 0; leaf < size; ) {
    const segment = onward.get(leaf);
    if (segment === undefined) return null;
    chain.push(segment);
    leaf = segment.next;
  }
  return chain;
}
