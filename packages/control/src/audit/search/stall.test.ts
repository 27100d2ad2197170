// An index that could not take records for a while: it says how far behind it is, answers with what it has, and catches up to the newest record.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { HeldOrigin, HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { Fold, FoldBatch } from "../follow/fold.ts";
import { FoldRunner } from "../follow/fold-runner.ts";
import { OriginWatch } from "../follow/origin-watch.ts";
import { crossing, originOf, recordsOf } from "./records.test-support.ts";
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
    return recordsOf(
      Array.from({ length: count }, (_, n) => crossing(from + n)),
      from,
    );
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
  timeout: 60_000,
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
  const runner = new FoldRunner(fold, { records, watch, now: () => clock, pause });
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
