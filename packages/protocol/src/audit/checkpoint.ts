// Promises checkpoints: origin, size and root, signed as a note, and nothing looser than the specification. Trusts note.ts for the signature.
// Specified by C2SP tlog-checkpoint; our own checkpoints have no extension lines (docs/formats/leaf.md).
import { parseBase64, printBase64 } from "./base64.ts";
import { hashBytes } from "./merkle.ts";
import { type NoteCrypto, type NoteVerifier, verifyNote } from "./note.ts";

export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
  readonly extensions: readonly string[];
}

/** The body of a checkpoint of ours (no extension lines); what is hashed into the next origin's first leaf. */
export function printCheckpointBody(origin: string, size: number, root: Uint8Array): string {
  return `${origin}\n${size}\n${printBase64(root)}\n`;
}

/** Reads a checkpoint body; null when it is not one. Says nothing about signatures. */
export function parseCheckpointBody(text: string): Checkpoint | null {
  if (!text.endsWith("\n")) return null;
  const [origin, sizeText, rootText, ...extensions] = text.slice(0, -1).split("\n");
  if (origin === undefined || origin === "" || sizeText === undefined || rootText === undefined) return null;
  const size = Number(sizeText);
  const root = parseBase64(rootText);
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(sizeText) || !Number.isSafeInteger(size)) return null;
  if (root === null || root.length !== hashBytes || extensions.includes("")) return null;
  return { origin, size, root, extensions };
}

/** Why a checkpoint is not believed. */
export type CheckpointRefusal = "malformed" | "unsigned" | "bad-signature" | "foreign-origin";

export type CheckpointVerdict =
  | { readonly kind: "ok"; readonly checkpoint: Checkpoint; readonly signedBy: readonly NoteVerifier[] }
  | { readonly kind: "refused"; readonly why: CheckpointRefusal };

/** A checkpoint that a known key signed, of the wanted origin (any, when it is null). */
export function verifyCheckpoint(
  crypto: NoteCrypto,
  note: string,
  wanted: { readonly origin: string | null; readonly keys: readonly NoteVerifier[] },
): CheckpointVerdict {
  const verdict = verifyNote(crypto, note, wanted.keys);
  if (verdict.kind === "refused") return verdict;
  const checkpoint = parseCheckpointBody(verdict.text);
  if (checkpoint === null) return { kind: "refused", why: "malformed" };
  if (wanted.origin !== null && checkpoint.origin !== wanted.origin) return { kind: "refused", why: "foreign-origin" };
  return { kind: "ok", checkpoint, signedBy: verdict.signedBy };
}

/** Splits a file of checkpoints, one signed note after the other, each followed by an empty line (docs/formats/leaf.md "Checkpoints"). */
export function splitCheckpoints(text: string): string[] {
  const notes: string[] = [];
  let note = "";
  let signed = false;
  for (const line of text.split("\n")) {
    const signature = line.startsWith("\u2014 ");
    if (signed && !signature) {
      notes.push(note);
      note = "";
      signed = false;
      if (line === "") continue;
    }
    note += `${line}\n`;
    signed = signature;
  }
  if (note.trim() !== "") notes.push(note);
  return notes;
}

/** Two years of one log: origins that differ in their last element alone. */
export const sameLog = (a: string, b: string): boolean => withoutYear(a) === withoutYear(b);
const withoutYear = (origin: string) => origin.slice(0, origin.lastIndexOf("/"));
