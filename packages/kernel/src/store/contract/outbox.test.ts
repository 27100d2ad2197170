// The outbox on both dialects: records leave in order, by one drainer, and none is lost or doubled.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { forEachDialect } from "../for-each-dialect.ts";
import { auditStatement } from "../outbox.ts";
import type { Store } from "../port.ts";
import type { ContractCommands } from "./commands.ts";

const commands = new URL("./commands.ts", import.meta.url);
const lease = { limit: 10, leaseMs: 1_000 };

forEachDialect((_dialect, open) => {
  let now = 0;
  let store: Store<ContractCommands>;
  beforeEach(async () => {
    now = 1_800_000_000_000;
    store = await open<ContractCommands>({ commands, clock: { now: () => now, monotonic: () => now } });
  });

  test("rows are claimed in the order they were committed, whole", async () => {
    for (const name of ["a", "b", "c"]) await store.run("increment", { name });
    const claim = await store.run("claimOutbox", { node: "one", ...lease, limit: 2 });
    assert.equal(claim.kind, "claimed");
    assert.deepEqual(
      claim.rows.map(({ id: _, ...row }) => row),
      ["a", "b"].map((name) => ({
        at: now,
        tenant: "main",
        environment: "production",
        actor: "operator:root",
        action: "counter.increment",
        object: `counter/${name}`,
        facts: {},
      })),
    );
  });

  test("a crash between append and mark shows the same rows again under the same ids", async () => {
    await store.run("increment", { name: "a" });
    const first = await store.run("claimOutbox", { node: "one", ...lease });
    const again = await store.run("claimOutbox", { node: "one", ...lease });
    assert.deepEqual(again, first);
  });

  test("a drained row never comes back, and marking it twice changes nothing", async () => {
    await store.run("increment", { name: "a" });
    const { rows } = await store.run("claimOutbox", { node: "one", ...lease });
    const ids = rows.map((row) => row.id);
    assert.deepEqual(await store.run("markDrained", { node: "one", ids }), { kind: "marked", count: 1 });
    assert.deepEqual(await store.run("markDrained", { node: "one", ids }), { kind: "marked", count: 0 });
    assert.deepEqual((await store.run("claimOutbox", { node: "one", ...lease })).rows, []);
  });

  test("rows written while others are being drained stay for the next claim", async () => {
    await store.run("increment", { name: "a" });
    const { rows } = await store.run("claimOutbox", { node: "one", ...lease });
    await store.run("increment", { name: "b" });
    await store.run("markDrained", { node: "one", ids: rows.map((row) => row.id) });
    const next = await store.run("claimOutbox", { node: "one", ...lease });
    assert.deepEqual(
      next.rows.map((row) => row.object),
      ["counter/b"],
    );
  });

  test("of many nodes that claim at once exactly one drains", async () => {
    await store.run("increment", { name: "a" });
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, index) => store.run("claimOutbox", { node: `node-${index}`, ...lease })),
    );
    assert.equal(claims.filter((claim) => claim.kind === "claimed").length, 1);
  });

  test("a drainer that lost its lease cannot mark, and the next one gets the rows", async () => {
    await store.run("increment", { name: "a" });
    const { rows } = await store.run("claimOutbox", { node: "one", ...lease });
    assert.equal((await store.run("claimOutbox", { node: "two", ...lease })).kind, "held");
    now += 1_000;
    assert.deepEqual((await store.run("claimOutbox", { node: "two", ...lease })).rows, rows);
    assert.deepEqual(await store.run("markDrained", { node: "one", ids: rows.map((row) => row.id) }), {
      kind: "lease-lost",
    });
    assert.equal((await store.run("outboxBacklog", null)).count, 1);
  });

  test("the backlog says how long the oldest row has been waiting", async () => {
    assert.deepEqual(await store.run("outboxBacklog", null), { count: 0, ageMs: 0 });
    await store.run("increment", { name: "a" });
    now += 5_001;
    await store.run("increment", { name: "b" });
    assert.deepEqual(await store.run("outboxBacklog", null), { count: 2, ageMs: 5_001 });
  });
});

test("an audit row with an unprintable or endless name is a bug, not a record", () => {
  const row = {
    id: "1",
    at: 0,
    tenant: "main",
    environment: "production",
    actor: "built-in",
    action: "x.y",
    object: "x/y",
    facts: {},
  };
  assert.doesNotThrow(() => auditStatement(row));
  for (const bad of [
    { object: "a\nb" },
    { object: "" },
    { actor: "operator:é" },
    { action: "x".repeat(300) },
    { facts: { text: "x".repeat(5_000) } },
  ])
    assert.throws(() => auditStatement({ ...row, ...bad }), { code: "ERR_ASSERTION" });
});
