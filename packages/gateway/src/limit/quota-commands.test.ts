// What is used of a quota, in SQLite and in PostgreSQL: never more than there is, whoever draws at the same time (docs/limits.md "Quotas").
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { DataPlaneCommands } from "../idempotency/store-commands.ts";

const commands = new URL("../idempotency/store-commands.ts", import.meta.url);
const endsAt = Date.UTC(2026, 11, 1);
const sum = (draws: readonly { readonly granted: number }[]): number =>
  draws.reduce((all, { granted }) => all + granted, 0);

forEachDialect((_dialect, open) => {
  let store: Store<DataPlaneCommands>;
  before(async () => {
    store = await open<DataPlaneCommands>({ commands });
  });
  const quota = () => {
    const quotaHash = new Uint8Array(randomBytes(32));
    return {
      draw: (max: number, wanted: number) => store.run("drawQuota", { quotaHash, endsAt, max, wanted }),
      giveBack: (permits: number) => store.run("giveBackQuota", { quotaHash, permits }),
    };
  };

  test("a draw gives what is wanted while there is plenty, and towards the end an eighth of what is left, down to one", async () => {
    const { draw } = quota();
    assert.deepEqual(await draw(1_000, 100), { granted: 100, left: 900 });
    assert.deepEqual(await draw(1_000, 500), { granted: 112, left: 788 });
    assert.deepEqual(await draw(220, 100), { granted: 1, left: 7 });
    for (let left = 6; left >= 0; left--) assert.deepEqual(await draw(220, 100), { granted: 1, left });
    assert.deepEqual(await draw(220, 100), { granted: 0, left: 0 });
  });

  test("attack: two hundred draws at once of a quota of 100 give 100", async () => {
    const { draw } = quota();
    const draws = await Promise.all(Array.from({ length: 200 }, () => draw(100, 3)));
    assert.equal(sum(draws), 100);
    assert.deepEqual(await draw(100, 1), { granted: 0, left: 0 });
  });

  test("what is given back can be drawn again, and never more than was drawn", async () => {
    const { draw, giveBack } = quota();
    await draw(80, 10);
    await giveBack(4);
    assert.deepEqual(await draw(80, 1), { granted: 1, left: 73 });
    await giveBack(1_000);
    assert.deepEqual(await draw(80, 1), { granted: 1, left: 79 });
  });

  test("a lower number takes nothing back, and a higher one opens what it adds", async () => {
    const { draw } = quota();
    for (let i = 0; i < 10; i++) await draw(80, 1);
    assert.deepEqual(await draw(5, 1), { granted: 0, left: 0 });
    assert.deepEqual(await draw(11, 5), { granted: 1, left: 0 });
  });

  test("periods that ended are swept, the others stay", async () => {
    const { draw } = quota();
    await draw(10, 1);
    assert.equal(await store.run("sweepQuotas", { endedBefore: endsAt - 1, rowsMax: 1_000 }), 0);
    assert.ok((await store.run("sweepQuotas", { endedBefore: endsAt, rowsMax: 1_000 })) > 0);
    assert.deepEqual(await draw(10, 1), { granted: 1, left: 9 });
  });
});
