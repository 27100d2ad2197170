// Promises that what comes out of a backup is what went in, whole and in order, or that the first bad place is named; bounded memory at any size.
// Trusts nothing in the file. Specified in docs/formats/backup.md.
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { type ByteSource, commitBytes, deriveStreamKey, openChunks, sameCommit } from "./chunks.ts";
import { BackupFault } from "./fault.ts";
import {
  type BackupHead,
  type BackupManifest,
  type BackupPart,
  parseHead,
  parseManifest,
  partForm,
  signedText,
} from "./manifest.ts";
import { type BackupUnlock, openSlots, parseSlots } from "./slots.ts";
import { backupMagic, dataBytesMax, recordHeaderBytes, recordKind } from "./write-backup.ts";

const headerBytesMax = 65_536;
const jsonBytesMax = 16_777_216;
const partsMax = 100_000;

export interface BackupHandlers {
  /** Before the first part. */
  head?(head: BackupHead): Promise<void> | void;
  /** Each part once, in order: read to its end or not touched; it is judged in both cases, after this returns when it was not touched. */
  part(name: string, content: AsyncIterable<Uint8Array>, head: BackupHead): Promise<void>;
  /** Plaintext bytes so far. */
  progress?(bytes: number): void;
}

export interface ReadBackup {
  readonly manifest: BackupManifest;
  /** The signed note over the manifest, and the text it signs; whose key it is, the caller judges. */
  readonly signature: string;
}

/** Reads all of a backup. Faults: `backup-malformed`, `backup-newer`, `backup-damaged`, `backup-key`, and what the handlers throw. */
export async function readBackup(path: string, unlock: BackupUnlock, handlers: BackupHandlers): Promise<ReadBackup> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw new BackupFault("backup-source", `${path} cannot be read: check the path and its permissions`, error);
  });
  try {
    const source = fileSource(file);
    const key = await openHeader(path, source, unlock);
    return await new BackupReader(openChunks(source, key), handlers).read();
  } finally {
    await file.close();
  }
}

function fileSource(file: FileHandle): ByteSource {
  let position = 0;
  return {
    get position() {
      return position;
    },
    async read(length) {
      const bytes = Buffer.allocUnsafe(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(bytes, done, length - done, position);
        if (bytesRead === 0) break;
        done += bytesRead;
        position += bytesRead;
      }
      return bytes.subarray(0, done);
    },
  };
}

async function openHeader(path: string, source: ByteSource, unlock: BackupUnlock): Promise<Uint8Array> {
  const front = Buffer.from(await source.read(backupMagic.length + 4));
  if (!front.subarray(0, backupMagic.length).equals(backupMagic)) {
    const newer = /^sallyport-backup\/v(\d+)\n/.exec(front.toString("latin1"))?.[1];
    if (newer !== undefined)
      throw new BackupFault(
        "backup-newer",
        `${path} has format ${newer}, this program knows format 1: use a newer program`,
      );
    throw new BackupFault("backup-malformed", `${path} is not a backup made by \`sallyport backup create\``);
  }
  const length = front.length === backupMagic.length + 4 ? front.readUInt32BE(backupMagic.length) : 0;
  if (length === 0 || length > headerBytesMax) throw headerFault(path);
  const header = Buffer.from(await source.read(length));
  const { salt, slots } = parseHeader(path, header);
  const fileKey = await openSlots(slots, unlock);
  const derived = deriveStreamKey(fileKey, salt, Buffer.concat([front, header]));
  fileKey.fill(0);
  if (!sameCommit(derived.commit, await source.read(commitBytes)))
    throw new BackupFault(
      "backup-damaged",
      `the header of ${path} was changed: it is not the one this key was sealed for`,
    );
  return derived.key;
}

const headerFault = (path: string) =>
  new BackupFault("backup-damaged", `the header of ${path} is damaged or cut short`);

function parseHeader(
  path: string,
  header: Buffer,
): { salt: Uint8Array; slots: NonNullable<ReturnType<typeof parseSlots>> } {
  let value: unknown;
  try {
    value = JSON.parse(header.toString("utf8"));
  } catch {
    throw headerFault(path);
  }
  const { v, salt, slots } = Object.fromEntries(Object.entries(value ?? {}));
  const parsed = parseSlots(slots);
  const bytes = typeof salt === "string" ? Buffer.from(salt, "base64url") : Buffer.alloc(0);
  if (v !== 1 || parsed === null || bytes.length !== 32) throw headerFault(path);
  return { salt: bytes, slots: parsed };
}

class BackupReader {
  readonly #chunks: AsyncGenerator<Uint8Array, void, void>;
  readonly #handlers: BackupHandlers;
  readonly #parts: BackupPart[] = [];
  readonly #names = new Set<string>();
  #rest: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(chunks: AsyncGenerator<Uint8Array, void, void>, handlers: BackupHandlers) {
    this.#chunks = chunks;
    this.#handlers = handlers;
  }

  async read(): Promise<ReadBackup> {
    const first = await this.#record(jsonBytesMax);
    if (first?.kind !== recordKind.head) throw broken("the first record is not the head");
    const head = parseHead(first.body.toString("utf8"));
    await this.#handlers.head?.(head);
    for (let record = await this.#record(jsonBytesMax); ; record = await this.#record(jsonBytesMax)) {
      if (record === null) throw broken("the records end before the manifest");
      if (record.kind === recordKind.manifest) return this.#finish(head, record.body);
      if (record.kind !== recordKind.part || this.#parts.length >= partsMax) throw broken("a record is out of place");
      await this.#part(head, record.body);
    }
  }

  async #part(head: BackupHead, body: Buffer): Promise<void> {
    const { name } = parseJson(body);
    if (typeof name !== "string" || !partForm.test(name) || this.#names.has(name))
      throw broken("a part has a name that no backup has, or comes twice");
    this.#names.add(name);
    const content = this.#content(name);
    await this.#handlers.part(name, content, head);
    // What a handler did not want is still read, so that its hash is judged.
    for await (const _rest of content);
  }

  async *#content(name: string): AsyncGenerator<Uint8Array, void, void> {
    const digest = createHash("sha256");
    let size = 0;
    for (;;) {
      const record = await this.#record(dataBytesMax);
      if (record?.kind === recordKind.data) {
        digest.update(record.body);
        size += record.body.length;
        yield record.body;
        continue;
      }
      if (record?.kind !== recordKind.end) throw broken(`part ${name} has no end`);
      const said = parseJson(record.body);
      const sha256 = digest.digest("hex");
      if (said["size"] !== size || said["sha256"] !== sha256)
        throw broken(`part ${name} is not what its hash says (${size} bytes, ${sha256})`);
      this.#parts.push({ name, size, sha256 });
      return;
    }
  }

  async #finish(head: BackupHead, body: Buffer): Promise<ReadBackup> {
    const manifest = parseManifest(body.toString("utf8"));
    const {
      finishedAt: _finishedAt,
      epoch: _epoch,
      tables: _tables,
      parts: _parts,
      logs: _logs,
      ...itsHead
    } = manifest;
    if (JSON.stringify(itsHead) !== JSON.stringify(head))
      throw broken("the manifest is another backup's than the head");
    if (JSON.stringify(manifest.parts) !== JSON.stringify(this.#parts))
      throw broken("the manifest lists other parts than there are");
    const record = await this.#record(jsonBytesMax);
    if (record?.kind !== recordKind.signature) throw broken("the signature is missing");
    const signature = record.body.toString("utf8");
    const due = signedText(head.id, createHash("sha256").update(body).digest("hex"));
    if (parseNote(signature)?.text !== due) throw broken("the signature is of another manifest");
    if ((await this.#record(0)) !== null) throw broken("something follows the signature");
    return { manifest, signature };
  }

  /** The next record, or null at the end. */
  async #record(bytesMax: number): Promise<{ readonly kind: number; readonly body: Buffer } | null> {
    const header = await this.#take(recordHeaderBytes);
    if (header === null) return null;
    const length = header.readUInt32BE(1);
    if (length > bytesMax) throw broken("a record is longer than any may be");
    const body = await this.#take(length);
    if (body === null) throw broken("a record is cut short");
    return { kind: header[0] ?? 0, body };
  }

  async #take(length: number): Promise<Buffer | null> {
    const pieces: Buffer[] = [];
    let have = 0;
    while (have < length) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) break;
        this.#rest = Buffer.from(next.value);
        this.#bytes += this.#rest.length;
        this.#handlers.progress?.(this.#bytes);
      }
      const piece = this.#rest.subarray(0, length - have);
      this.#rest = this.#rest.subarray(piece.length);
      pieces.push(piece);
      have += piece.length;
    }
    if (have === length) return Buffer.concat(pieces);
    // Nothing at all is the end; a piece of a record is a cut.
    if (have === 0) return null;
    throw broken("a record is cut short");
  }
}

function parseJson(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return Object.fromEntries(Object.entries(value ?? {}));
  } catch {
    throw broken("a record is not JSON");
  }
}

function broken(why: string): BackupFault {
  return new BackupFault("backup-damaged", `the backup does not hold together: ${why}`);
}
