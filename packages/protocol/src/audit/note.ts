// Promises signed notes: text that is only handed out together with the known keys that signed it.
// Trusts the Ed25519 and SHA-256 it is given and the verifier keys it was configured with. Specified by C2SP signed-note.
import { parseBase64, printBase64, printHex, sameBytes } from "./base64.ts";
import type { Sha256 } from "./merkle.ts";

/** Crypto ports: protocol brings none of its own. Keys are raw 32 bytes (RFC 8032). */
export interface NoteCrypto {
  readonly sha256: Sha256;
  readonly verifyEd25519: (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean;
}

export interface NoteSigner {
  readonly name: string;
  readonly publicKey: Uint8Array;
  readonly sign: (message: Uint8Array) => Uint8Array;
}

export interface NoteVerifier {
  readonly name: string;
  /** 4 bytes. */
  readonly keyId: Uint8Array;
  readonly publicKey: Uint8Array;
}

export interface NoteSignature {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

export interface Note {
  /** With its last newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** More than the 16 every verifier must take; post-quantum ones have up to 5 kB. */
export const noteSignaturesMax = 64;
export const noteCharactersMax = 1_048_576;

/** What a key signs: 0x01 the note itself, 0x04 a timestamped cosignature of a checkpoint (cosignature.ts). */
export type KeyType = 0x01 | 0x04;

const ed25519Type = 0x01;
const ed25519KeyBytes = 32;
const keyIdBytes = 4;
const keyNameForm = /^[^\p{White_Space}+]+$/u;
const utf8 = new TextEncoder();

/** SHA-256(name ‖ 0x0A ‖ type ‖ key), first four bytes. */
export function noteKeyId(
  sha256: Sha256,
  name: string,
  publicKey: Uint8Array,
  type: KeyType = ed25519Type,
): Uint8Array {
  const nameBytes = utf8.encode(`${name}\n`);
  const input = new Uint8Array(nameBytes.length + 1 + publicKey.length);
  input.set(nameBytes);
  input[nameBytes.length] = type;
  input.set(publicKey, nameBytes.length + 1);
  return sha256(input).slice(0, keyIdBytes);
}

/** `<name>+<hex key id>+<base64(type ‖ key)>`. */
export function printVerifierKey(
  sha256: Sha256,
  name: string,
  publicKey: Uint8Array,
  type: KeyType = ed25519Type,
): string {
  const material = new Uint8Array(1 + publicKey.length);
  material[0] = type;
  material.set(publicKey, 1);
  return `${name}+${printHex(noteKeyId(sha256, name, publicKey, type))}+${printBase64(material)}`;
}

/** Reads a verifier key of a type (0x01, a log's, by default); null when it is malformed, of another type, or its id is not that of its name and key. */
export function parseVerifierKey(sha256: Sha256, text: string, type: KeyType = ed25519Type): NoteVerifier | null {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
  const name = match?.[1] ?? "";
  const material = parseBase64(match?.[3] ?? "");
  if (!keyNameForm.test(name) || material === null || material.length !== 1 + ed25519KeyBytes) return null;
  if (material[0] !== type) return null;
  const publicKey = material.slice(1);
  const keyId = noteKeyId(sha256, name, publicKey, type);
  return printHex(keyId) === match?.[2] ? { name, keyId, publicKey } : null;
}

/** Splits a note without believing it; null when it is not one. The text is separated by the last empty line. */
export function parseNote(note: string): Note | null {
  if (note.length > noteCharactersMax || !note.isWellFormed() || /[\u0000-\u0009\u000b-\u001f]/.test(note)) return null;
  const split = note.lastIndexOf("\n\n");
  if (split < 0 || !note.endsWith("\n")) return null;
  const lines = note.slice(split + 2, -1).split("\n");
  if (lines.length > noteSignaturesMax) return null;
  const signatures: NoteSignature[] = [];
  for (const line of lines) {
    const match = /^\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)$/u.exec(line);
    const bytes = parseBase64(match?.[2] ?? "");
    const name = match?.[1] ?? "";
    if (bytes === null || bytes.length <= keyIdBytes || !keyNameForm.test(name)) return null;
    signatures.push({ name, keyId: bytes.slice(0, keyIdBytes), signature: bytes.slice(keyIdBytes) });
  }
  return { text: note.slice(0, split + 1), signatures };
}

/** `unsigned`: no known key signed it; `bad-signature`: a known key's signature is wrong, so the whole note is refused. */
export type NoteVerdict =
  | { readonly kind: "ok"; readonly text: string; readonly signedBy: readonly NoteVerifier[] }
  | { readonly kind: "refused"; readonly why: "malformed" | "unsigned" | "bad-signature" };

/** The text of a note, only if at least one known key signed it and no known key's signature is wrong. Unknown keys are ignored. */
export function verifyNote(crypto: NoteCrypto, note: string, known: readonly NoteVerifier[]): NoteVerdict {
  const parsed = parseNote(note);
  if (parsed === null) return { kind: "refused", why: "malformed" };
  const message = utf8.encode(parsed.text);
  const signedBy: NoteVerifier[] = [];
  for (const { name, keyId, signature } of parsed.signatures) {
    const verifier = known.find((key) => key.name === name && sameBytes(key.keyId, keyId));
    if (verifier === undefined || signedBy.includes(verifier)) continue;
    if (!crypto.verifyEd25519(verifier.publicKey, message, signature)) return { kind: "refused", why: "bad-signature" };
    signedBy.push(verifier);
  }
  return signedBy.length > 0 ? { kind: "ok", text: parsed.text, signedBy } : { kind: "refused", why: "unsigned" };
}

/** Text (ending in a newline) with one signature line. Throws TypeError for text or a name that cannot be in a note. */
export function signNote(sha256: Sha256, text: string, signer: NoteSigner): string {
  if (!text.endsWith("\n") || /[\u0000-\u0009\u000b-\u001f]/.test(text))
    throw new TypeError("a note's text ends in a newline and has no control characters");
  if (!keyNameForm.test(signer.name)) throw new TypeError("a key name has neither spaces nor plus signs");
  const signature = signer.sign(utf8.encode(text));
  const bytes = new Uint8Array(keyIdBytes + signature.length);
  bytes.set(noteKeyId(sha256, signer.name, signer.publicKey));
  bytes.set(signature, keyIdBytes);
  return `${text}\n\u2014 ${signer.name} ${printBase64(bytes)}\n`;
}
