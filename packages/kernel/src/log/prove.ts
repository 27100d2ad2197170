// Promises a receipt for one leaf that anyone can check offline, and the check. Trusts, when making, nothing it has not checked against the
// published checkpoint; when checking, only the verifier key. Specified by C2SP tlog-proof@v1 and docs/formats/leaf.md.
import { join } from "node:path";
import { parseVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type ProofVerdict, printProof, verifyProof } from "@sallyport/protocol/audit/tlog-proof.ts";
import { proveLeaf, publishedCheckpoints } from "../receipts/prove-leaf.ts";
import type { Disk } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { noteCrypto, sha256 } from "./log-crypto.ts";
import { yearFolders } from "./origin.ts";
import { realDisk } from "./real-disk.ts";
import { findInSegments, recordAt } from "./segment-lookup.ts";

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
 * An archived log, which has no tiles, is read
 * from its beginning instead. Throws LogFault `not-found` when there is no such leaf or no checkpoint covers it yet, `log-corrupt` when its files do not
 * give the signed root.
 */
export function prove(directory: string, choice: LeafChoice, disk: Disk = realDisk()): LogReceipt {
  for (const year of yearFolders(disk.list(directory)).reverse()) {
    if ("index" in choice && choice.year !== undefined && choice.year !== year) continue;
    const folder = join(directory, String(year));
    const checkpoints = publishedCheckpoints(disk, folder);
    const [checkpoint] = checkpoints;
    if (checkpoint === undefined)
      throw new LogFault(
        "log-corrupt",
        `${folder}/checkpoint is missing or not a checkpoint; run \`sallyport audit verify\``,
      );
    const { origin } = checkpoint;
    const search = { disk, directory: folder, origin };
    const record = "id" in choice ? findInSegments(search, choice.id).at(-1) : recordAt(search, choice.index);
    if (record === undefined || record === null) {
      if ("id" in choice) continue;
      break;
    }
    const { index, leaf } = record;
    const proof = proveLeaf({ disk, folder, record }, checkpoints);
    if (proof === null)
      throw new LogFault(
        "not-found",
        `leaf ${index} is durable, but no published checkpoint covers it yet; try again in a moment`,
      );
    return { proof: printProof(proof), leaf, origin, index };
  }
  throw new LogFault("not-found", `${directory} has no such leaf; the id or index may belong to another node`);
}

/** Does the receipt bind exactly this leaf to a checkpoint signed by this verifier key (its origin included)? Throws LogFault `log-key` for a malformed key. */
export function checkProof(proof: string, verifierKey: string, leaf: Uint8Array): ProofVerdict {
  const key = parseVerifierKey(sha256, verifierKey);
  if (key === null)
    throw new LogFault("log-key", "the verifier key is not an Ed25519 key of the form <origin>+<key id>+<base64>");
  return verifyProof(noteCrypto, proof, { leaf, origin: key.name, keys: [key] });
}
