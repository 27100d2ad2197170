// Promises that whoever holds the key of a log, a file or a key service, is asked for one signature over one checkpoint, and that only a signature which
// verifies under the log's public key becomes a checkpoint. Trusts no signer. Specified in docs/formats/leaf.md "Checkpoints".
import { signNote } from "@sallyport/protocol/audit/note.ts";
import { LogFault } from "./fault.ts";
import { noteCrypto, sha256 } from "./log-crypto.ts";

/** Longest wait for one signature. */
export const signMsMax = 10_000;
const signatureBytes = 64;

/** Signs checkpoints (Ed25519, RFC 8032). A key file answers at once; a key service may take its time or fail, and the log goes on appending meanwhile. */
export interface CheckpointSigner {
  /** Raw, 32 bytes; the same for the life of the log. */
  readonly publicKey: Uint8Array;
  /** The signature over exactly these bytes, 64 bytes. Throws or rejects when there is none to be had now. */
  sign(message: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** What a module that stands for a key service exports, so that the log's thread can open it. */
export interface SignerModule {
  readonly openSigner: (options: unknown) => CheckpointSigner | Promise<CheckpointSigner>;
}

/** The signed note of a body. Throws LogFault `signer-failed` for a signature that does not verify: it is published nowhere. */
export function noteOf(
  body: string,
  by: { readonly origin: string; readonly publicKey: Uint8Array; readonly signature: Uint8Array },
): string {
  const { origin: name, publicKey, signature } = by;
  const isRight =
    signature.length === signatureBytes && noteCrypto.verifyEd25519(publicKey, Buffer.from(body, "utf8"), signature);
  if (!isRight)
    throw new LogFault(
      "signer-failed",
      "the signer of checkpoints gave a signature that does not verify under the key of this log: it holds another key, or signed other bytes",
    );
  return signNote(sha256, body, { name, publicKey, sign: () => signature });
}

/** Whatever kept the signer from answering. */
export function signerFailed(error: unknown): LogFault {
  if (error instanceof LogFault) return error;
  const why = error instanceof Error ? error.message : "unknown";
  return new LogFault("signer-failed", `the signer of checkpoints failed: ${why}`, error);
}
