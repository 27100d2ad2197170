// The log's rates as ratios to plain work of the same run, so that a busy machine slows both and only a slower log is red: 100,000 durable appends a second,
// 300,000 leaves verified a second, and 99 of 100 batches within 10 ms, on two cores with leaves of 400 bytes. `bench audit` takes the figures themselves.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { OpenedLog } from "./log-client.ts";
import { openLog } from "./log-thread.ts";
import { sampleId, sampleIdentity } from "./sample-leaves.ts";
import { verifyLogDirectory } from "./verify.ts";

const leafBytes = 400;
const place = { tenant: "main", environment: "production", region: "eu", node: "gw-1" } as const;

/** A leaf of exactly `leafBytes`. */
function leafOf(n: number): Uint8Array {
  const made = (object: string) =>
    printLeaf({
      ...{ t: "admin", id: sampleId(n), at: 1_795_305_600_000 + n, ...place },
      ...{ actor: "2026:abcdefghijklmnopqrstuQ", action: "integration.activate", object, facts: "5a".repeat(32) },
    });
  return made(`integration/a${"b".repeat(leafBytes - made("integration/a").length)}`);
}

const leaves = Array.from({ length: 8_192 }, (_, n) => leafOf(n));
const directory = mkdtempSync(join(tmpdir(), "log-rates-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** Microseconds of processor that all threads of this process used. */
async function cpuOf(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** Processor time of one SHA-256 of a leaf. Some 1.15 us on a core of its own of the machine that the promises were measured on. */
const hashOnce = async (): Promise<number> =>
  (await cpuOf(() => {
    for (const leaf of leaves) hash("sha256", leaf, "buffer");
  })) / leaves.length;

async function appendAll(log: OpenedLog, count: number, inFlight: number): Promise<number[]> {
  const waits: number[] = [];
  let next = 0;
  const writer = async () => {
    while (next < count) {
      const leaf = leaves[next++ % leaves.length] ?? assert.fail();
      const began = performance.now();
      await log.append(leaf);
      waits.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, writer));
  return waits;
}

/** Lowest of many short turns: what neighbours take of a core only makes a turn dearer, never cheaper. */
async function lowest(turns: number, work: () => Promise<number>): Promise<{ work: number; hash: number }> {
  let [best, bestHash] = [await work(), await hashOnce()];
  for (let turn = 0; turn < turns; turn++) {
    bestHash = Math.min(bestHash, await hashOnce());
    best = Math.min(best, await work());
  }
  return { work: best, hash: bestHash };
}

test("an append costs at most eleven times the SHA-256 of its leaf, on all threads together, and verification at most six", {
  timeout: 300_000,
}, async () => {
  const path = join(directory, "log");
  const log = await openLog({ directory: path, identity: sampleIdentity });
  const appended = 4_096;
  const append = await lowest(12, async () => (await cpuOf(() => appendAll(log, appended, 2_048))) / appended);
  await log.close();
  // 100,000 a second are 10 us for the slower of two threads, 17 hashes for both. They also wait for the disk and for each other.
  assert.ok(append.work <= 11 * append.hash, `an append costs ${append.work} us, a hash ${append.hash} us`);
  const verify = await lowest(10, async () => {
    let read = 0;
    const used = await cpuOf(() => {
      const { ok, leaves: count } = verifyLogDirectory(path, { verifierKey: log.verifierKey, crew: { threads: 1 } });
      assert.ok(ok);
      read = count;
    });
    return used / read;
  });
  // 300,000 a second are 6.67 us of two cores, 5.8 hashes.
  assert.ok(verify.work <= 6 * verify.hash, `a leaf is verified in ${verify.work} us, hashed in ${verify.hash} us`);
});

/** A thread that writes what it is sent over bytes that are there, syncs them and says so: the least that a durable batch can do. */
const bareWriter = `
  const { fdatasyncSync, openSync, writeSync } = require("node:fs");
  const { parentPort, workerData } = require("node:worker_threads");
  const file = openSync(workerData, "w+");
  const room = Buffer.alloc(1 << 20);
  writeSync(file, room, 0, room.length, 0);
  fdatasyncSync(file);
  let at = 0;
  parentPort.on("message", (bytes) => {
    if (at + bytes.length > room.length) at = 0;
    at += writeSync(file, bytes, 0, bytes.length, at);
    fdatasyncSync(file);
    parentPort.postMessage(null);
  });`;

const worstOf = (waits: readonly number[]) =>
  [...waits].sort((a, b) => a - b)[Math.floor(waits.length * 0.99)] ?? assert.fail();

/** Of the turns the one that a quarter were quicker than: neighbours spoil turns, and leave some alone. */
const quarter = (turns: readonly number[]) =>
  [...turns].sort((a, b) => a - b)[Math.floor(turns.length / 4)] ?? assert.fail();

// A quiet machine had batches at 3.4 ms where this ratio is 2.5 to 3, so about 1.25 ms for the bare turn: eight times as long is the promise of 10 ms.
test("of batches of 256, 99 of 100 records wait at most eight times as long as a bare write and sync of the same bytes by another thread", {
  timeout: 300_000,
}, async () => {
  const log = await openLog({ directory: join(directory, "batches"), identity: sampleIdentity });
  const writer = new Worker(bareWriter, { eval: true, workerData: join(directory, "bare") });
  const bytes = Buffer.concat(leaves.slice(0, 256));
  const bare = async (batches: number) => {
    const waits: number[] = [];
    for (let n = 0; n < batches; n++) {
      const began = performance.now();
      const answered = new Promise((resolve) => writer.once("message", resolve));
      writer.postMessage(bytes);
      await answered;
      waits.push(performance.now() - began);
    }
    return waits;
  };
  await bare(20);
  await appendAll(log, 20 * 256, 256);
  const own: number[] = [];
  const least: number[] = [];
  for (let turn = 0; turn < 32; turn++) {
    least.push(worstOf(await bare(16)));
    own.push(worstOf(await appendAll(log, 16 * 256, 256)));
  }
  await writer.terminate();
  await log.close();
  assert.ok(
    quarter(own) <= 8 * quarter(least),
    `99 of 100 waited up to ${quarter(own)} ms, a bare write and sync ${quarter(least)} ms`,
  );
});
