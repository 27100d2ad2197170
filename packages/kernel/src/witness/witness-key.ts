// Promises a witness's own Ed25519 key, one per witness name, made at its first use and never a log's. Trusts the directory it lies in.
// Cosignatures do not name their witness, so a key serves one name only (C2SP tlog-cosignature).
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { join } from "node:path";
import type { NoteSigner } from "@sallyport/protocol/audit/note.ts";
import { type Disk, makeDirectoriesDurably, readWhole, replaceDurably } from "../log/disk.ts";
import { LogFault } from "../log/fault.ts";

/** The key in `<folder>/<file>.key` (PEM, 0600), created when it is not there. Throws LogFault `log-key` for a file that is none. */
export function loadWitnessKey(
  disk: Disk,
  place: { readonly folder: string; readonly file: string; readonly name: string },
): NoteSigner {
  const path = join(place.folder, `${place.file}.key`);
  makeDirectoriesDurably(disk, place.folder);
  const pem = readWhole(disk, path);
  if (pem === null) {
    const { privateKey } = generateKeyPairSync("ed25519");
    replaceDurably(disk, path, Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })));
    return signerOf(privateKey, place.name);
  }
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ed25519") return signerOf(key, place.name);
  } catch {
    // Said below, as for a key of another kind.
  }
  throw new LogFault(
    "log-key",
    `${path} is not an Ed25519 private key in PEM; restore it, or remove it: the witness then has a new key, which policies must name`,
  );
}

function signerOf(privateKey: KeyObject, name: string): NoteSigner {
  const publicKey = new Uint8Array(createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32));
  return { name, publicKey, sign: (message) => new Uint8Array(sign(null, message, privateKey)) };
}
