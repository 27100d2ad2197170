// Promises of settle-memory.ts: given back once, in a quiet moment only, and nothing keeps the process alive for it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { settleMemory, settlePorts } from "./settle-memory.ts";

/** Ports whose event loop is as busy as `shares` says, look by look, and then quiet. */
function ports(shares: readonly number[], looksUntilStop = Number.POSITIVE_INFINITY) {
  const said = { looks: 0, collected: 0 };
  const left = [0, ...shares];
  return {
    said,
    utilization: () => left.shift() ?? 0,
    pause: async () => ++said.looks < looksUntilStop,
    collect: async () => {
      said.collected++;
    },
  };
}

test("memory is given back at the first quiet moment, once", async () => {
  const busy = ports([0.9, 0.2, 0.06]);
  assert.equal(await settleMemory(busy), true);
  assert.deepEqual(busy.said, { looks: 4, collected: 1 });
});

test("a process that is never quiet, or stops, is left alone", async () => {
  const never = ports(Array.from({ length: 100 }, () => 0.5));
  assert.equal(await settleMemory(never), false);
  assert.deepEqual(never.said, { looks: 60, collected: 0 });
  const stopped = ports([0.9], 2);
  assert.equal(await settleMemory(stopped), false);
  assert.equal(stopped.said.collected, 0);
});

test("a real collection makes the heap of a process smaller that has left much behind", async () => {
  const stop = new AbortController();
  const real = settlePorts(stop.signal);
  let kept: unknown[] = [];
  for (let n = 0; n < 300_000; n++) kept.push({ n });
  const before = process.memoryUsage().heapTotal;
  assert.equal(kept.length, 300_000);
  kept = [];
  await real.collect();
  assert.ok(process.memoryUsage().heapTotal < before - 4_000_000, `${process.memoryUsage().heapTotal} of ${before}`);
  stop.abort();
  assert.equal(await real.pause(60_000), false);
});
