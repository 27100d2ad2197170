// Promises one whole, durable backup file or none: written beside, synced, put in place under a name that was free; bounded memory at any size.
// Trusts what it is given to write. Specified in docs/formats/backup.md.
import { createHash } from "node:crypto";
import { type FileHandle, link, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Random } from "../ports.ts";
import { ChunkSealer, deriveStreamKey } from "./chunks.ts";
import { BackupFault } from "./fault.ts";
import { type BackupHead, type BackupManifest, type BackupPart, partForm, signedText } from "./manifest.ts";
import { type BackupLock, sealSlot } from "./slots.ts";

export const backupMagic: Buffer = Buffer.from("sallyport-backup/v1\n", "latin1");
export const recordHeaderBytes = 5;
export const dataBytesMax = 1_048_576;
export const recordKind = { head: 1, part: 2, data: 3, end: 4, manifest: 5, signature: 6 } as const;

export interface WriteBackupOptions {
  /** Must not exist; made with mode 0600. */
  readonly path: string;
  readonly locks: readonly BackupLock[];
  readonly head: BackupHead;
  readonly random: Random;
  /** Signs the text of docs/formats/backup.md "Signature"; the answer is a signed note. */
  readonly sign: (text: string) => string;
}

/** Opens a new backup; call `part` for each, then `finish`; `abandon` leaves nothing behind. Faults: `backup-target`, `backup-key`. */
export async function writeBackup(options: WriteBackupOptions): Promise<BackupWriter> {
  const { path, random, locks } = options;
  const staged = `${path}.partial-${Buffer.from(random.bytes(6)).toString("hex")}`;
  const fileKey = random.bytes(32);
  const slots = await Promise.all(locks.map((lock) => sealSlot(lock, fileKey, random)));
  const salt = random.bytes(32);
  const header = Buffer.from(JSON.stringify({ v: 1, salt: Buffer.from(salt).toString("base64url"), slots }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(header.length);
  const front = Buffer.concat([backupMagic, length, header]);
  const { key, commit } = deriveStreamKey(fileKey, salt, front);
  fileKey.fill(0);
  const file = await open(staged, "wx", 0o600).catch((error: unknown) => {
    throw targetFault(staged, error);
  });
  const writer = new BackupWriter(options, { staged, file, key });
  try {
    await writer.begin(Buffer.concat([front, commit]));
  } catch (error) {
    await writer.abandon();
    throw error;
  }
  return writer;
}

export class BackupWriter {
  readonly #options: WriteBackupOptions;
  readonly #staged: string;
  readonly #file: FileHandle;
  readonly #chunks: ChunkSealer;
  readonly #parts: BackupPart[] = [];
  #bytes = 0;

  constructor(
    options: WriteBackupOptions,
    opened: { readonly staged: string; readonly file: FileHandle; readonly key: Uint8Array },
  ) {
    this.#options = options;
    this.#staged = opened.staged;
    this.#file = opened.file;
    this.#chunks = new ChunkSealer(opened.key, (bytes) => this.#append(bytes));
  }

  /** Bytes of the file so far. */
  get bytes(): number {
    return this.#bytes;
  }

  async begin(front: Uint8Array): Promise<void> {
    await this.#append(front);
    await this.#record(recordKind.head, Buffer.from(JSON.stringify(this.#options.head)));
  }

  /** One part, taken as it comes. */
  async part(name: string, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    if (!partForm.test(name)) throw new Error(`${name} is no part of a backup`);
    await this.#record(recordKind.part, Buffer.from(JSON.stringify({ name })));
    const digest = createHash("sha256");
    let size = 0;
    for await (const bytes of content) {
      for (let at = 0; at < bytes.length; at += dataBytesMax)
        await this.#record(recordKind.data, bytes.subarray(at, at + dataBytesMax));
      digest.update(bytes);
      size += bytes.length;
    }
    const sha256 = digest.digest("hex");
    await this.#record(recordKind.end, Buffer.from(JSON.stringify({ size, sha256 })));
    this.#parts.push({ name, size, sha256 });
  }

  /** Manifest, signature, sync, and the name. Returns what was written down. Faults: `backup-target`. */
  async finish(more: Pick<BackupManifest, "finishedAt" | "epoch" | "tables" | "logs">): Promise<BackupManifest> {
    const { head, path, sign } = this.#options;
    const manifest: BackupManifest = { ...head, ...more, parts: this.#parts };
    const text = Buffer.from(JSON.stringify(manifest));
    await this.#record(recordKind.manifest, text);
    const note = sign(signedText(head.id, createHash("sha256").update(text).digest("hex")));
    await this.#record(recordKind.signature, Buffer.from(note));
    await this.#chunks.finish();
    await this.#file.sync();
    await this.#file.close();
    try {
      // link() fails where the name exists: nothing is ever written over.
      await link(this.#staged, path);
    } catch (error) {
      throw targetFault(path, error);
    } finally {
      await rm(this.#staged, { force: true });
    }
    await syncFolder(dirname(path));
    return manifest;
  }

  async abandon(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await rm(this.#staged, { force: true });
  }

  async #record(kind: number, body: Uint8Array): Promise<void> {
    const header = Buffer.alloc(recordHeaderBytes);
    header[0] = kind;
    header.writeUInt32BE(body.length, 1);
    await this.#chunks.write(header);
    await this.#chunks.write(body);
  }

  async #append(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; )
        done += (await this.#file.write(bytes, done, bytes.length - done)).bytesWritten;
    } catch (error) {
      throw targetFault(this.#staged, error);
    }
    this.#bytes += bytes.length;
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function targetFault(path: string, cause: unknown): BackupFault {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
  const why =
    code === "EEXIST"
      ? "it exists already, and a backup is never overwritten: name another file"
      : `${code}: its folder must exist, be writable and have room`;
  return new BackupFault("backup-target", `${path} cannot be written (${why})`, cause);
}
