// Promises the proof of one leaf under the checkpoint that most have signed, and none that does not lead from the leaf to the signed root.
// Trusts the origin's own folder for which checkpoints were published. Specified by C2SP tlog-proof@v1 and docs/formats/receipt.md.
import { join } from "node:path";
import { type Checkpoint, parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { leafHash } from "@sallyport/protocol/audit/merkle.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { type HashReader, inclusionProof, verifyInclusion } from "@sallyport/protocol/audit/proof.ts";
import { tileHashReader } from "@sallyport/protocol/audit/tiles.ts";
import type { TlogProof } from "@sallyport/protocol/audit/tlog-proof.ts";
import { readTileFile } from "../log/derived.ts";
import type { Disk } from "../log/disk.ts";
import { LogFault } from "../log/fault.ts";
import { sha256 } from "../log/log-crypto.ts";
import type { FoundRecord } from "../log/port.ts";
import { walkedHashes } from "../log/walked-hashes.ts";
import { notesOfOrigin } from "../witness/judge-log.ts";

/** A published checkpoint of an origin. */
export interface PublishedCheckpoint extends Checkpoint {
  readonly note: string;
  /** Signature lines: the log's own, and one of each witness. */
  readonly signatures: number;
}

/** The published checkpoints of an origin's folder, cosigned ones among them; the best to be proven under first. */
export function publishedCheckpoints(disk: Disk, folder: string): readonly PublishedCheckpoint[] {
  const published = notesOfOrigin(disk, folder).flatMap((note) => {
    const parsed = parseNote(note);
    const checkpoint = parseCheckpointBody(parsed?.text ?? "");
    return parsed === null || checkpoint === null
      ? []
      : [{ ...checkpoint, note, signatures: parsed.signatures.length }];
  });
  return published.toSorted((a, b) => b.signatures - a.signatures || b.size - a.size);
}

export interface LeafToProve {
  readonly disk: Disk;
  /** The origin's folder. */
  readonly folder: string;
  readonly record: Pick<FoundRecord, "index" | "leaf">;
}

/**
 * The proof of a leaf under the first of the checkpoints that covers it; null when none does yet.
 * An archived log, which has no tiles, is read from its beginning. Throws LogFault `log-corrupt` when its files do not lead to the signed root.
 */
export function proveLeaf(
  { disk, folder, record }: LeafToProve,
  checkpoints: readonly PublishedCheckpoint[],
): TlogProof | null {
  const { index, leaf } = record;
  const checkpoint = checkpoints.find(({ size }) => size > index);
  if (checkpoint === undefined) return null;
  const { origin, size, root, note } = checkpoint;
  try {
    const proofBy = (read: HashReader) => inclusionProof({ sha256, read }, index, size);
    // An archived log has no tiles.
    const read = disk.list(folder).includes("tile")
      ? tileHashReader(sha256, size, (tile) => readTileFile(disk, folder, tile))
      : walkedHashes({ disk, directory: folder, origin }, size, proofBy);
    const hashes = proofBy(read);
    if (verifyInclusion(sha256, { leafHash: leafHash(sha256, leaf), index, size, root, proof: hashes }))
      return { index, hashes, checkpoint: note };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw new LogFault(
    "log-corrupt",
    `what lies under ${folder} does not lead from leaf ${index} to the signed root; run \`sallyport audit verify ${join(folder, "..")}\``,
  );
}
