// Promises a receipt for one leaf that anyone can check offline, and the check. Trusts, when making, nothing it has not checked against the
// published checkpoint; when checking, only the verifier key. Specified by C2SP tlog-proof@v1 and docs/formats/leaf.md.
import { join } from "node:path";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { leafHash } from "@sallyport/protocol/audit/merkle.ts";
import { parseNote, parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { inclusionProof, verifyInclusion } from "@sallyport/protocol/audit/proof.ts";
import { tileHashReader } from "@sallyport/protocol/audit/tiles.ts";
import { type ProofVerdict, printProof, verifyProof } from "@sallyport/protocol/audit/tlog-proof.ts";
import { readTileFile } from "./derived.ts";
import { type Disk, readWhole } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { noteCrypto, sha256 } from "./log-crypto.ts";
import { yearFolders } from "./origin.ts";
import type { FoundRecord } from "./port.ts";
import { realDisk } from "./real-disk.ts";
import { findInSegments, recordAt } from "./segments.ts";

export interface LogReceipt {
  /** `c2sp.org/tlog-proof@v1` */
  readonly proof: string;
  readonly leaf: Uint8Array;
  readonly origin: string;
  readonly index: number;
}

/** Which leaf: an index of the newest origin (or of a year), or an event id (its last leaf). */
export type LeafChoice = { readonly id: string } | { readonly index: number; readonly year?: number };

/**
 * Makes the receipt of a leaf in the published tree of its origin. Reads only; the log may be running.
 * Throws LogFault `not-found` when there is no such leaf or no checkpoint covers it yet, `log-corrupt` when the tiles do not give the signed root.
 */
export function prove(directory: string, choice: LeafChoice, disk: Disk = realDisk()): LogReceipt {
  for (const year of yearFolders(disk.list(directory)).reverse()) {
    if ("index" in choice && choice.year !== undefined && choice.year !== year) continue;
    const folder = join(directory, String(year));
    const note = readWhole(disk, join(folder, "checkpoint"))?.toString("utf8") ?? "";
    const checkpoint = parseCheckpointBody(parseNote(note)?.text ?? "");
    if (checkpoint === null)
      throw new LogFault(
        "log-corrupt",
        `${folder}/checkpoint is missing or not a checkpoint; run \`sallyport audit verify\``,
      );
    const search = { disk, directory: folder, origin: checkpoint.origin };
    const record = "id" in choice ? findInSegments(search, choice.id).at(-1) : recordAt(search, choice.index);
    if (record === undefined || record === null) {
      if ("id" in choice) continue;
      break;
    }
    return receiptOf({ disk, folder, note, record, ...checkpoint });
  }
  throw new LogFault("not-found", `${directory} has no such leaf; the id or index may belong to another node`);
}

interface ReceiptParts {
  readonly disk: Disk;
  readonly folder: string;
  readonly note: string;
  readonly record: FoundRecord;
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

function receiptOf({ disk, folder, note, record, origin, size, root }: ReceiptParts): LogReceipt {
  const { index, leaf } = record;
  if (index >= size)
    throw new LogFault(
      "not-found",
      `leaf ${index} is durable, but the published checkpoint covers ${size} leaves; try again in a moment`,
    );
  try {
    const read = tileHashReader(sha256, size, (tile) => readTileFile(disk, folder, tile));
    const hashes = inclusionProof({ sha256, read }, index, size);
    if (verifyInclusion(sha256, { leafHash: leafHash(sha256, leaf), index, size, root, proof: hashes })) {
      return { proof: printProof({ index, hashes, checkpoint: note }), leaf, origin, index };
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw new LogFault(
    "log-corrupt",
    `the tiles under ${folder} do not lead from leaf ${index} to the signed root; run \`sallyport audit verify ${folder}/..\``,
  );
}

/** Does the receipt bind exactly this leaf to a checkpoint signed by this verifier key (its origin included)? Throws LogFault `log-key` for a malformed key. */
export function checkProof(proof: string, verifierKey: string, leaf: Uint8Array): ProofVerdict {
  const key = parseVerifierKey(sha256, verifierKey);
  if (key === null)
    throw new LogFault("log-key", "the verifier key is not an Ed25519 key of the form <origin>+<key id>+<base64>");
  return verifyProof(noteCrypto, proof, { leaf, origin: key.name, keys: [key] });
}
