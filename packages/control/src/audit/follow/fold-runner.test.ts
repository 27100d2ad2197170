import assert from "node:assert/strict";
import { test } from "node:test";
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { Fold, FoldBatch } from "./fold.ts";
import { FoldRunner } from "./fold-runner.ts";
import { OriginWatch } from "./origin-watch.ts";
import { SharedBatches } from "./shared-batches.ts";

/** Records in memory that a test lets grow. */
class GrowingRecords implements HeldRecords {
  readonly #sizes = new Map<string, number>();
  readonly broken = new Set<string>();
  #growth = Promise.withResolvers<void>();
  largestRead = 0;

  grow(node: string, size: number): void {
    this.#sizes.set(`sallyport.local/main/production/${node}/gateway/2026`, size);
    this.#growth.resolve();
    this.#growth = Promise.withResolvers<void>();
  }

  async origins(): Promise<HeldOrigin[]> {
    return [...this.#sizes].map(([origin, size]) => ({
      ...{ origin, size, tenant: "main", environment: "production", node: origin.split("/")[3] ?? "" },
      ...{ role: "gateway", year: 2026, checkpoint: "", verifierKey: "" },
    }));
  }

  async read(origin: string, from: number, max: number) {
    if (this.broken.has(origin)) throw new Error(`${origin} is damaged`);
    this.largestRead = Math.max(this.largestRead, max);
    const size = this.#sizes.get(origin) ?? 0;
    const to = Math.min(size, from + max);
    return Array.from({ length: to - from }, (_, i) => ({
      index: from + i,
      leaf: Buffer.from(`${origin}#${from + i}`),
      reference: null,
    }));
  }

  async grown(signal: AbortSignal): Promise<void> {
    const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await Promise.race([this.#growth.promise, ended]);
  }

  async close(): Promise<void> {}
}

/** Keeps what it was given; lets a test wait for a number of records. */
class KeepingFold implements Fold {
  readonly id = "keeping";
  readonly taken: string[] = [];
  readonly began: ReadonlyMap<string, number>;
  failures: Error[] = [];
  closed = false;
  #waiting: { count: number; resolve: () => void }[] = [];

  constructor(began: ReadonlyMap<string, number> = new Map()) {
    this.began = began;
  }

  async places() {
    return this.began;
  }

  async take({ records }: FoldBatch): Promise<void> {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    this.taken.push(...records.map(({ leaf }) => Buffer.from(leaf).toString()));
    for (const { resolve } of this.#waiting.filter(({ count }) => this.taken.length >= count)) resolve();
  }

  has(count: number): Promise<void> {
    if (this.taken.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** A clock that goes on only by pauses. */
function pausing() {
  const pauses: number[] = [];
  let now = 1_000;
  return {
    pauses,
    now: () => now,
    pause: async (ms: number, signal: AbortSignal) => {
      if (signal.aborted) return;
      pauses.push(ms);
      now += ms;
    },
  };
}

function running(records: GrowingRecords, fold: Fold, time = pausing(), turn = async (): Promise<void> => {}) {
  const watch = new OriginWatch(records, time.pause);
  const runner = new FoldRunner(fold, {
    batches: new SharedBatches(records),
    watch,
    now: time.now,
    pause: time.pause,
    turn,
  });
  const end = async () => {
    await runner.close();
    await watch.close();
  };
  return { runner, time, end };
}

/** What follows the last `take` is done. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

const origin = (node: string) => `sallyport.local/main/production/${node}/gateway/2026`;

test("a fold gets every record of every origin once, in order, in bounded batches, and goes on when they grow", async () => {
  const records = new GrowingRecords();
  const fold = new KeepingFold();
  records.grow("gw-1", 5_000);
  records.grow("gw-2", 3);
  const { runner, end } = running(records, fold);
  await fold.has(5_003);
  records.grow("gw-2", 5);
  await fold.has(5_005);
  assert.deepEqual(
    fold.taken.filter((text) => text.includes("gw-1")),
    Array.from({ length: 5_000 }, (_, i) => `${origin("gw-1")}#${i}`),
  );
  assert.deepEqual(
    fold.taken.filter((text) => text.includes("gw-2")),
    Array.from({ length: 5 }, (_, i) => `${origin("gw-2")}#${i}`),
  );
  assert.equal(records.largestRead, 2_048);
  await settled();
  assert.deepEqual(runner.standing(), { id: "keeping", behind: 0, behindSince: null, fault: null });
  await end();
  assert.ok(fold.closed);
});

test("a fold that never waits gives everybody else of its thread a turn after each batch: answers of a database arrive", async () => {
  const records = new GrowingRecords();
  records.grow("gw-1", 20_480);
  const fold = new KeepingFold();
  const turns: number[] = [];
  const { end } = running(records, fold, pausing(), async () => {
    turns.push(fold.taken.length);
  });
  await fold.has(20_480);
  await settled();
  assert.deepEqual(
    turns,
    Array.from({ length: 10 }, (_, n) => (n + 1) * 2_048),
  );
  await end();
});

test("a fold goes on behind its own place after a restart", async () => {
  const records = new GrowingRecords();
  records.grow("gw-1", 10);
  const fold = new KeepingFold(new Map([[origin("gw-1"), 7]]));
  const { end } = running(records, fold);
  await fold.has(3);
  assert.deepEqual(
    fold.taken,
    [7, 8, 9].map((i) => `${origin("gw-1")}#${i}`),
  );
  await end();
});

test("what could not be taken comes again from the same record, after pauses that grow", async () => {
  const records = new GrowingRecords();
  records.grow("gw-1", 4);
  const fold = new KeepingFold();
  fold.failures = [new Error("the receiver is away"), new Error("the receiver is away"), new Error("still away")];
  const { time, runner, end } = running(records, fold);
  await fold.has(4);
  assert.deepEqual(
    fold.taken,
    [0, 1, 2, 3].map((i) => `${origin("gw-1")}#${i}`),
  );
  assert.deepEqual(time.pauses, [500, 1_000, 2_000]);
  await settled();
  assert.equal(runner.standing().fault, null);
  await end();
});

test("an origin that cannot be read holds up no other, and the standing names why", async () => {
  const records = new GrowingRecords();
  records.broken.add(origin("gw-1"));
  records.grow("gw-1", 5);
  records.grow("gw-2", 2);
  const fold = new KeepingFold();
  const held = Promise.withResolvers<void>();
  const time = { ...pausing(), pause: () => held.promise };
  const { runner, end } = running(records, fold, time);
  await fold.has(2);
  await settled();
  assert.deepEqual(runner.standing(), {
    id: "keeping",
    behind: 5,
    behindSince: 1_000,
    fault: `${origin("gw-1")} is damaged`,
  });
  held.resolve();
  await end();
});
