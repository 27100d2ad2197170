// Promises a stream of any length under one key: each chunk in its place, the last one marked, so that nothing can be cut, moved, repeated or added.
// Trusts node:crypto. Specified in docs/formats/backup.md "Chunks"; the construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015).
import { createHash, hkdfSync, timingSafeEqual } from "node:crypto";
import { aeadOpen, aeadSeal, nonceBytes } from "../seal/aead.ts";
import { BackupFault } from "./fault.ts";

export const chunkBytes = 65_536;
export const chunkTagBytes = 16;
export const commitBytes = 32;
/** 2^32 chunks of one key: far inside what AES-256-GCM allows for distinct nonces; 256 TiB. */
const chunksMax = 2 ** 32;

export interface StreamKey {
  readonly key: Uint8Array;
  readonly commit: Uint8Array;
}

/** Key and commitment of one file; `head` is everything before the commitment, so that no byte of it can be changed. */
export function deriveStreamKey(fileKey: Uint8Array, salt: Uint8Array, head: Uint8Array): StreamKey {
  const info = Buffer.concat([Buffer.from("sallyport/backup/v1"), createHash("sha256").update(head).digest()]);
  const both = new Uint8Array(hkdfSync("sha512", fileKey, salt, info, 64));
  return { key: both.subarray(0, 32), commit: both.subarray(32) };
}

export function sameCommit(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function nonceOf(index: number, last: boolean): Uint8Array {
  const nonce = Buffer.alloc(nonceBytes);
  nonce.writeBigUInt64BE(BigInt(index), 0);
  nonce[nonceBytes - 1] = last ? 1 : 0;
  return nonce;
}

const noAad = new Uint8Array(0);

/** Gathers bytes into chunks; the last is sealed by `finish` alone. */
export class ChunkSealer {
  readonly #key: Uint8Array;
  readonly #emit: (bytes: Uint8Array) => Promise<void>;
  #buffer = Buffer.alloc(chunkBytes);
  #used = 0;
  #index = 0;

  constructor(key: Uint8Array, emit: (bytes: Uint8Array) => Promise<void>) {
    this.#key = key;
    this.#emit = emit;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      // A full chunk waits for the next byte: only then it is known not to be the last.
      if (this.#used === chunkBytes) await this.#seal(false);
      const taken = Math.min(bytes.length - at, chunkBytes - this.#used);
      this.#buffer.set(bytes.subarray(at, at + taken), this.#used);
      this.#used += taken;
      at += taken;
    }
  }

  async finish(): Promise<void> {
    await this.#seal(true);
    this.#key.fill(0);
  }

  async #seal(last: boolean): Promise<void> {
    if (this.#index >= chunksMax) throw new BackupFault("backup-target", "a backup has at most 256 TiB");
    const input = { key: this.#key, nonce: nonceOf(this.#index, last), aad: noAad };
    const { ciphertext, tag } = aeadSeal(input, this.#buffer.subarray(0, this.#used));
    this.#index += 1;
    this.#used = 0;
    this.#buffer.fill(0);
    await this.#emit(Buffer.concat([ciphertext, tag]));
  }
}

/** Where chunks come from: up to `length` bytes, fewer only at the end. */
export interface ByteSource {
  read(length: number): Promise<Uint8Array>;
  /** Bytes handed out so far. */
  readonly position: number;
}

/** The plaintext, chunk by chunk; ends after the chunk that says it is the last, and refuses anything behind it. Faults: `backup-damaged`. */
export async function* openChunks(source: ByteSource, key: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  let sealed = await source.read(chunkBytes + chunkTagBytes);
  for (let index = 0; ; index += 1) {
    const at = source.position - sealed.length;
    const next =
      sealed.length < chunkBytes + chunkTagBytes ? new Uint8Array(0) : await source.read(chunkBytes + chunkTagBytes);
    const last = next.length === 0;
    if (sealed.length <= chunkTagBytes)
      throw new BackupFault("backup-damaged", `the file ends at byte ${at}, before its last chunk: it was cut short`);
    const plain = aeadOpen(
      { key, nonce: nonceOf(index, last), aad: noAad },
      sealed.subarray(0, -chunkTagBytes),
      sealed.subarray(-chunkTagBytes),
    );
    if (plain === null)
      throw new BackupFault(
        "backup-damaged",
        `chunk ${index} (byte ${at} of the file) is not what was written there: changed, moved, ${last ? "or the file was cut short" : "or of another backup"}`,
      );
    yield plain;
    if (last) return;
    sealed = next;
  }
}
