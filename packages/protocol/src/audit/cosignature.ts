// Promises cosignatures: a witness's dated word that a checkpoint extends all it has seen of that log; handed out only when verified.
// Trusts the Ed25519 and SHA-256 it is given and the witness keys it was configured with. Specified by C2SP tlog-cosignature (Ed25519, type 0x04).
import { parseBase64, printBase64, printHex, sameBytes } from "./base64.ts";
import type { Sha256 } from "./merkle.ts";
import {
  type NoteCrypto,
  type NoteSigner,
  type NoteVerifier,
  noteKeyId,
  noteSignaturesMax,
  parseNote,
  parseVerifierKey,
  printVerifierKey,
} from "./note.ts";

/** A witness's Ed25519 key: signs `cosignature/v1` and nothing else. */
export interface WitnessKey extends NoteVerifier {
  readonly signs: "cosignature/v1";
}

export interface Cosignature {
  readonly witness: WitnessKey;
  /** POSIX seconds at which the witness signed. */
  readonly time: number;
}

const cosignatureType = 0x04;
const timeBytes = 8;
const ed25519SignatureBytes = 64;
const utf8 = new TextEncoder();

/** `<name>+<hex key id>+<base64(0x04 ‖ key)>`. */
export function printWitnessKey(sha256: Sha256, name: string, publicKey: Uint8Array): string {
  return printVerifierKey(sha256, name, publicKey, cosignatureType);
}

/** Reads a verifier key of type 0x04; null when it is malformed or of another type (ML-DSA-44, 0x06, is not read in this version). */
export function parseWitnessKey(sha256: Sha256, text: string): WitnessKey | null {
  const key = parseVerifierKey(sha256, text, cosignatureType);
  return key === null ? null : { ...key, signs: "cosignature/v1" };
}

/** What is signed: header, time, and the body of the checkpoint with its last newline. */
function signedMessage(body: string, time: number): Uint8Array {
  return utf8.encode(`cosignature/v1\ntime ${time}\n${body}`);
}

/**
 * The signature line of a witness under a checkpoint body (ends in a newline). `time`: POSIX seconds, not zero.
 * Throws TypeError for a time that no cosignature may carry.
 */
export function signCosignature(sha256: Sha256, body: string, time: number, signer: NoteSigner): string {
  if (!Number.isSafeInteger(time) || time <= 0) throw new TypeError("a cosignature names whole seconds since 1970");
  const signature = signer.sign(signedMessage(body, time));
  const bytes = new Uint8Array(4 + timeBytes + signature.length);
  bytes.set(noteKeyId(sha256, signer.name, signer.publicKey, cosignatureType));
  new DataView(bytes.buffer).setBigUint64(4, BigInt(time));
  bytes.set(signature, 4 + timeBytes);
  return `\u2014 ${signer.name} ${printBase64(bytes)}\n`;
}

/** The time of a `timestamped_signature`; null when it is none, has no time, or one beyond what JavaScript counts exactly. */
export function cosignatureTime(signature: Uint8Array): number | null {
  if (signature.length !== timeBytes + ed25519SignatureBytes) return null;
  const time = Number(new DataView(signature.buffer, signature.byteOffset).getBigUint64(0));
  return Number.isSafeInteger(time) && time > 0 ? time : null;
}

export type CosignatureVerdict =
  | { readonly kind: "ok"; readonly body: string; readonly cosigned: readonly Cosignature[] }
  /** `bad-signature`: a line of a known witness does not verify, so the whole note is refused (signed-note). */
  | { readonly kind: "refused"; readonly why: "malformed" | "bad-signature" };

/** Which of the known witnesses cosigned a note, each once with its newest time. Lines of unknown keys are ignored; says nothing of the log's own key. */
export function verifyCosignatures(crypto: NoteCrypto, note: string, known: readonly WitnessKey[]): CosignatureVerdict {
  const parsed = parseNote(note);
  if (parsed === null) return { kind: "refused", why: "malformed" };
  const times = new Map<WitnessKey, number>();
  for (const { name, keyId, signature } of parsed.signatures) {
    const witness = known.find((key) => key.name === name && sameBytes(key.keyId, keyId));
    if (witness === undefined) continue;
    const time = cosignatureTime(signature);
    const message = time === null ? null : signedMessage(parsed.text, time);
    if (time === null || message === null) return { kind: "refused", why: "bad-signature" };
    if (!crypto.verifyEd25519(witness.publicKey, message, signature.subarray(timeBytes)))
      return { kind: "refused", why: "bad-signature" };
    times.set(witness, Math.max(time, times.get(witness) ?? 0));
  }
  return { kind: "ok", body: parsed.text, cosigned: [...times].map(([witness, time]) => ({ witness, time })) };
}

/**
 * A note with further signature lines: of one name and key id the newer line takes the older one's place, and no more lines than a verifier
 * reads are kept. Null when the two together are no note.
 */
export function addSignatureLines(note: string, lines: string): string | null {
  const parsed = parseNote(note + lines);
  if (parsed === null) return null;
  const printed = (note + lines).slice(parsed.text.length + 1, -1).split("\n");
  const kept = new Map(parsed.signatures.map(({ name, keyId }, at) => [`${name} ${printHex(keyId)}`, printed[at]]));
  if (kept.size > noteSignaturesMax) return null;
  return `${parsed.text}\n${[...kept.values()].map((line) => `${line}\n`).join("")}`;
}

/** The lines of one witness in an answer of it to `note`; null when there is none that verifies. Whatever else the answer holds is ignored. */
export function cosignatureLines(
  crypto: NoteCrypto,
  answered: { readonly note: string; readonly lines: string; readonly witness: WitnessKey },
): string | null {
  const { note, lines, witness } = answered;
  if (lines === "" || !lines.endsWith("\n")) return null;
  const verdict = verifyCosignatures(crypto, note + lines, [witness]);
  if (verdict.kind === "refused" || verdict.cosigned.length === 0) return null;
  const own = lines.split("\n").filter((line) => isLineOf(line, witness));
  return own.length === 0 ? null : own.map((line) => `${line}\n`).join("");
}

/** A note with none but the lines of these keys, verbatim; says nothing of whether they verify. */
export function onlyLinesOf(note: string, keys: readonly NoteVerifier[]): string {
  const split = note.lastIndexOf("\n\n") + 2;
  const lines = note.slice(split).split("\n");
  const kept = lines.filter((line) => keys.some((key) => isLineOf(line, key)));
  return note.slice(0, split) + kept.map((line) => `${line}\n`).join("");
}

function isLineOf(line: string, witness: NoteVerifier): boolean {
  const [, name = "", text = ""] = line.split(" ");
  const bytes = parseBase64(text);
  return name === witness.name && bytes !== null && sameBytes(bytes.subarray(0, 4), witness.keyId);
}
