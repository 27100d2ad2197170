// A log that grows, turns years and is restored, archived to every back-end and fetched again: what `audit verify` says of what came back.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { closedCopy, completeCopy, writeCopied } from "../log/closed-copy.ts";
import { LogFault } from "../log/fault.ts";
import { Log } from "../log/log.ts";
import { realDisk } from "../log/real-disk.ts";
import { sampleLeaf } from "../log/sample-leaves.ts";
import { verifyLogDirectory } from "../log/verify.ts";
import { archivedSize, archiveLog } from "./archive-log.ts";
import { chainOf, checkpointName, listSegmentsFrom, segmentName } from "./archived-log.ts";
import { forEachArchive, type TestArchive } from "./contract/for-each-archive.test-support.ts";
import { openDirectoryArchive } from "./directory.ts";
import { ArchiveFault, type ArchiveFaultCode } from "./fault.ts";
import { fetchLog, listArchivedTrees } from "./fetch-log.ts";
import { readLogSources } from "./log-source.ts";
import type { ArchiveStore, Keeping } from "./port.ts";

const november = 1_795_305_600_000;
const nextYear = 1_800_000_000_000;
const loose: Keeping = { retainUntil: null, held: false };
const disk = realDisk();
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-archive-log-"));
  folders.push(folder);
  return folder;
}

const fault = (code: ArchiveFaultCode) => (error: unknown) => error instanceof ArchiveFault && error.code === code;
const crossings = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({ leaf: sampleLeaf("crossing", from + i) }));

/** A log of one node in a folder of its own, with a clock that can be moved. */
function newLog(node = "gw-1", directory = newFolder()) {
  const clock = { now: november };
  const open = () =>
    Log.open({
      disk,
      directory,
      identity: { tenant: "main", environment: "production", region: "eu", node, role: "gateway", version: "0.1.0" },
      now: () => clock.now,
      segmentBytesMax: 20_000,
      lowSpaceBytes: 0,
      reserveBytes: 0,
    });
  return { directory, clock, log: open(), open };
}

const sourcesOf = (directory: string) => {
  const { sources, faults } = readLogSources(disk, directory);
  assert.deepEqual(faults, []);
  return sources;
};

async function archiveAll(store: ArchiveStore, directory: string, bytesMax = 8_000): Promise<readonly string[]> {
  const origins: string[] = [];
  for (const source of sourcesOf(directory)) {
    assert.equal(await archiveLog({ store, disk, source, keeping: loose, bytesMax }), source.size);
    origins.push(source.origin);
  }
  return origins;
}

/** Fetched as `audit fetch` does it, and judged under the key of the log itself. */
async function fetched(store: ArchiveStore, origin: string, verifierKey: string) {
  const directory = newFolder();
  await fetchLog({ store, disk }, origin, directory);
  return {
    directory,
    verify: (olderCheckpoints: string[] = []) =>
      verifyLogDirectory(directory, { verifierKey, olderCheckpoints, live: true }),
  };
}

const damaged = async (where: TestArchive, store: ArchiveStore, name: string, at: number) => {
  const bytes = Buffer.from((await store.get(name)) ?? assert.fail(name));
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await where.tamper(name, bytes);
};

forEachArchive((_kind, place) => {
  test("what was archived and fetched is the log: every leaf, both years, to the last checkpoint", async () => {
    const store = await (await place()).open();
    const { directory, clock, log } = newLog();
    for (let i = 0; i < 10; i += 1) log.append(crossings(i * 10, 10));
    log.checkpoint();
    await archiveAll(store, directory);
    for (let i = 10; i < 20; i += 1) log.append(crossings(i * 10, 10));
    clock.now = nextYear;
    log.append(crossings(300, 10));
    log.checkpoint();
    // Beyond the checkpoint: not signed, so not archived.
    log.append(crossings(400, 10));
    const origins = await archiveAll(store, directory);
    assert.equal(origins.length, 2);
    assert.deepEqual(
      (await listArchivedTrees(store)).map(({ origin }) => origin),
      [...origins].sort(),
    );
    const newest = sourcesOf(directory).at(-1) ?? assert.fail();
    const copy = await fetched(store, newest.origin, newest.verifierKey);
    completeCopy(disk, copy.directory);
    const report = copy.verify(sourcesOf(directory).map(({ note }) => note));
    assert.deepEqual(report.problems, []);
    assert.equal(report.counts.crossings, 210);
    assert.deepEqual(
      report.origins.map(({ origin, size }) => [origin, size]),
      sourcesOf(directory).map(({ origin, size }) => [origin, size]),
    );
    log.close();
  });

  test("begins again where it was interrupted, and archives nothing twice", async () => {
    const store = await (await place()).open();
    const { directory, log } = newLog();
    for (let i = 0; i < 20; i += 1) log.append(crossings(i * 10, 10));
    log.checkpoint();
    const [source] = sourcesOf(directory);
    assert.ok(source !== undefined);
    let segments = 0;
    const stopped = archiveLog({
      ...{ store, disk, source, keeping: loose, bytesMax: 8_000 },
      onSegment: () => {
        segments += 1;
        if (segments === 3) throw new Error("the process died");
      },
    });
    await assert.rejects(stopped, /died/);
    assert.equal(await archivedSize(store, source), 0);
    // The log has grown meanwhile: cuts that were made are made again as they were.
    log.append(crossings(500, 30));
    log.checkpoint();
    await archiveAll(store, directory, 100_000);
    const made = await listSegmentsFrom(store, source.origin, { from: 0 });
    assert.equal(made.length, 4);
    assert.deepEqual(made, chainOf(made, log.size));
    await archiveAll(store, directory);
    assert.equal((await listSegmentsFrom(store, source.origin, { from: 0 })).length, 4);
    log.close();
  });

  test("attack: a byte changed in the archive is found and named by its file and leaf", async () => {
    const where = await place();
    const store = await where.open();
    const { directory, log } = newLog();
    for (let i = 0; i < 20; i += 1) log.append(crossings(i * 10, 10));
    log.close();
    const [origin = ""] = await archiveAll(store, directory);
    const [source] = sourcesOf(directory);
    const [, second] = await listSegmentsFrom(store, origin, { from: 0 });
    assert.ok(source !== undefined && second !== undefined);
    await damaged(where, store, second.name, 400);
    const copy = await fetched(store, origin, source.verifierKey);
    assert.throws(() => completeCopy(disk, copy.directory), LogFault);
    const report = copy.verify();
    assert.equal(report.ok, false);
    assert.match(report.firstBad?.file ?? "", new RegExp(`${String(second.first).padStart(16, "0")}\\.wal$`));
  });

  test("attack: a checkpoint put into the archive by somebody else is refused, and nothing is archived behind it", async () => {
    // A longer log, one of the same length, and a shorter one that ours would go on from.
    for (const count of [50, 10, 4]) {
      const where = await place();
      const store = await where.open();
      const ours = newLog();
      ours.log.append(crossings(0, 10));
      ours.log.close();
      const theirs = newLog();
      theirs.log.append(crossings(0, count));
      theirs.log.close();
      const [origin = ""] = await archiveAll(store, theirs.directory);
      const [source] = sourcesOf(ours.directory);
      assert.ok(source !== undefined && source.origin === origin);
      const held = async () => [
        await listSegmentsFrom(store, origin, { from: 0 }),
        await store.get(checkpointName(origin)),
      ];
      const before = await held();
      await assert.rejects(
        archiveLog({ store, disk, source, keeping: loose }),
        (error) =>
          fault("archive-differs")(error) && /not a checkpoint that the key of this log signed/.test(String(error)),
      );
      assert.deepEqual(await held(), before, `${count} leaves of somebody else`);
    }
  });

  test("attack: a log of the same length made anew with the log's own key is refused, and the archived one stays", async () => {
    const store = await (await place()).open();
    const first = newLog();
    first.log.append(crossings(0, 10));
    first.log.close();
    const [origin = ""] = await archiveAll(store, first.directory);
    const again = newFolder();
    copyFileSync(join(first.directory, "log.key"), join(again, "log.key"));
    const second = newLog("gw-1", again);
    second.log.append(crossings(100, 10));
    second.log.close();
    const before = await store.get(checkpointName(origin));
    const [source] = sourcesOf(second.directory);
    assert.ok(source !== undefined && source.origin === origin);
    await assert.rejects(
      archiveLog({ store, disk, source, keeping: loose }),
      (error) => fault("archive-differs")(error) && /has another root/.test(String(error)),
    );
    assert.deepEqual(await store.get(checkpointName(origin)), before);
  });

  test("attack: a log that was put back to an earlier state does not shorten what is archived", async () => {
    const store = await (await place()).open();
    const { directory, log } = newLog();
    log.append(crossings(0, 10));
    log.checkpoint();
    const [before] = sourcesOf(directory);
    log.append(crossings(10, 10));
    log.checkpoint();
    await archiveAll(store, directory);
    assert.ok(before !== undefined);
    await assert.rejects(archiveLog({ store, disk, source: before, keeping: loose }), fault("archive-differs"));
    assert.equal(await archivedSize(store, before), log.size);
    log.close();
  });

  test("segments are retained and held from their first moment, the checkpoint goes on moving", async () => {
    const where = await place();
    const store = await where.open();
    const { directory, log } = newLog();
    log.append(crossings(0, 10));
    log.checkpoint();
    const retainUntil = Date.UTC(2034, 0, 1);
    const archive = () => {
      const [source] = sourcesOf(directory);
      assert.ok(source !== undefined);
      return archiveLog({ store, disk, source, keeping: { retainUntil, held: false } });
    };
    const first = await archive();
    log.append(crossings(10, 10));
    log.checkpoint();
    const second = await archive();
    const [{ origin } = assert.fail()] = sourcesOf(directory);
    for (const name of [segmentName(origin, 0, first), segmentName(origin, first, second)]) {
      assert.equal((await store.stat(name))?.retainUntil, retainUntil);
      await assert.rejects(store.remove(name), fault("archive-retained"));
    }
    assert.equal((await store.stat(checkpointName(origin)))?.retainUntil, null);
    log.close();
  });
});

test("a log that went on after a restore comes back with the one before it, and both are judged", async () => {
  const archiveFolder = newFolder();
  const store = await openDirectoryArchive({ directory: archiveFolder, clock: { now: () => november } });
  const before = newLog("gw-1");
  before.log.append(crossings(0, 30));
  before.log.close();
  await archiveAll(store, before.directory);
  // What a restore does: the closed copy of the old log lies in before/ of a new one, of another node and key.
  const directory = newFolder();
  for (const { path, bytes } of closedCopy(disk, before.directory).files())
    writeCopied(disk, directory, `before/${path}`, bytes);
  completeCopy(disk, join(directory, "before"));
  const after = newLog("gw-2", directory);
  after.log.append(crossings(100, 10));
  after.log.close();
  await archiveAll(store, directory);
  const newest = sourcesOf(directory).find(({ origin }) => origin.includes("/gw-2/")) ?? assert.fail();
  const copy = await fetched(store, newest.origin, newest.verifierKey);
  completeCopy(disk, copy.directory);
  const report = copy.verify(sourcesOf(directory).map(({ note }) => note));
  assert.deepEqual(report.problems, []);
  assert.deepEqual(
    report.origins.map(({ origin }) => origin.split("/")[3]),
    ["gw-1", "gw-2"],
  );
});

test("a race of two writers leaves cuts that overlap: the chain that reaches the checkpoint is the log", () => {
  const cut = (first: number, next: number) => ({ name: segmentName("a/b/2026", first, next), first, next, bytes: 1 });
  const overlapping = [cut(0, 100), cut(0, 150), cut(100, 200), cut(150, 180)];
  assert.deepEqual(chainOf(overlapping, 200), [cut(0, 100), cut(100, 200)]);
  assert.deepEqual(chainOf(overlapping, 180), [cut(0, 150), cut(150, 180)]);
  assert.equal(chainOf(overlapping, 190), null);
  assert.deepEqual(chainOf([], 0), []);
});

test("a tree whose checkpoint cannot be read holds up no other", () => {
  const { directory, clock, log } = newLog();
  log.append(crossings(0, 5));
  clock.now = nextYear;
  log.append(crossings(10, 5));
  log.close();
  writeFileSync(join(directory, "2026", "checkpoint"), "not a note\n");
  const { sources, faults } = readLogSources(disk, directory);
  assert.deepEqual(
    sources.map(({ origin }) => origin.slice(-4)),
    ["2027"],
  );
  assert.match(faults[0]?.message ?? "", /2026.checkpoint is not a checkpoint/);
});
