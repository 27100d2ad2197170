import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createKek, kekFromBytes, loadKek } from "./key-file.ts";
import type { KeyStorage, WrappedKey } from "./keyring.ts";
import { openKeyring, openKeyringFile } from "./keyring.ts";
import { seededRandom } from "./seeded.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-seal-"));
after(() => rmSync(folder, { recursive: true }));

const clock = { now: () => Date.UTC(2026, 0, 1) };
const random = seededRandom(11);
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (plain: Uint8Array) => new TextDecoder().decode(plain);
const kek = (seed: number, source = "the test") => kekFromBytes(seededRandom(seed).bytes(32), source);

function memoryStorage(rows: WrappedKey[] = []): KeyStorage & { rows: WrappedKey[] } {
  return {
    rows,
    list: async () => [...rows],
    insert: async (key) => {
      const taken = rows.some((r) => r.tenant === key.tenant && r.purpose === key.purpose && r.version === key.version);
      if (!taken) rows.push(key);
      return !taken;
    },
  };
}

test("what one process seals, another with the same KEK and store opens", async () => {
  const storage = memoryStorage();
  const one = await openKeyring(kek(1), { storage, random, clock });
  const sealed = await one.seal("inbox", { tenant: "main", row: "7" }, bytes("payload"));
  const two = await openKeyring(kek(1), { storage, random, clock });
  assert.equal(text(await two.open("inbox", { tenant: "main", row: "7" }, sealed)), "payload");
  const ring = await two.ring("main", "inbox");
  assert.equal(text(await ring.open({ row: "7" }, ring.seal({ row: "7" }, bytes("sync")))), "sync");
});

test("an envelope of one tenant or purpose does not open as another's", async () => {
  const keyring = await openKeyring(kek(1), { storage: memoryStorage(), random, clock });
  const sealed = await keyring.seal("inbox", { tenant: "main" }, bytes("payload"));
  await assert.rejects(keyring.open("inbox", { tenant: "acme" }, sealed), { code: "key-unknown" });
  await assert.rejects(keyring.open("outbox", { tenant: "main" }, sealed), { code: "key-unknown" });
  await assert.rejects(keyring.open("inbox", { tenant: "main", row: "1" }, sealed), { code: "envelope-refused" });
  const ring = await keyring.ring("main", "inbox");
  assert.throws(() => ring.seal({ tenant: "acme" }, bytes("x")), TypeError);
  await assert.rejects(keyring.ring("main", "tenant"), TypeError);
  await assert.rejects(keyring.ring("main", "Bad Purpose"), TypeError);
});

test("a rotated key seals with the new version and still opens what the old one sealed", async () => {
  const storage = memoryStorage();
  const keyring = await openKeyring(kek(1), { storage, random, clock });
  const other = await openKeyring(kek(1), { storage, random, clock });
  const old = await keyring.seal("inbox", { tenant: "main" }, bytes("old"));
  assert.equal(await keyring.rotate("main", "inbox"), 2);
  assert.equal(await keyring.rotate("main", "tenant"), 2);
  assert.equal(await keyring.rotate("main", "inbox"), 3);
  const fresh = await keyring.seal("inbox", { tenant: "main" }, bytes("new"));
  assert.equal(old[13], 1);
  assert.equal(fresh[13], 3);
  for (const reader of [keyring, other]) {
    assert.equal(text(await reader.open("inbox", { tenant: "main" }, old)), "old");
    assert.equal(
      text(await reader.open("inbox", { tenant: "main" }, fresh)),
      "new",
      "a process that missed the rotation looks again",
    );
  }
});

test("two processes that make a key at the same moment end with the same key", async () => {
  const storage = memoryStorage();
  const [one, two] = await Promise.all([1, 1].map((seed) => openKeyring(kek(seed), { storage, random, clock })));
  assert.ok(one && two);
  const sealed = await Promise.all([one, two].map((ring) => ring.seal("inbox", { tenant: "main" }, bytes("x"))));
  for (const envelope of sealed) {
    assert.equal(text(await one.open("inbox", { tenant: "main" }, envelope)), "x");
    assert.equal(text(await two.open("inbox", { tenant: "main" }, envelope)), "x");
  }
  assert.equal(storage.rows.length, 2);
});

test("no key lies in the store in clear, and a row moved to another tenant, purpose or version does not unwrap", async () => {
  const storage = memoryStorage();
  const keyring = await openKeyring(kek(1), { storage, random, clock });
  const sealed = await keyring.seal("inbox", { tenant: "main" }, bytes("payload"));
  await keyring.seal("inbox", { tenant: "acme" }, bytes("payload"));
  await keyring.seal("outbox", { tenant: "main" }, bytes("payload"));
  const inbox = storage.rows.findIndex((row) => row.tenant === "main" && row.purpose === "inbox");
  const original = storage.rows[inbox];
  assert.ok(original);
  for (const foreign of storage.rows.filter((row) => row !== original)) {
    const moved = storage.rows.map((row) => (row === original ? { ...original, wrapped: foreign.wrapped } : row));
    const fooled = await openKeyring(kek(1), { storage: memoryStorage(moved), random, clock });
    await assert.rejects(fooled.open("inbox", { tenant: "main" }, sealed), { name: "SealFault" });
  }
});

test("deleting a purpose's key ends what was sealed under it, at the latest with the next look at the store", async () => {
  const storage = memoryStorage();
  const keyring = await openKeyring(kek(1), { storage, random, clock });
  const sealed = await keyring.seal("inbox", { tenant: "main" }, bytes("payload"));
  storage.rows.splice(
    storage.rows.findIndex((row) => row.purpose === "inbox"),
    1,
  );
  await keyring.reload();
  await assert.rejects(keyring.open("inbox", { tenant: "main" }, sealed), { code: "envelope-refused" });
});

test("a wrong KEK is refused at the start, naming the key id and file that are needed", async () => {
  const storage = memoryStorage();
  const right = kek(1);
  await (await openKeyring(right, { storage, random, clock })).seal("inbox", { tenant: "main" }, bytes("x"));
  const wrong = kek(2, "/etc/sallyport/kek");
  await assert.rejects(openKeyring(wrong, { storage, random, clock }), (fault: Error & { code?: string }) => {
    assert.equal(fault.code, "kek-wrong");
    assert.ok(fault.message.includes(right.id) && fault.message.includes("/etc/sallyport/kek"), fault.message);
    return true;
  });
});

test("the KEK file is made at the first start of an empty store, 0600, and never beside existing data", async () => {
  const path = join(folder, "first.kek");
  const storage = memoryStorage();
  const one = await openKeyringFile(path, { storage, random, clock });
  const sealed = await one.seal("inbox", { tenant: "main" }, bytes("x"));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(path).size, 32);
  const again = await openKeyringFile(path, { storage, random, clock });
  assert.equal(text(await again.open("inbox", { tenant: "main" }, sealed)), "x");
  rmSync(path);
  await assert.rejects(openKeyringFile(path, { storage, random, clock }), { code: "kek-missing" });
  assert.ok(!existsSync(path), "a lost key file is not silently replaced");
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith(".key-")),
    [],
    "no draft is left behind",
  );
});

test("refuses a key file that group or others can read, and says the command that mends it", () => {
  const path = join(folder, "open.kek");
  createKek(path, random);
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    chmodSync(path, mode);
    assert.throws(
      () => loadKek(path),
      (fault: Error & { code?: string }) => {
        assert.equal(fault.code, "key-file-permissions");
        assert.ok(fault.message.includes(`chmod 600 ${path}`));
        return true;
      },
    );
  }
  chmodSync(path, 0o400);
  assert.ok(loadKek(path));
});

test("refuses a key file of another length, a folder, and writing over an existing key", () => {
  for (const length of [0, 16, 31, 33, 4096]) {
    const path = join(folder, `length-${length}.kek`);
    writeFileSync(path, new Uint8Array(length), { mode: 0o600 });
    assert.throws(() => loadKek(path), { code: "key-file-malformed" });
  }
  mkdirSync(join(folder, "dir.kek"), { mode: 0o700 });
  assert.throws(() => loadKek(join(folder, "dir.kek")), { code: "key-file-malformed" });
  const path = join(folder, "kept.kek");
  createKek(path, random);
  const before = readFileSync(path);
  assert.throws(() => createKek(path, random), { code: "key-file-unreadable" });
  assert.deepEqual(readFileSync(path), before);
  assert.equal(loadKek(join(folder, "absent.kek")), null);
});

test("a pseudonym key is the same in every process and after rotations, and differs by tenant, environment and year", async () => {
  const storage = memoryStorage();
  const keyring = await openKeyring(kek(1), { storage, random, clock });
  const scope = { tenant: "main", environment: "production", year: "2026" };
  const key = await keyring.pseudonymKey(scope);
  await keyring.rotate("main", "pseudonym-2026");
  await keyring.rotate("main", "tenant");
  const other = await openKeyring(kek(1), { storage, random, clock });
  assert.deepEqual(await other.pseudonymKey(scope), key);
  const others = [{ tenant: "acme" }, { environment: "staging" }, { year: "2027" }];
  for (const change of others) assert.notDeepEqual(await keyring.pseudonymKey({ ...scope, ...change }), key);
});

test("after close nothing can be sealed or opened", async () => {
  const keyring = await openKeyring(kek(1), { storage: memoryStorage(), random, clock });
  const ring = await keyring.ring("main", "inbox");
  keyring.close();
  assert.throws(() => ring.seal({}, bytes("x")), { code: "key-unknown" });
});
