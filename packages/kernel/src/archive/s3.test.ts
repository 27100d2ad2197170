import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createDialer } from "../dial/dialer.ts";
import { Secret } from "../seal/secret.ts";
import { openFake, startMs } from "./contract/for-each-archive.test-support.ts";
import { type FakeS3, type FakeS3Options, startFakeS3 } from "./contract/s3-fake.test-support.ts";
import { ArchiveFault, type ArchiveFaultCode } from "./fault.ts";
import type { ArchiveStore, Keeping } from "./port.ts";
import { openS3Archive } from "./s3.ts";

const loose: Keeping = { retainUntil: null, held: false };
const dayMs = 86_400_000;
const text = (words: string) => Buffer.from(words);
const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

async function fakeBucket(options: Partial<FakeS3Options> = {}): Promise<FakeS3> {
  const fake = await startFakeS3({ objectLock: true, now: startMs, ...options });
  closers.push(() => fake.close());
  return fake;
}

async function opened(store: Promise<ArchiveStore>): Promise<ArchiveStore> {
  const archive = await store;
  closers.push(() => archive.close());
  return archive;
}

async function archiveOn(options: Partial<FakeS3Options> = {}, timeoutMs = 30_000) {
  const fake = await fakeBucket(options);
  const lock = fake.options.objectLock ? "compliance" : "none";
  return { fake, archive: await opened(openFake(fake, lock, { timeoutMs })) };
}

const rejectsWith = (code: ArchiveFaultCode, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ArchiveFault, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, words);
  return true;
};

test("gets through a server that is busy, breaks off, or answers half", async () => {
  const { fake, archive } = await archiveOn();
  fake.faults.push("503", "slow-down", "torn-before");
  assert.equal(await archive.put("log/1.wal", text("a".repeat(10_000)), loose), "stored");
  fake.faults.push("half-answer", "conflict");
  assert.equal((await archive.get("log/1.wal"))?.length, 10_000);
});

test("an answer that is lost after the act changes nothing: the put is the same, the swap is done once", async () => {
  const { fake, archive } = await archiveOn();
  fake.faults.push("torn-after");
  assert.equal(await archive.put("log/1.wal", text("one"), loose), "same");
  assert.equal(fake.versions("logs/log/1.wal").length, 1);
  assert.equal(await archive.swap("log/checkpoint", { expected: null, next: text("1") }), true);
  // The read that begins a swap is answered; its write is carried out and only the answer to it is lost.
  fake.faults.push("none", "torn-after");
  assert.equal(await archive.swap("log/checkpoint", { expected: text("1"), next: text("2") }), true);
  assert.equal(fake.versions("logs/log/checkpoint").length, 2);
});

test("gives up on a server that does not answer, within its time, and says so", async () => {
  const { fake, archive } = await archiveOn({}, 1_000);
  fake.faults.push("silent", "silent", "silent", "silent");
  await assert.rejects(archive.get("log/1.wal"), rejectsWith("archive-unreachable", /no answer within 1000 ms/));
  fake.faults.push("503", "503", "503", "503");
  await assert.rejects(archive.get("log/1.wal"), rejectsWith("archive-unreachable", /503 InternalError/));
  assert.equal(fake.faults.length, 0);
});

test("attack: a wrong key is refused at once, and no message shows the right or the wrong one", async () => {
  const fake = await fakeBucket();
  const secret = "c2VjcmV0LW9mLXRoZS1hcmNoaXZl";
  const open = openS3Archive({
    place: { endpoint: fake.endpoint, bucket: fake.bucket, region: fake.region, prefix: "", allowPrivate: true },
    credentials: { accessKeyId: fake.accessKeyId, secretAccessKey: Secret.fromText(secret) },
    dialer: createDialer(),
    clock: { now: () => startMs },
    objectLock: "compliance",
    retryDelayMs: 1,
  });
  await assert.rejects(open, (error: unknown) => {
    assert.ok(rejectsWith("archive-refused", /403 SignatureDoesNotMatch/)(error));
    assert.ok(!String(error).includes(secret) && !String(error).includes(fake.secretAccessKey));
    return true;
  });
  assert.equal(fake.seen.length, 1);
});

test("a clock that is wrong is named as such", async () => {
  const { fake, archive } = await archiveOn();
  const clock = fake.now;
  const slow = openS3Archive({
    place: { endpoint: fake.endpoint, bucket: fake.bucket, region: fake.region, prefix: "", allowPrivate: true },
    credentials: { accessKeyId: fake.accessKeyId, secretAccessKey: Secret.fromText(fake.secretAccessKey) },
    dialer: createDialer(),
    clock: { now: () => clock - 16 * 60_000 },
    objectLock: "compliance",
    retryDelayMs: 1,
  });
  await assert.rejects(slow, rejectsWith("archive-refused", /clocks differ/));
  await archive.health();
});

test("attack: a server that ignores conditions would write over the archive, so none is opened there", async () => {
  const fake = await fakeBucket();
  fake.ignoreConditions = true;
  await assert.rejects(openFake(fake, "compliance"), rejectsWith("archive-unsuitable", /If-None-Match/));
});

test("Object Lock that is asked for and not there is no archive", async () => {
  const fake = await fakeBucket({ objectLock: false });
  await assert.rejects(openFake(fake, "compliance"), rejectsWith("archive-unsuitable", /objectLock: none/));
  assert.equal((await (await opened(openFake(fake, "none"))).health()).keptBy, "program");
});

test("attack: a private address is dialled only where the configuration says so", async () => {
  const fake = await fakeBucket();
  const open = openS3Archive({
    place: { endpoint: fake.endpoint, bucket: fake.bucket, region: fake.region, prefix: "", allowPrivate: false },
    credentials: { accessKeyId: fake.accessKeyId, secretAccessKey: Secret.fromText(fake.secretAccessKey) },
    dialer: createDialer(),
    clock: { now: () => startMs },
    objectLock: "compliance",
  });
  await assert.rejects(open, rejectsWith("archive-refused", /loopback/));
  assert.deepEqual(fake.seen, []);
});

test("what is retained is locked from its first moment: the date travels with the bytes", async () => {
  const { fake, archive } = await archiveOn();
  await archive.put("log/1.wal", text("x"), { retainUntil: startMs + dayMs, held: true });
  const [version] = fake.versions("logs/log/1.wal");
  assert.equal(version?.retainUntil, startMs + dayMs);
  assert.equal(version?.held, true);
  assert.equal(fake.seen.filter((line) => /retention|legal-hold/.test(line)).length, 0);
});

test("attack: what somebody else wrote over a locked object is another version: it is noticed, and removing takes both", async () => {
  const { fake, archive } = await archiveOn();
  await archive.put("log/1.wal", text("the truth"), { retainUntil: startMs + dayMs, held: false });
  fake.plant("logs/log/1.wal", text("a lie"));
  await assert.rejects(
    archive.put("log/1.wal", text("the truth"), loose),
    rejectsWith("archive-differs", /audit verify/),
  );
  // The lie goes; the truth below it is still locked, and stays.
  await assert.rejects(archive.remove("log/1.wal"), rejectsWith("archive-retained", /retained until/));
  assert.equal(Buffer.from((await archive.get("log/1.wal")) ?? []).toString(), "the truth");
  fake.now = startMs + 2 * dayMs;
  assert.equal(await archive.remove("log/1.wal"), "removed");
  assert.deepEqual(fake.versions("logs/log/1.wal"), []);
});

test("a bucket that holds other things is listed past them", async () => {
  const { fake, archive } = await archiveOn({ pageMax: 2, objectLock: false });
  for (const key of ["A", "B", "C", "Ö"]) fake.plant(`logs/x/${key}`, text(key));
  await archive.put("x/a", text("ours"), { retainUntil: startMs + dayMs, held: false });
  assert.deepEqual(await archive.list({ prefix: "x/", max: 10 }), [{ name: "x/a", bytes: 4 }]);
  assert.deepEqual(await archive.list({ prefix: "", max: 10 }), [{ name: "x/a", bytes: 4 }]);
});
