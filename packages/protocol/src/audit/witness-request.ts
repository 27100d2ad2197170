// Promises the witness protocol's texts, parsed strictly and printed back to the same bytes, and its decision on a submitted checkpoint, pure.
// Trusts the keys and the last cosigned state it is given. Specified by C2SP tlog-witness (`add-checkpoint`).
import { parseBase64, printBase64, printHex, sameBytes } from "./base64.ts";
import { type Checkpoint, parseCheckpointBody } from "./checkpoint.ts";
import { emptyRoot, hashBytes, type Sha256 } from "./merkle.ts";
import { type NoteCrypto, type NoteVerifier, parseNote, verifyNote } from "./note.ts";
import { verifyConsistency } from "./proof.ts";

/** Consistency proof lines of one request. */
export const proofLinesMax = 63;
/** Characters of one request: 63 proof lines and a note with 64 post-quantum signatures fit. */
export const submissionCharactersMax = 524_288;

export interface Submission {
  /** Leaves of the checkpoint that the witness is believed to have cosigned last. */
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  /** The signed checkpoint, verbatim. */
  readonly note: string;
}

/** A submission that can be read; nothing in it is believed. */
export interface ParsedSubmission extends Submission {
  /** The note's text: what a cosignature is made over. */
  readonly body: string;
  readonly checkpoint: Checkpoint;
}

export function printSubmission({ oldSize, proof, note }: Submission): string {
  return `old ${oldSize}\n${proof.map((hash) => `${printBase64(hash)}\n`).join("")}\n${note}`;
}

/** Null: a bad request (400). */
export function parseSubmission(text: string): ParsedSubmission | null {
  if (text.length > submissionCharactersMax) return null;
  const split = text.indexOf("\n\n");
  if (split < 0) return null;
  const [first = "", ...lines] = text.slice(0, split).split("\n");
  const oldSize = parseSize(/^old (.*)$/.exec(first)?.[1] ?? "");
  if (oldSize === null || lines.length > proofLinesMax) return null;
  const proof: Uint8Array[] = [];
  for (const line of lines) {
    const hash = parseBase64(line);
    if (hash === null || hash.length !== hashBytes) return null;
    proof.push(hash);
  }
  const note = text.slice(split + 2);
  const body = parseNote(note)?.text;
  const checkpoint = body === undefined ? null : parseCheckpointBody(body);
  return body === undefined || checkpoint === null ? null : { oldSize, proof, note, body, checkpoint };
}

/** Decimal without leading zeros; null for anything else. */
function parseSize(text: string): number | null {
  const size = Number(text);
  return /^(?:0|[1-9][0-9]{0,15})$/.test(text) && Number.isSafeInteger(size) ? size : null;
}

/** Body of a 409 answer (`text/x.tlog.size`). */
export const printTreeSize = (size: number): string => `${size}\n`;

/** Null when it is not exactly one size and a newline. */
export function parseTreeSize(text: string): number | null {
  return text.endsWith("\n") ? parseSize(text.slice(0, -1)) : null;
}

/** `<sha256hex(origin)>`: names a log under a witness's monitoring prefix. */
export function originHash(sha256: Sha256, origin: string): string {
  return printHex(sha256(new TextEncoder().encode(origin)));
}

/** What a witness remembers of a log; size 0 before the first. */
export interface WitnessedTree {
  readonly size: number;
  readonly root: Uint8Array;
}

export type SubmissionVerdict =
  | { readonly kind: "cosign" }
  | { readonly kind: "bad-request" }
  | { readonly kind: "unknown-origin" }
  | { readonly kind: "forbidden"; readonly why: "unsigned" | "bad-signature" }
  | { readonly kind: "conflict"; readonly size: number }
  | { readonly kind: "unprocessable"; readonly why: "empty-root" | "root" | "proof" };

/** May the witness cosign it? `keys`: those it trusts for the origin, null when it does not know the log; `last`: what it cosigned last. */
export function decideSubmission(
  crypto: NoteCrypto,
  submission: ParsedSubmission,
  known: { readonly keys: readonly NoteVerifier[] | null; readonly last: WitnessedTree },
): SubmissionVerdict {
  const { oldSize, proof, checkpoint } = submission;
  if (known.keys === null) return { kind: "unknown-origin" };
  const signed = verifyNote(crypto, submission.note, known.keys);
  if (signed.kind === "refused")
    return signed.why === "malformed" ? { kind: "bad-request" } : { kind: "forbidden", why: signed.why };
  const { size, root } = checkpoint;
  if (oldSize > size) return { kind: "bad-request" };
  if (oldSize !== known.last.size) return { kind: "conflict", size: known.last.size };
  if (size === 0 && !sameBytes(root, emptyRoot(crypto.sha256))) return { kind: "unprocessable", why: "empty-root" };
  if (oldSize === 0) return proof.length === 0 ? { kind: "cosign" } : { kind: "unprocessable", why: "proof" };
  const { size: olderSize, root: olderRoot } = known.last;
  if (olderSize === size && !sameBytes(olderRoot, root)) return { kind: "unprocessable", why: "root" };
  return verifyConsistency(crypto.sha256, { olderSize, olderRoot, size, root, proof })
    ? { kind: "cosign" }
    : { kind: "unprocessable", why: "proof" };
}

/** The status of the HTTP answer. */
export function statusOf(verdict: SubmissionVerdict): 200 | 400 | 403 | 404 | 409 | 422 {
  switch (verdict.kind) {
    case "cosign":
      return 200;
    case "bad-request":
      return 400;
    case "forbidden":
      return 403;
    case "unknown-origin":
      return 404;
    case "conflict":
      return 409;
    case "unprocessable":
      return 422;
    default: {
      const never: never = verdict;
      return never;
    }
  }
}

/** What two signed checkpoints of one log say of it when the second does not follow the first; null: nothing by themselves. */
export function decideContradiction(kept: WitnessedTree, next: WitnessedTree): "rolled-back" | "forked" | null {
  if (next.size < kept.size) return "rolled-back";
  return next.size === kept.size && !sameBytes(next.root, kept.root) ? "forked" : null;
}
