import assert from "node:assert/strict";
import { test } from "node:test";
import { crossing, recordsOf } from "../search/records.test-support.ts";
import { SharedBatches } from "./shared-batches.ts";

const origin = "sallyport.local/main/production/gw-1/gateway/2026";
const batch = 16;

/** Records without an end, and how often each was read. */
function counting() {
  const reads: number[] = [];
  const records = {
    read: async (_origin: string, from: number, max: number) => {
      reads.push(from);
      return recordsOf(
        Array.from({ length: max }, (_, n) => crossing(from + n)),
        from,
      );
    },
  };
  return { reads, records };
}

/** Pauses that end when a test says so. */
function pausing() {
  const begun: { readonly ms: number; readonly end: () => void }[] = [];
  const pause = (ms: number, signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      begun.push({ ms, end: resolve });
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  return { begun, pause };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const at = (n: number) => ({ origin, from: n * batch, max: batch });

test("folds at one place read its records once and get the very same leaves, whoever comes first", async () => {
  const { reads, records } = counting();
  const shared = new SharedBatches(records, pausing().pause);
  for (let n = 0; n < 20; n++) {
    const [first, second, third] = [n, n + 1, n + 2].map((turn) => ["search", "edges", "findings"][turn % 3] ?? "");
    const one = await shared.read(first ?? "", at(n));
    const two = await shared.read(second ?? "", at(n));
    const three = await shared.read(third ?? "", at(n));
    assert.ok(one.leaves === two.leaves && two.leaves === three.leaves);
    assert.equal(one.leaves[3]?.t, "crossing");
    assert.deepEqual(
      one.leaves,
      one.records.map((_, i) => crossing(n * batch + i)),
    );
  }
  assert.deepEqual(
    reads,
    Array.from({ length: 20 }, (_, n) => n * batch),
  );
});

test("a fold gets no more records than it asked for, though another read more", async () => {
  const { records } = counting();
  const shared = new SharedBatches(records);
  await shared.read("search", { origin, from: 0, max: 100 });
  assert.equal((await shared.read("edges", { origin, from: 0, max: 10 })).records.length, 10);
});

test("a fold that is ahead waits for one that moves, goes on as soon as that has moved, and reads nothing twice", async () => {
  const { reads, records } = counting();
  const { begun, pause } = pausing();
  const shared = new SharedBatches(records, pause);
  await shared.read("search", at(0));
  let ahead = 0;
  const runs = (async () => {
    for (; ahead < 12; ahead++) await shared.read("edges", at(ahead));
  })();
  await settled();
  assert.equal(ahead, 8, "eight batches are kept");
  assert.deepEqual(
    begun.map(({ ms }) => ms),
    [100],
  );
  for (let n = 1; n < 12; n++) {
    await shared.read("search", at(n));
    await settled();
  }
  await runs;
  assert.deepEqual(
    reads,
    Array.from({ length: 12 }, (_, n) => n * batch),
  );
});

test("stalled fold attack: one that stops with a batch in hand costs the others one bounded wait, and nothing after it", async () => {
  const { records } = counting();
  const { begun, pause } = pausing();
  const shared = new SharedBatches(records, pause);
  await shared.read("export:slow", at(0));
  let ahead = 0;
  const runs = (async () => {
    for (; ahead < 500; ahead++) await shared.read("edges", at(ahead));
  })();
  await settled();
  assert.equal(begun.length, 1);
  begun[0]?.end();
  await runs;
  assert.equal(begun.length, 1);
});

test("a fold that rests, failed or ended is not waited for, also by one that waits already", async () => {
  const { records } = counting();
  const { begun, pause } = pausing();
  const shared = new SharedBatches(records, pause);
  await shared.read("search", at(0));
  const runs = (async () => {
    for (let n = 0; n < 20; n++) await shared.read("edges", at(n));
  })();
  await settled();
  shared.leave("search");
  await runs;
  assert.equal(begun.length, 1);
});

test("large records: what is kept stays below its bytes", async () => {
  let live = 0;
  const leaf = new Uint8Array(6_000_000);
  const records = {
    read: async (_origin: string, from: number) => {
      live += 1;
      return [{ index: from, leaf, reference: null }];
    },
  };
  const shared = new SharedBatches(records);
  for (let n = 0; n < 10; n++) await shared.read("edges", { origin, from: n, max: 1 });
  for (let n = 0; n < 7; n++) await shared.read("findings", { origin, from: n, max: 1 });
  assert.equal(live, 17, "the oldest seven were let go");
});
