// Tiles and bundles that are full are written beside the appends: no batch waits for a file to be created, and a checkpoint waits for nobody.
import assert from "node:assert/strict";
import { test } from "node:test";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { tileWidthMax } from "@sallyport/protocol/audit/tiles.ts";
import type { Log } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import type { LossyDisk } from "./lossy-disk.ts";
import { sampleLeaf } from "./sample-leaves.ts";
import { key, lossyLog, origin } from "./sample-log.test-support.ts";
import { verifyLogDirectory } from "./verify.ts";

const verifierKey = printVerifierKey(sha256, origin, key.publicKey);

/** Full tiles of the lowest level and bundles. */
const fullFiles = (disk: LossyDisk) =>
  [...disk.files().keys()].filter((path) => /\/tile\/(?:0|entries)\/[0-9]{3}$/.test(path)).sort();

const firstPair = ["/log/2026/tile/0/000", "/log/2026/tile/entries/000"];

/** As the log's thread does it: a batch that fills a tile, and what comes behind it. */
function appendBatch(log: Log, from = 0): void {
  log.append(Array.from({ length: tileWidthMax }, (_, n) => ({ leaf: sampleLeaf("crossing", from + n) })));
  log.absorb();
  log.settleLater();
}

const finishAll = (disk: LossyDisk) => {
  while (disk.begun > 0) disk.finishBegun();
};

test("a batch that fills a tile creates no file itself; another thread writes it, and then it is synced without a checkpoint", () => {
  const { disk, open } = lossyLog();
  const log = open();
  appendBatch(log);
  assert.deepEqual(fullFiles(disk), []);
  assert.equal(disk.begun, 2);
  finishAll(disk);
  assert.deepEqual(fullFiles(disk), firstPair);
  const before = disk.syncs;
  log.settleLater();
  assert.equal(disk.begun, 0, "nothing is left to sync");
  assert.equal(disk.syncs, before);
  log.close();
});

test("a checkpoint writes what no thread has written yet, and what such a thread does later changes nothing", () => {
  const { disk, open } = lossyLog();
  const log = open();
  appendBatch(log);
  log.checkpoint();
  assert.deepEqual(fullFiles(disk), firstPair);
  finishAll(disk);
  appendBatch(log, tileWidthMax);
  log.close();
  disk.crash();
  assert.deepEqual(verifyLogDirectory("/log", { verifierKey, disk }).problems, []);
});

test("a disk that is full when another thread writes leaves no half of a tile, and it is written when there is room", () => {
  const { disk, open } = lossyLog();
  const log = open();
  appendBatch(log);
  disk.capacity = disk.usedBytes();
  finishAll(disk);
  assert.equal(log.ended, null);
  assert.deepEqual(fullFiles(disk), []);
  disk.capacity = Number.POSITIVE_INFINITY;
  log.settleLater();
  finishAll(disk);
  assert.deepEqual(fullFiles(disk), firstPair);
  log.close();
  assert.deepEqual(verifyLogDirectory("/log", { verifierKey, disk }).problems, []);
});

test("a disk that fails while another thread writes ends the log", () => {
  const { disk, open } = lossyLog();
  const log = open();
  disk.writeLater = (_path, _bytes, done) => done(Object.assign(new Error("input/output error"), { code: "EIO" }));
  appendBatch(log);
  assert.equal(log.ended?.code, "log-closed");
  assert.throws(() => log.append([{ leaf: sampleLeaf("crossing", 1_000) }]), { code: "log-closed" });
});

test("what waits in memory for other threads is bounded: the surplus is written at once", () => {
  const { disk, open } = lossyLog();
  const log = open();
  // None of the writes that are begun ever finishes.
  for (let n = 0; n < 100; n++) appendBatch(log, n * tileWidthMax);
  assert.ok(disk.begun <= 256, `${disk.begun} writes and syncs are under way`);
  assert.ok(fullFiles(disk).length >= 2 * (100 - 64) - 2, `${fullFiles(disk).length} files are written`);
  log.close();
  assert.deepEqual(verifyLogDirectory("/log", { verifierKey, disk }).problems, []);
});
