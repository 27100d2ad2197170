// Promises what the first leaf of a log says of the log before it, proven, and whether that is less than a witness saw of that one.
// Trusts the keys given. Specified in docs/witnesses.md "Findings"; the leaf: docs/formats/leaf.md "Origins".
import { sameLog } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { NoteVerifier } from "@sallyport/protocol/audit/note.ts";
import { parseProof, verifyProof } from "@sallyport/protocol/audit/tlog-proof.ts";
import { noteCrypto } from "../log/log-crypto.ts";
import type { LogFinding } from "./finding.ts";
import type { WitnessedLog } from "./witness.ts";

export interface Link {
  readonly origin: string;
  readonly previousOrigin: string;
  readonly previousSize: number;
  /** The checkpoint that proves it. */
  readonly checkpoint: string;
}

/** Null when the leaf is not the first of a log that one of the keys signed, or no log came before. */
export function readLink(
  begins: { readonly leaf: string; readonly proof: string },
  keys: readonly NoteVerifier[],
): Link | null {
  const bytes = Buffer.from(begins.leaf, "latin1");
  const verdict = verifyProof(noteCrypto, begins.proof, { leaf: bytes, origin: null, keys });
  if (verdict.kind === "refused" || verdict.index !== 0) return null;
  const leaf = parseLeaf(bytes);
  if (leaf.t !== "origin" || leaf.origin !== verdict.checkpoint.origin || leaf.previousOrigin === null) return null;
  const checkpoint = parseProof(begins.proof)?.checkpoint ?? "";
  const { origin, previousOrigin, previousSize } = leaf;
  return { origin, previousOrigin, previousSize, checkpoint };
}

/** `held`: what the witness cosigned of the log before. Null: nothing of it is missing, as far as this witness saw. */
export function decideLink(link: Link, held: WitnessedLog | null, witness: string): LogFinding | null {
  if (held === null || held.size <= link.previousSize) return null;
  // The next year of the same log was signed by its own hand: leaves at the year's end are gone.
  const code = sameLog(link.origin, link.previousOrigin) ? "rolled-back" : "restored";
  return { code, origin: link.previousOrigin, witness, kept: held.note, shown: link.checkpoint };
}
