// Promises receipts anyone can check offline: a leaf's place in a signed tree, as text. Trusts, when checking, only the verifier keys given.
// Specified by C2SP tlog-proof@v1.
import { parseBase64, printBase64 } from "./base64.ts";
import { type Checkpoint, type CheckpointRefusal, verifyCheckpoint } from "./checkpoint.ts";
import { hashBytes, leafHash } from "./merkle.ts";
import type { NoteCrypto, NoteVerifier } from "./note.ts";
import { proofHashesMax, verifyInclusion } from "./proof.ts";

export const proofFirstLine = "c2sp.org/tlog-proof@v1";
const extraBytesMax = 65_536;

export interface TlogProof {
  /** Not authenticated by anything. */
  readonly extra?: Uint8Array;
  readonly index: number;
  readonly hashes: readonly Uint8Array[];
  /** The signed checkpoint, verbatim. */
  readonly checkpoint: string;
}

export function printProof(proof: TlogProof): string {
  const extra = proof.extra === undefined ? "" : `extra ${printBase64(proof.extra)}\n`;
  const hashes = proof.hashes.map((hash) => `${printBase64(hash)}\n`).join("");
  return `${proofFirstLine}\n${extra}index ${proof.index}\n${hashes}\n${proof.checkpoint}`;
}

/** Reads a proof; null when it is not one. Believes nothing of it. */
export function parseProof(text: string): TlogProof | null {
  const split = text.indexOf("\n\n");
  if (split < 0) return null;
  const lines = text.slice(0, split).split("\n");
  if (lines.shift() !== proofFirstLine) return null;
  const extra = lines[0]?.startsWith("extra ") ? parseBase64((lines.shift() ?? "").slice("extra ".length)) : undefined;
  const indexText = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? "")?.[1];
  const index = Number(indexText);
  if (extra === null || (extra?.length ?? 0) > extraBytesMax || indexText === undefined || !Number.isSafeInteger(index))
    return null;
  if (lines.length > proofHashesMax) return null;
  const hashes: Uint8Array[] = [];
  for (const line of lines) {
    const hash = parseBase64(line);
    if (hash === null || hash.length !== hashBytes) return null;
    hashes.push(hash);
  }
  return { ...(extra === undefined ? {} : { extra }), index, hashes, checkpoint: text.slice(split + 2) };
}

export type ProofVerdict =
  | { readonly kind: "ok"; readonly index: number; readonly checkpoint: Checkpoint }
  | { readonly kind: "refused"; readonly why: CheckpointRefusal | "malformed-proof" | "not-included" };

/** Does the proof bind exactly this leaf to a checkpoint that one of the keys signed? `origin` null accepts what the keys sign. */
export function verifyProof(
  crypto: NoteCrypto,
  text: string,
  wanted: { readonly leaf: Uint8Array; readonly origin: string | null; readonly keys: readonly NoteVerifier[] },
): ProofVerdict {
  const proof = parseProof(text);
  if (proof === null) return { kind: "refused", why: "malformed-proof" };
  const verdict = verifyCheckpoint(crypto, proof.checkpoint, wanted);
  if (verdict.kind === "refused") return verdict;
  const { size, root } = verdict.checkpoint;
  const claim = { leafHash: leafHash(crypto.sha256, wanted.leaf), index: proof.index, size, root, proof: proof.hashes };
  if (!verifyInclusion(crypto.sha256, claim)) return { kind: "refused", why: "not-included" };
  return { kind: "ok", index: proof.index, checkpoint: verdict.checkpoint };
}
