// An index that could not take records for a while: it says how far behind it is, answers with what it has, and catches up to the newest record.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import { testServer } from "@sallyport/kernel/store/for-each-dialect.ts";
import pg from "pg";
import { EdgesFold } from "../edges/edges-fold.ts";
import type { Fold, FoldBatch } from "../follow/fold.ts";
import { FoldRunner } from "../follow/fold-runner.ts";
import { OriginWatch } from "../follow/origin-watch.ts";
import { SharedBatches } from "../follow/shared-batches.ts";
import { readPlaces } from "./block.ts";
import type { IndexStore } from "./index-store.ts";
import { PostgresIndex } from "./postgres-index.ts";
import { crossing, idOf, originOf, recordsOf, startMs } from "./records.test-support.ts";
import { SearchFold } from "./search-fold.ts";
import { everything, ports } from "./search-index.test-support.ts";
import { SqliteIndex } from "./sqlite-index.ts";

const directory = mkdtempSync(join(tmpdir(), "search-stall-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** The records of one gateway, as many as a test says. */
class Growing implements HeldRecords {
  size = 0;
  #said = 0;
  #growth = Promise.withResolvers<void>();

  grow(size: number): void {
    this.size = size;
    this.#growth.resolve();
    this.#growth = Promise.withResolvers<void>();
  }

  async origins(): Promise<HeldOrigin[]> {
    this.#said = this.size;
    return [{ ...originOf("gw-1"), size: this.size }];
  }

  async read(_origin: string, from: number, max: number) {
    const count = Math.min(max, this.size - from);
    return Array.from({ length: count }, (_, n) => ({ index: from + n, leaf: leafOf(from + n), reference: null }));
  }

  async grown(signal: AbortSignal): Promise<void> {
    if (this.#said !== this.size) return;
    const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await Promise.race([this.#growth.promise, ended]);
  }

  async close(): Promise<void> {}
}

/** Takes nothing while its disk is full. */
class OnAFullDisk implements Fold {
  readonly id = "search";
  isFull = false;
  refused = Promise.withResolvers<void>();
  readonly #fold: SearchFold;

  constructor(fold: SearchFold) {
    this.#fold = fold;
  }

  places() {
    return this.#fold.places();
  }

  async take(batch: FoldBatch): Promise<void> {
    if (!this.isFull) return this.#fold.take(batch);
    this.refused.resolve();
    throw new Error("database or disk is full");
  }

  close() {
    return this.#fold.close();
  }
}

test("an index that stalled says so and how far behind it is, answers with what it has, and catches up to the newest record", {
  timeout: 120_000,
}, async () => {
  const options = { directory, owner: "control-1", now: ports.now, bytesMax: 1e12, keepMs: 1e12 };
  const search = await SearchFold.open(new SqliteIndex(options), ports);
  const fold = new OnAFullDisk(search);
  const records = new Growing();
  let clock = 0;
  const pause = async (ms: number) => {
    clock += ms;
    await ports.turn();
  };
  const watch = new OriginWatch(records, pause);
  const runner = new FoldRunner(fold, {
    batches: new SharedBatches(records),
    watch,
    now: () => clock,
    pause,
    turn: ports.turn,
  });
  const hits = async () => {
    const answer = await search.answer({ ask: "search", search: { ...everything, limit: 1 } });
    return answer.kind === "page" ? answer.page.hits.map(({ index }) => index) : [];
  };
  const caughtUp = async () => {
    while (watch.origins[0]?.size !== records.size || runner.standing().behind > 0) await ports.turn();
  };
  records.grow(3_000);
  await caughtUp();
  fold.isFull = true;
  records.grow(40_000);
  await fold.refused.promise;
  await ports.turn();
  const stalled = runner.standing();
  assert.equal(stalled.behind, 37_000);
  assert.match(stalled.fault ?? "", /disk is full/);
  assert.notEqual(stalled.behindSince, null);
  assert.deepEqual(await hits(), [2_999]);
  fold.isFull = false;
  await caughtUp();
  assert.deepEqual(await hits(), [39_999]);
  const { behind, behindSince, fault } = runner.standing();
  assert.deepEqual({ behind, behindSince, fault }, { behind: 0, behindSince: null, fault: null });
  assert.deepEqual([...(await search.places()).values()], [40_000]);
  await runner.close();
  await watch.close();
});
/** Leaves of one length, made from one: 200,000 of them cost no printing each. */
const [sample = assert.fail()] = recordsOf([crossing(0)]);
const idAt = Buffer.from(sample.leaf).indexOf(idOf("gw-1", 0)) + idOf("gw-1", 0).length;
const atAt = Buffer.from(sample.leaf).indexOf(String(startMs));
function leafOf(n: number): Uint8Array {
  const leaf = Buffer.from(sample.leaf);
  leaf.write(String(n).padStart(25, "0"), idAt - 25, "latin1");
  leaf.write(String(startMs + n), atAt, "latin1");
  return leaf;
}

/** Of every record in blocks and of those that wait, how often the index has it. */
async function timesOf(store: IndexStore, records: number): Promise<Uint8Array> {
  const { inBlocks, waiting } = await store.load();
  const times = new Uint8Array(records);
  const add = (index: number) => {
    times[index] = (times[index] ?? 0) + 1;
  };
  for (const shelf of await store.shelves(inBlocks)) {
    for (const { n } of await shelf.blocks()) {
      for (const { first, count } of readPlaces(await shelf.part(n, "places")).runs)
        for (let index = first; index < first + count; index++) add(index);
    }
  }
  for (const { index } of waiting) add(index);
  return times;
}

function stalls(freshStore: () => Promise<IndexStore>): void {
  test("an index that stalled while 200,000 records came says so and how far behind it is, answers with what it has, holds up nobody, and has each once in the end", {
    timeout: 600_000,
  }, async () => {
    const store = await freshStore();
    const search = await SearchFold.open(store, ports);
    const fold = new OnAFullDisk(search);
    const edges = new EdgesFold({ directory: mkdtempSync(join(directory, "edges-")), owner: "c", now: ports.now });
    const records = new Growing();
    let clock = 0;
    const pause = async (ms: number) => {
      clock += ms;
      await ports.turn();
    };
    const watch = new OriginWatch(records, pause);
    const batches = new SharedBatches(records);
    const runnerPorts = { batches, watch, now: () => clock, pause, turn: ports.turn };
    const runner = new FoldRunner(fold, runnerPorts);
    const beside = new FoldRunner(edges, runnerPorts);
    const hits = async () => {
      const answer = await search.answer({ ask: "search", search: { ...everything, limit: 1 } });
      return answer.kind === "page" ? answer.page.hits.map(({ index }) => index) : [];
    };
    const caughtUp = async (one: FoldRunner) => {
      while (watch.origins[0]?.size !== records.size || one.standing().behind > 0) await ports.turn();
    };
    records.grow(3_000);
    await caughtUp(runner);
    fold.isFull = true;
    records.grow(203_000);
    await fold.refused.promise;
    await caughtUp(beside);
    const stalled = runner.standing();
    assert.equal(stalled.behind, 200_000);
    assert.match(stalled.fault ?? "", /disk is full/);
    assert.notEqual(stalled.behindSince, null);
    assert.deepEqual(await hits(), [2_999]);
    fold.isFull = false;
    await caughtUp(runner);
    assert.deepEqual(await hits(), [202_999]);
    const { behind, behindSince, fault } = runner.standing();
    assert.deepEqual({ behind, behindSince, fault }, { behind: 0, behindSince: null, fault: null });
    assert.deepEqual([...(await search.places()).values()], [203_000]);
    const times = await timesOf(store, 203_000);
    assert.equal(
      times.findIndex((count) => count !== 1),
      -1,
    );
    const asked = { step: "day", from: 0, to: 8.64e15, environment: null, integration: null } as const;
    assert.equal((await edges.answer(asked))?.edges[0]?.requests, 203_000);
    await runner.close();
    await beside.close();
    await watch.close();
  });
}

const bounds = { now: ports.now, bytesMax: 1e12, keepMs: 1e12 };

describe("on SQLite", () => {
  stalls(async () => new SqliteIndex({ directory: join(directory, "index"), owner: "control-1", ...bounds }));
});

describe("on PostgreSQL, with the figures of edges beside it", () => {
  const schema = `stall_${randomBytes(6).toString("hex")}`;
  let server: Awaited<ReturnType<typeof testServer>>;
  before(async () => {
    server = await testServer();
  });
  after(async () => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await client.end();
    await server.stop();
  });
  stalls(async () => new PostgresIndex({ url: server.url, schema, ...bounds }));
});
