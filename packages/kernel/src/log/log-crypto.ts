// Promises the log's hashing and its Ed25519 key. Trusts node:crypto. Key file: docs/formats/leaf.md "On disk"; signatures: RFC 8032.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { join } from "node:path";
import {
  type NoteCrypto,
  type NoteVerifier,
  parseVerifierKey,
  printVerifierKey,
} from "@sallyport/protocol/audit/note.ts";
import { type Disk, readWhole, replaceDurably } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { yearFolders } from "./origin.ts";

const spkiHead = Buffer.from("302a300506032b6570032100", "hex");

/** SHA-256. The text form is asked for because making it costs a third of what node spends on a fresh Buffer. */
export function sha256(data: Uint8Array): Uint8Array {
  return Buffer.from(hash("sha256", data, "latin1"), "latin1");
}

let lastImported: { readonly raw: Buffer; readonly key: KeyObject } | undefined;

/** Importing costs as much as verifying, and one log has one key: the last one is kept. */
function importPublicKey(raw: Uint8Array): KeyObject {
  if (lastImported === undefined || Buffer.compare(lastImported.raw, raw) !== 0) {
    const key = createPublicKey({ key: Buffer.concat([spkiHead, raw]), format: "der", type: "spki" });
    lastImported = { raw: Buffer.from(raw), key };
  }
  return lastImported.key;
}

export const noteCrypto: NoteCrypto = {
  sha256,
  verifyEd25519: (publicKey, message, signature) => verify(null, message, importPublicKey(publicKey), signature),
};

/** The key a log signs its checkpoints with; it signs nothing else. */
export interface LogKey {
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly sign: (message: Uint8Array) => Uint8Array;
}

function logKey(privateKey: KeyObject): LogKey {
  if (privateKey.asymmetricKeyType !== "ed25519")
    throw new LogFault("log-key", "the log key is not an Ed25519 key; give a PKCS#8 Ed25519 private key");
  const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32));
  return { publicKey, sign: (message) => new Uint8Array(sign(null, message, privateKey)) };
}

/** The one text of a key in a file. */
export function printLogKey(privateKey: KeyObject): Buffer {
  return Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" }));
}

/** From PKCS#8 bytes (DER). */
export function importLogKey(pkcs8: Uint8Array): LogKey {
  return logKey(createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" }));
}

/** The key in `<directory>/log.key`, created (0600) for a new log. Throws LogFault `log-key` when the file is not a key, or is gone from a log that has begun. */
export function loadLogKey(disk: Disk, directory: string): LogKey {
  const path = join(directory, "log.key");
  const pem = readWhole(disk, path);
  if (pem === null && yearFolders(disk.list(directory)).length > 0) {
    throw new LogFault(
      "log-key",
      `${path} is missing, but ${directory} holds a log that it signed; restore it from the backup`,
    );
  }
  if (pem === null) {
    const { privateKey } = generateKeyPairSync("ed25519");
    replaceDurably(disk, path, printLogKey(privateKey));
    return logKey(privateKey);
  }
  try {
    return logKey(createPrivateKey(pem));
  } catch (error) {
    throw new LogFault("log-key", `${path} is not an Ed25519 private key in PEM; restore it from the backup`, error);
  }
}

/** The verifier of one public key under an origin's name. */
export function verifierFor(origin: string, publicKey: Uint8Array): NoteVerifier {
  const verifier = parseVerifierKey(sha256, printVerifierKey(sha256, origin, publicKey));
  if (verifier === null) throw new LogFault("log-key", `${origin} cannot be the name of a key`);
  return verifier;
}
