// The file itself: what goes in comes out, and nothing else ever does.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { signNote, verifyNote } from "@sallyport/protocol/audit/note.ts";
import fc from "fast-check";
import { importLogKey, noteCrypto, sha256 } from "../log/log-crypto.ts";
import type { Random } from "../ports.ts";
import { createRecipientKeyPair, createRecipientOpener } from "../seal/recipient.ts";
import { Secret } from "../seal/secret.ts";
import { ChunkSealer, chunkBytes, chunkTagBytes, openChunks } from "./chunks.ts";
import { BackupFault } from "./fault.ts";
import type { BackupHead } from "./manifest.ts";
import { readBackup } from "./read-backup.ts";
import { parseRecipient, printRecipient, readBackupKey, writeBackupKey } from "./recipient-text.ts";
import type { BackupLock, BackupUnlock } from "./slots.ts";
import { backupMagic, writeBackup } from "./write-backup.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-backup-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const random: Random = { bytes: (length) => new Uint8Array(randomBytes(length)) };
const pair = createRecipientKeyPair(random);
const unlock: BackupUnlock = { kind: "recipient", opener: createRecipientOpener(pair.privateKey) };
const lock: BackupLock = { kind: "recipient", publicKey: pair.publicKey };
const logKey = importLogKey(generateKeyPairSync("ed25519").privateKey.export({ format: "der", type: "pkcs8" }));
const name = "sallyport.local/main/sallyport/control-1/control/2026";
const sign = (text: string) => signNote(sha256, text, { name, publicKey: logKey.publicKey, sign: logKey.sign });

const head: BackupHead = {
  v: 1,
  id: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
  createdAt: 1_800_000_000_000,
  product: "0.1.0",
  tenant: "main",
  node: "control-1",
  layout: "control",
  dialect: "sqlite",
  schema: [{ capability: "store", version: 1, checksum: "00" }],
};
const more = { finishedAt: 1_800_000_000_001, epoch: 3, tables: { note: 1 }, logs: [] };
let files = 0;

/** One part of each size; the first is `store`. */
async function make(
  parts: readonly Uint8Array[],
  locks: readonly BackupLock[] = [lock],
  over: Partial<BackupHead> = {},
) {
  files += 1;
  const path = join(folder, `${files}.backup`);
  const writer = await writeBackup({ path, locks, head: { ...head, ...over }, random, sign });
  const names = ["store", "kek.key", ...parts.map((_, i) => `control-log/2026/wal/${String(i).padStart(16, "0")}.wal`)];
  for (const [i, bytes] of parts.entries()) await writer.part(names[i] ?? "", [bytes]);
  await writer.finish(more);
  return path;
}

async function read(path: string, key: BackupUnlock = unlock) {
  const found = new Map<string, Buffer>();
  const { manifest, signature } = await readBackup(path, key, {
    part: async (part, content) => {
      const pieces: Uint8Array[] = [];
      for await (const bytes of content) pieces.push(bytes);
      found.set(part, Buffer.concat(pieces));
    },
  });
  return { manifest, signature, parts: [...found.values()], names: [...found.keys()] };
}

/** Reads changed bytes in place of a file. */
async function readBytes(bytes: Uint8Array) {
  const path = join(folder, "changed");
  writeFileSync(path, bytes, { mode: 0o600 });
  return read(path);
}

const refused = (error: unknown): boolean =>
  error instanceof BackupFault &&
  ["backup-damaged", "backup-malformed", "backup-key", "backup-newer"].includes(error.code);

test("parts of any size come back as they were, in order, with the manifest signed by the log's key", async () => {
  const size = fc.oneof(
    fc.nat(300),
    fc.constantFrom(chunkBytes - 1, chunkBytes, chunkBytes + 1, 3 * chunkBytes, 1_100_000),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(size, { minLength: 1, maxLength: 4 }), async (sizes) => {
      const parts = sizes.map((bytes) => randomBytes(bytes));
      const back = await read(await make(parts));
      assert.deepEqual(back.parts, parts);
      assert.deepEqual(
        back.manifest.parts.map(({ sha256: digest }) => digest),
        parts.map((bytes) => createHash("sha256").update(bytes).digest("hex")),
      );
      assert.deepEqual([back.manifest.epoch, back.manifest.id], [3, head.id]);
      const verdict = verifyNote(noteCrypto, back.signature, [
        { name, keyId: keyIdOf(back.signature), publicKey: logKey.publicKey },
      ]);
      assert.equal(verdict.kind, "ok");
    }),
    { numRuns: 12, seed: 4711 },
  );
});

/** The key id inside the one signature of a note. */
function keyIdOf(note: string): Uint8Array {
  const encoded = note.trimEnd().split(" ").at(-1) ?? "";
  return new Uint8Array(Buffer.from(encoded, "base64").subarray(0, 4));
}

let whole: Buffer;
let other: Buffer;
before(async () => {
  const parts = [randomBytes(5 * chunkBytes), randomBytes(32), randomBytes(900)];
  whole = readFileSync(await make(parts));
  other = readFileSync(await make(parts));
});

test("attack: any one bit flipped anywhere is refused", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length * 8 - 1), async (bit) => {
      const bytes = Buffer.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await assert.rejects(readBytes(bytes), refused);
    }),
    { numRuns: 60, seed: 4711 },
  );
  // The header is small: every byte of it.
  const headerEnd = backupMagic.length + 4 + whole.readUInt32BE(backupMagic.length) + 32;
  for (let at = 0; at < headerEnd; at += 1) {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] ?? 0) ^ 0x01;
    await assert.rejects(readBytes(bytes), refused, `byte ${at}`);
  }
});

test("attack: cut at any length, also exactly between two chunks, or continued", async () => {
  const start = whole.length - ((whole.length - headerOf(whole)) % (chunkBytes + chunkTagBytes));
  const cuts = [0, 1, 19, 24, headerOf(whole), headerOf(whole) + chunkBytes + chunkTagBytes, start, whole.length - 1];
  for (const cut of cuts) await assert.rejects(readBytes(whole.subarray(0, cut)), refused, `cut at ${cut}`);
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), async (cut) =>
      assert.rejects(readBytes(whole.subarray(0, cut)), refused),
    ),
    { numRuns: 30, seed: 4711 },
  );
  await assert.rejects(readBytes(Buffer.concat([whole, Buffer.from([0])])), refused);
  await assert.rejects(readBytes(Buffer.concat([whole, whole])), refused);
});

function headerOf(bytes: Buffer): number {
  return backupMagic.length + 4 + bytes.readUInt32BE(backupMagic.length) + 32;
}

test("attack: two chunks swapped, one repeated, one left out, one of another backup of the same installation", async () => {
  const step = chunkBytes + chunkTagBytes;
  const from = headerOf(whole);
  const chunk = (bytes: Buffer, i: number) =>
    bytes.subarray(headerOf(bytes) + i * step, headerOf(bytes) + (i + 1) * step);
  const rest = (bytes: Buffer, i: number) => bytes.subarray(headerOf(bytes) + i * step);
  const front = whole.subarray(0, from);
  const variants = {
    swapped: [front, chunk(whole, 1), chunk(whole, 0), rest(whole, 2)],
    repeated: [front, chunk(whole, 0), chunk(whole, 0), rest(whole, 1)],
    "left out": [front, chunk(whole, 1), rest(whole, 2)],
    "of another backup": [front, chunk(other, 0), rest(whole, 1)],
    "the tail of another backup": [front, chunk(whole, 0), rest(other, 1)],
    "the header of another backup": [other.subarray(0, headerOf(other)), rest(whole, 0)],
  };
  for (const [what, pieces] of Object.entries(variants))
    await assert.rejects(readBytes(Buffer.concat(pieces)), refused, what);
});

test("attack: the chunks alone, without hashes behind them, tell a cut, a swap and a repetition", async () => {
  const key = () => new Uint8Array(32).fill(7);
  const pieces: Uint8Array[] = [];
  const sealer = new ChunkSealer(key(), async (bytes) => void pieces.push(bytes));
  await sealer.write(randomBytes(3 * chunkBytes));
  await sealer.finish();
  const opened = async (chunks: readonly Uint8Array[]) => {
    const bytes = Buffer.concat(chunks);
    let position = 0;
    const source = {
      get position() {
        return position;
      },
      read: async (length: number) => {
        const from = position;
        position = Math.min(bytes.length, from + length);
        return bytes.subarray(from, position);
      },
    };
    let size = 0;
    for await (const plain of openChunks(source, key())) size += plain.length;
    return size;
  };
  const [a, b, c] = pieces;
  assert.ok(a !== undefined && b !== undefined && c !== undefined && pieces.length === 3);
  assert.equal(await opened([a, b, c]), 3 * chunkBytes);
  for (const chunks of [[a, b], [a], [], [b, a, c], [a, a, c], [a, c], [a, b, c, c], [c]])
    await assert.rejects(opened(chunks), { code: "backup-damaged" }, String(chunks.length));
});

test("another's key does not open it, and neither does a passphrase; the refusal names the key it was made for", async () => {
  const path = await make([randomBytes(10)]);
  const stranger = createRecipientOpener(createRecipientKeyPair(random).privateKey);
  await assert.rejects(read(path, { kind: "recipient", opener: stranger }), (error: BackupFault) => {
    assert.equal(error.code, "backup-key");
    assert.ok(unlock.kind === "recipient" && error.message.includes(unlock.opener.recipient));
    return true;
  });
  await assert.rejects(read(path, { kind: "passphrase", passphrase: Secret.fromText("correct horse battery") }), {
    code: "backup-key",
  });
});

test("each of several recipients and the passphrase open it; a wrong or short passphrase is refused", async () => {
  const second = createRecipientKeyPair(random);
  const passphrase = () => Secret.fromText("correct horse battery");
  const path = await make(
    [randomBytes(10)],
    [lock, { kind: "recipient", publicKey: second.publicKey }, { kind: "passphrase", passphrase: passphrase() }],
  );
  for (const key of [
    unlock,
    { kind: "recipient", opener: createRecipientOpener(second.privateKey) },
    { kind: "passphrase", passphrase: passphrase() },
  ] as const)
    assert.equal((await read(path, key)).manifest.id, head.id);
  await assert.rejects(read(path, { kind: "passphrase", passphrase: Secret.fromText("correct horse batterz") }), {
    code: "backup-key",
  });
  await assert.rejects(make([randomBytes(1)], [{ kind: "passphrase", passphrase: Secret.fromText("short") }]), {
    code: "backup-key",
  });
});

test("attack: a header that asks for a terabyte of Argon2 memory costs nothing", async () => {
  const path = await make(
    [randomBytes(1)],
    [{ kind: "passphrase", passphrase: Secret.fromText("correct horse battery") }],
  );
  const bytes = readFileSync(path);
  const length = bytes.readUInt32BE(backupMagic.length);
  const header = bytes.subarray(backupMagic.length + 4, backupMagic.length + 4 + length).toString();
  const greedy = Buffer.from(header.replace('"memoryKiB":65536', '"memoryKiB":1073741824'));
  const size = Buffer.alloc(4);
  size.writeUInt32BE(greedy.length);
  const changed = Buffer.concat([backupMagic, size, greedy, bytes.subarray(backupMagic.length + 4 + length)]);
  writeFileSync(join(folder, "greedy"), changed);
  await assert.rejects(
    read(join(folder, "greedy"), { kind: "passphrase", passphrase: Secret.fromText("correct horse battery") }),
    {
      code: "backup-key",
    },
  );
});

test("a backup of a later format is refused as one, not as damage", async () => {
  const bytes = Buffer.from(whole);
  bytes.write("sallyport-backup/v2\n", "latin1");
  await assert.rejects(readBytes(bytes), { code: "backup-newer" });
  // as: a head as a later program would write it.
  const later = await make([randomBytes(1)], [lock], { v: 2 as 1 });
  await assert.rejects(
    read(later),
    (error: BackupFault) => error.code === "backup-newer" && /format 2/.test(error.message),
  );
});

test("attack: a part whose name leads out of the target is neither written nor read", async () => {
  const writer = await writeBackup({ path: join(folder, "escape"), locks: [lock], head, random, sign });
  for (const part of ["../kek.key", "control-log/../../x", "control-log/2026/wal/x.wal", "/etc/passwd", "node/key"])
    await assert.rejects(writer.part(part, []), /no part of a backup/);
  await writer.abandon();
  assert.ok(!existsSync(join(folder, "escape")));
  assert.deepEqual(
    readdirSync(folder).filter((found) => found.includes("partial")),
    [],
  );
});

test("attack: a log whose place leads out of the target is refused before anybody looks there", async () => {
  const end = { origin: "x", size: 1, root: "AA==" };
  for (const place of [
    "../2026",
    "..",
    "/etc/2026",
    "control-log/../../2026",
    "control-log/2026/",
    "node-log/2026",
    "",
  ]) {
    files += 1;
    const path = join(folder, `${files}.backup`);
    const writer = await writeBackup({ path, locks: [lock], head, random, sign });
    await writer.part("store", [randomBytes(1)]);
    await writer.finish({ ...more, logs: [{ ...end, folder: place }] });
    await assert.rejects(read(path), { code: "backup-malformed" }, place);
  }
});

test("the file is its owner's alone, has its name only when it is whole, and is never written over", async () => {
  const path = await make([randomBytes(10)]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const before = readFileSync(path);
  const writer = await writeBackup({ path, locks: [lock], head, random, sign });
  await writer.part("store", [randomBytes(1)]);
  assert.deepEqual(readFileSync(path), before);
  await assert.rejects(writer.finish(more), { code: "backup-target" });
  assert.deepEqual(readFileSync(path), before);
  assert.deepEqual(
    readdirSync(folder).filter((found) => found.includes("partial")),
    [],
  );
});

test("nothing that was put in is in the file in clear", async () => {
  const canary = Buffer.from("canary-4711-canary-4711-canary-4711");
  const bytes = readFileSync(await make([canary, canary]));
  for (const text of ["canary", "kek.key", "control-1", head.id]) assert.ok(!bytes.includes(text), text);
});

test("a recipient copied wrong is no other recipient, and a key file others can read is refused", () => {
  const path = join(folder, "a.key");
  const recipient = writeBackupKey(path, random);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(printRecipient(readBackupKey(path).publicKey), recipient);
  assert.throws(() => writeBackupKey(path, random), /never overwritten/);
  assert.deepEqual(printRecipient(parseRecipient(`${recipient}\n`)), recipient);
  for (let at = 17; at < recipient.length; at += 1) {
    const wrong = `${recipient.slice(0, at)}${recipient[at] === "a" ? "b" : "a"}${recipient.slice(at + 1)}`;
    assert.throws(() => parseRecipient(wrong), { code: "backup-key" }, wrong);
  }
  assert.throws(() => parseRecipient(recipient.slice(0, -1)), { code: "backup-key" });
  chmodSync(path, 0o644);
  assert.throws(() => readBackupKey(path), /chmod 600/);
});
