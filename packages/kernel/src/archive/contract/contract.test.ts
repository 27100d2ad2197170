import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { ArchiveFault, type ArchiveFaultCode } from "../fault.ts";
import { type Keeping, objectBytesMax } from "../port.ts";
import { forEachArchive, startMs } from "./for-each-archive.test-support.ts";

const loose: Keeping = { retainUntil: null, held: false };
const yearMs = 365 * 86_400_000;
const text = (words: string) => Buffer.from(words);
const fault = (code: ArchiveFaultCode) => (error: unknown) => error instanceof ArchiveFault && error.code === code;

forEachArchive((kind, place) => {
  test("keeps what was put, byte for byte, for whoever opens it next", async () => {
    const where = await place();
    const bytes = randomBytes(5_000_000);
    assert.equal(await (await where.open()).put("a/b/0000.wal", bytes, loose), "stored");
    const again = await where.open();
    assert.deepEqual(Buffer.from((await again.get("a/b/0000.wal")) ?? []), bytes);
    assert.deepEqual(await again.stat("a/b/0000.wal"), {
      bytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
      ...loose,
    });
    const piece = await again.get("a/b/0000.wal", { from: 4_000_000, length: 1_000 });
    assert.deepEqual(Buffer.from(piece ?? []), bytes.subarray(4_000_000, 4_001_000));
    const beyond = await again.get("a/b/0000.wal", { from: 4_999_999, length: 1_000 });
    assert.deepEqual(Buffer.from(beyond ?? []), bytes.subarray(4_999_999));
    assert.equal((await again.get("a/b/0000.wal", { from: 5_000_000, length: 10 }))?.length, 0);
  });

  test("says nothing is there where nothing is", async () => {
    const archive = await (await place()).open();
    assert.equal(await archive.get("a/none"), null);
    assert.equal(await archive.get("a/none", { from: 0, length: 10 }), null);
    assert.equal(await archive.stat("a/none"), null);
    assert.equal(await archive.remove("a/none"), "absent");
    assert.deepEqual(await archive.list({ prefix: "a/", max: 10 }), []);
  });

  test("takes the same bytes again, and refuses other bytes under a name that is taken", async () => {
    const archive = await (await place()).open();
    await archive.put("log/1.wal", text("the truth"), loose);
    assert.equal(await archive.put("log/1.wal", text("the truth"), loose), "same");
    await assert.rejects(archive.put("log/1.wal", text("another story"), loose), fault("archive-differs"));
    assert.equal(Buffer.from((await archive.get("log/1.wal")) ?? []).toString(), "the truth");
  });

  test("of many that create one object at once, one creates it and nobody writes over it", async () => {
    const where = await place();
    const stores = [await where.open(), await where.open()];
    const puts = Array.from({ length: 8 }, (_, i) => stores[i % 2]?.put("log/race.wal", text(`by ${i}`), loose));
    const done = await Promise.allSettled(puts);
    const [winner, ...others] = done.flatMap((one, i) => (one.status === "fulfilled" ? [i] : []));
    assert.equal(others.length, 0);
    assert.equal(Buffer.from((await stores[0]?.get("log/race.wal")) ?? []).toString(), `by ${winner}`);
    for (const one of done) if (one.status === "rejected") assert.ok(fault("archive-differs")(one.reason));
  });

  test("lists names in the order of their bytes, page by page, and only below the prefix", async () => {
    const archive = await (await place()).open();
    const names = ["x/a-b", "x/a.b/1", "x/a/1", "x/a/2", "x/ab", "x/b/c/d/1"];
    for (const name of [...names, "xy", "y/1"].toReversed()) await archive.put(name, text(name), loose);
    const found: string[] = [];
    for (let after = ""; ; after = found.at(-1) ?? "") {
      const page = await archive.list({ prefix: "x/", after, max: 2 });
      if (page.length === 0) break;
      found.push(...page.map(({ name }) => name));
    }
    assert.deepEqual(found, names.toSorted());
    assert.deepEqual(await archive.list({ prefix: "y/", max: 10 }), [{ name: "y/1", bytes: 3 }]);
  });

  test("swaps a checkpoint only for whoever read the last one", async () => {
    const where = await place();
    const [one, other] = [await where.open(), await where.open()];
    const swap = (expected: string | null, next: string, archive = one) =>
      archive.swap("log/checkpoint", { expected: expected === null ? null : text(expected), next: text(next) });
    assert.equal(await swap("size 1", "size 2"), false);
    assert.equal(await swap(null, "size 1"), true);
    assert.equal(await swap(null, "size 9"), false);
    assert.equal(await swap("size 1", "size 2", other), true);
    assert.equal(await swap("size 1", "size 3"), false);
    assert.equal(Buffer.from((await one.get("log/checkpoint")) ?? []).toString(), "size 2");
    const race = await Promise.all(Array.from({ length: 6 }, (_, i) => swap("size 2", `by ${i}`, i % 2 ? one : other)));
    assert.equal(race.filter((won) => won).length, 1);
  });

  test("attack: removing what is retained is refused until its time has come", async () => {
    const where = await place();
    const archive = await where.open();
    const until = startMs + yearMs;
    await archive.put("log/1.wal", text("keep me"), { retainUntil: until, held: false });
    assert.equal((await archive.stat("log/1.wal"))?.retainUntil, until);
    await assert.rejects(archive.remove("log/1.wal"), fault("archive-retained"));
    where.setNow(until - 1_000);
    await assert.rejects(archive.remove("log/1.wal"), fault("archive-retained"));
    assert.equal(Buffer.from((await archive.get("log/1.wal")) ?? []).toString(), "keep me");
    where.setNow(until + 1_000);
    assert.equal(await archive.remove("log/1.wal"), "removed");
    assert.equal(await archive.get("log/1.wal"), null);
    assert.equal(await archive.remove("log/1.wal"), "absent");
  });

  test("attack: a date can be moved away and never nearer, also by putting the same bytes again", async () => {
    const where = await place();
    const archive = await where.open();
    const until = startMs + yearMs;
    await archive.put("log/1.wal", text("keep me"), { retainUntil: until, held: false });
    await archive.retain("log/1.wal", startMs + 1_000);
    await archive.put("log/1.wal", text("keep me"), { retainUntil: startMs + 1_000, held: false });
    assert.equal((await archive.stat("log/1.wal"))?.retainUntil, until);
    await archive.retain("log/1.wal", until + yearMs);
    assert.equal((await archive.stat("log/1.wal"))?.retainUntil, until + yearMs);
    await archive.put("log/1.wal", text("keep me"), { retainUntil: until + 2 * yearMs, held: false });
    assert.equal((await archive.stat("log/1.wal"))?.retainUntil, until + 2 * yearMs);
  });

  test("attack: removing what is under a legal hold is refused, whatever its date, until the hold is lifted", async () => {
    const where = await place();
    const archive = await where.open();
    await archive.put("log/1.wal", text("evidence"), loose);
    await archive.put("log/2.wal", text("evidence too"), { retainUntil: null, held: true });
    await archive.hold("log/1.wal", true);
    where.setNow(startMs + 20 * yearMs);
    for (const name of ["log/1.wal", "log/2.wal"]) {
      assert.equal((await archive.stat(name))?.held, true);
      await assert.rejects(archive.remove(name), fault("archive-held"));
    }
    // Putting the same bytes again without a hold lifts none.
    await archive.put("log/2.wal", text("evidence too"), loose);
    await assert.rejects(archive.remove("log/2.wal"), fault("archive-held"));
    await archive.hold("log/1.wal", false);
    assert.equal(await archive.remove("log/1.wal"), "removed");
  });

  test("says what lies there now, not what was put: a changed object has another hash", async () => {
    const where = await place();
    const archive = await where.open();
    await archive.put("log/1.wal", text("the truth"), loose);
    await where.tamper("log/1.wal", text("a lie"));
    assert.equal((await archive.stat("log/1.wal"))?.sha256, createHash("sha256").update("a lie").digest("hex"));
    await assert.rejects(archive.put("log/1.wal", text("the truth"), loose), fault("archive-differs"));
  });

  test("attack: no name leads out of the archive, and nothing too large is begun", async () => {
    const archive = await (await place()).open();
    for (const name of [
      "../x",
      "a/../b",
      "/a",
      "a//b",
      "a/",
      "",
      ".keep/a",
      "a/.b",
      "A",
      "a b",
      "ä",
      "a".repeat(701),
    ]) {
      await assert.rejects(async () => archive.put(name, text("x"), loose), TypeError, name);
      await assert.rejects(async () => archive.get(name), TypeError, name);
      await assert.rejects(async () => archive.remove(name), TypeError, name);
    }
    await assert.rejects(async () => archive.put("a/b", Buffer.alloc(objectBytesMax + 1), loose), TypeError);
    await assert.rejects(async () => archive.list({ prefix: "a", max: 1 }), TypeError);
  });

  test("tells whether it is there, and who keeps what is retained", async () => {
    const archive = await (await place()).open();
    const { keptBy, freeBytes } = await archive.health();
    assert.equal(keptBy, kind === "s3-compliance" ? "place" : "program");
    assert.equal(freeBytes === null, kind !== "directory");
  });
});
