// Promises one log under several threads: each has its own answers, all share the fdatasyncs, and only whoever opened the log ends it.
// Trusts real threads and a real disk. Beside log-client.ts.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { holds, isHolding, syncs } from "./blocking-signer.test-support.ts";
import { LogFault } from "./fault.ts";
import { LogClient, type LogWay, type OpenedLog } from "./log-client.ts";
import type { LogAnswer } from "./log-messages.ts";
import { openLog } from "./log-thread.ts";
import { sampleId, sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { refusedEvery, type SeatOrder, type SeatReport } from "./seated-writer.test-support.ts";
import { verifyLogDirectory } from "./verify.ts";

async function open(context: TestContext): Promise<{ log: OpenedLog; directory: string }> {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-seats-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return {
    directory,
    log: await openLog({ directory, identity: sampleIdentity, checkpointIntervalMs: 0, reserveBytes: 0 }),
  };
}

async function write(log: OpenedLog, from: number, count: number): Promise<{ thread: Worker; told: SeatReport }> {
  const order: SeatOrder = { seat: log.seat(), from, count };
  const thread = new Worker(new URL("./seated-writer.test-support.ts", import.meta.url), {
    workerData: order,
    transferList: [order.seat.port],
  });
  // The thread posts nothing else.
  const [told] = (await once(thread, "message")) as [SeatReport];
  return { thread, told };
}

test("records of three threads lie in one log, each where its thread was told and in its thread's order, refusals told to whom they concern", async (context) => {
  const { log, directory } = await open(context);
  const mine = Promise.all(Array.from({ length: 3_000 }, (_, n) => log.append(sampleLeaf("crossing", 900_000 + n))));
  const starts = [1, 100_001, 200_001];
  const written = await Promise.all(starts.map((from) => write(log, from, 4_000)));
  await mine;
  for (const [at, { told }] of written.entries()) {
    const from = starts[at] ?? assert.fail();
    let last = -1;
    for (const [place, index] of told.entries()) {
      if ((from + place) % refusedEvery === 0) {
        assert.equal(index, "leaf-refused");
        continue;
      }
      assert.ok(typeof index === "number" && index > last, `${index} after ${last}`);
      last = index;
    }
    for (const place of [5, 6, 1_234, 3_998]) {
      if ((from + place) % refusedEvery === 0) continue;
      const [found] = await log.find(sampleId(from + place));
      assert.equal(found?.index, told[place]);
    }
  }
  const refused = written.flatMap(({ told }) => told.filter((one) => typeof one === "string")).length;
  assert.equal(log.size(), 2 + 3_000 + 12_000 - refused);
  for (const { thread } of written) thread.postMessage("close");
  await Promise.all(written.map(({ thread }) => once(thread, "exit")));
  await log.append(sampleLeaf("admin", 1));
  await log.close();
  assert.deepEqual(verifyLogDirectory(directory, { verifierKey: log.verifierKey }).problems, []);
});

test("a thread that ends without a word takes nothing of the others with it, and a closed log refuses whoever is left", async (context) => {
  const { log } = await open(context);
  const [first, second] = await Promise.all([write(log, 1, 50), write(log, 1_001, 50)]);
  await first.thread.terminate();
  await log.append(sampleLeaf("admin", 1));
  await log.close();
  await assert.rejects(log.append(sampleLeaf("admin", 2)), LogFault);
  const late = once(second.thread, "exit");
  second.thread.postMessage("close");
  await Promise.race([late, second.thread.terminate()]);
});

/** A seat in this thread, and how many batches have left it for the log's. */
function seatHere(log: OpenedLog): { readonly client: LogClient; sent(): number } {
  const { port, opened } = log.seat();
  let sent = 0;
  const post = (...[request, transfer = []]: Parameters<LogWay["post"]>): void => {
    port.postMessage(request, transfer);
    sent++;
  };
  const client = new LogClient({ post }, opened);
  port.on("message", (answer: LogAnswer) => client.take(answer));
  port.unref();
  return { client, sent: () => sent };
}

async function turnsUntil(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
}

test("records that wait at several seats are committed together: one fdatasync for all of them, not one for each", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-seats-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const memory = new SharedArrayBuffer(12);
  const words = new Int32Array(memory);
  const signer = { module: new URL("./blocking-signer.test-support.ts", import.meta.url).href, options: memory };
  const log = await openLog({ directory, identity: sampleIdentity, checkpointIntervalMs: 0, reserveBytes: 0, signer });
  const seats = [seatHere(log), seatHere(log), seatHere(log), seatHere(log)];
  const before = Atomics.load(words, syncs);
  for (const [n, { client }] of seats.entries()) await client.append(sampleLeaf("crossing", n + 1));
  assert.equal(Atomics.load(words, syncs) - before, seats.length, "one after the other: each its own");

  Atomics.store(words, holds, 1);
  const checkpoint = log.checkpoint();
  await turnsUntil(() => Atomics.load(words, isHolding) === 1);
  const together = seats.map(({ client }, n) => client.append(sampleLeaf("crossing", 100 + n)));
  await turnsUntil(() => seats.every(({ sent }) => sent() === 2));
  const held = Atomics.load(words, syncs);
  Atomics.store(words, holds, 0);
  Atomics.notify(words, holds);
  const indexes = (await Promise.all(together)).map(({ index }) => index);
  assert.deepEqual(
    indexes.toSorted(),
    indexes.map((_, n) => Math.min(...indexes) + n),
    "beside each other in the log",
  );
  assert.equal(Atomics.load(words, syncs) - held, 1, "of all four together");
  await checkpoint;
  await log.close();
});
