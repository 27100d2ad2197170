// The rows of the data-plane store on both dialects: one holder of a key, whoever asks at the same time, and what is over goes.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ClaimInput, DataPlaneCommands } from "./store-commands.ts";

const commands = new URL("./store-commands.ts", import.meta.url);
const hourMs = 3_600_000;
const now = Date.UTC(2026, 10, 30, 12);
const hash = () => new Uint8Array(randomBytes(32));

forEachDialect((_dialect, open) => {
  let store: Store<DataPlaneCommands>;
  let serial = 0;
  before(async () => {
    store = await open<DataPlaneCommands>({ commands });
  });

  const ask = (more: Partial<ClaimInput> = {}): ClaimInput => ({
    keyHash: hash(),
    owner: new Uint8Array(32).fill(1),
    payload: new Uint8Array(32).fill(2),
    crossing: `gw-1-${serial++}`,
    now,
    leaseMs: 60_000,
    ttlMs: 24 * hourMs,
    providerHonours: false,
    ...more,
  });
  const again = (first: ClaimInput, more: Partial<ClaimInput> = {}) =>
    store.run("claimKey", { ...first, crossing: `gw-2-${serial++}`, ...more });
  const answered = { state: "answered", rules: hash(), answer: Buffer.from("sealed") } as const;

  test("the first to come has the key; whoever comes while it works is told so, and by whom", async () => {
    const first = ask();
    assert.deepEqual(await store.run("claimKey", first), { kind: "taken", isNew: true, again: false });
    assert.deepEqual(await again(first), {
      kind: "in-flight",
      crossing: first.crossing,
      leaseUntil: now + first.leaseMs,
    });
  });

  test("of forty that come at once exactly one has the key", async () => {
    const first = ask();
    const all = await Promise.all(Array.from({ length: 40 }, () => again(first)));
    const kinds = all.map(({ kind }) => kind);
    assert.equal(kinds.filter((kind) => kind === "taken").length, 1);
    assert.equal(kinds.filter((kind) => kind === "in-flight").length, 39);
  });

  test("an answer is there for repeats, byte for byte, and goes to nobody who asked something else", async () => {
    const first = ask();
    await store.run("claimKey", first);
    const { keyHash, crossing } = first;
    assert.equal(await store.run("endKey", { keyHash, crossing, end: answered }), true);
    const replay = await again(first);
    assert.ok(replay.kind === "replay");
    assert.deepEqual(
      [Buffer.from(replay.answer), Buffer.from(replay.rules)],
      [answered.answer, Buffer.from(answered.rules)],
    );
    assert.deepEqual(await again(first, { payload: hash() }), { kind: "reused", crossing });
  });

  test("a holder whose lease is over is lost: what came of it is unknown, and nobody has the effect again", async () => {
    const first = ask();
    await store.run("claimKey", first);
    const late = now + first.leaseMs;
    assert.equal((await again(first, { now: late - 1 })).kind, "in-flight");
    assert.deepEqual(await again(first, { now: late }), { kind: "unknown", crossing: first.crossing });
    const { keyHash, crossing } = first;
    assert.equal(await store.run("endKey", { keyHash, crossing, end: answered }), true, "it was only slow");
    assert.equal((await again(first, { now: late })).kind, "replay");
  });

  test("a provider that honours keys is asked again, under the same key, and a slow first holder can end nothing any more", async () => {
    const first = ask({ providerHonours: true });
    await store.run("claimKey", first);
    const second = { ...first, crossing: "gw-2-again", now: now + first.leaseMs };
    assert.deepEqual(await store.run("claimKey", second), { kind: "taken", isNew: false, again: true });
    const { keyHash } = first;
    assert.equal(await store.run("endKey", { keyHash, crossing: first.crossing, end: answered }), false);
    assert.equal(await store.run("releaseKey", { keyHash, crossing: first.crossing }), false);
    assert.equal(await store.run("endKey", { keyHash, crossing: second.crossing, end: { state: "unknown" } }), true);
    assert.equal((await again(first, { providerHonours: false })).kind, "unknown");
  });

  test("a released key is free; an answered one cannot be released, nor ended twice", async () => {
    const first = ask();
    const { keyHash, crossing } = first;
    await store.run("claimKey", first);
    assert.equal(await store.run("releaseKey", { keyHash, crossing }), true);
    assert.deepEqual(await store.run("claimKey", first), { kind: "taken", isNew: true, again: false });
    await store.run("endKey", { keyHash, crossing, end: { state: "unkept" } });
    assert.equal(await store.run("releaseKey", { keyHash, crossing }), false);
    assert.equal(await store.run("endKey", { keyHash, crossing, end: answered }), false);
    assert.deepEqual(await again(first), { kind: "not-kept", crossing });
  });

  test("a key ends with its time, not before, and then means something new; the sweep takes what is over, so many rows at once", async () => {
    const owner = hash();
    const rows = Array.from({ length: 7 }, () => ask({ owner, ttlMs: hourMs }));
    for (const row of rows) await store.run("claimKey", row);
    assert.equal(await store.run("countKeys", { owner, more: rows.length }), rows.length);
    const [first = assert.fail(), second = assert.fail()] = rows;
    const { keyHash, crossing } = first;
    await store.run("endKey", { keyHash, crossing, end: answered });
    const end = now + hourMs;
    assert.equal((await again(first, { now: end - 1, payload: hash() })).kind, "reused");
    assert.deepEqual(await again(first, { now: end, payload: hash() }), { kind: "taken", isNew: false, again: false });
    assert.equal(await store.run("sweepKeys", { now: end, rowsMax: 4 }), 4);
    assert.equal(await store.run("sweepKeys", { now: end, rowsMax: 4 }), 2);
    assert.equal(await store.run("countKeys", { owner, more: 0 }), 1);
    assert.equal((await again(second, { now: end })).kind, "taken");
  });

  test("one writer of a resource, until it ends or its lease is over", async () => {
    const resourceHash = hash();
    const write = (crossing: string, at = now) =>
      store.run("beginWrite", { resourceHash, crossing, now: at, leaseMs: 60_000 });
    const all = await Promise.all(["a", "b", "c", "d"].map((crossing) => write(crossing)));
    assert.equal(all.filter(Boolean).length, 1);
    const holder = "abcd".charAt(all.indexOf(true));
    await store.run("endWrite", { resourceHash, crossing: "somebody else" });
    assert.equal(await write("e"), false, "only its holder lets go");
    assert.equal(await write("e", now + 60_000), true);
    await store.run("endWrite", { resourceHash, crossing: holder });
    assert.equal(await write("f"), false, "a holder of before lets nothing go");
    await store.run("endWrite", { resourceHash, crossing: "e" });
    assert.equal(await write("f"), true);
  });

  test("a store belongs to one tenant, environment, region and data key", async () => {
    const place = { tenant: "main", environment: "production", region: "eu", keyCheck: hash() };
    assert.deepEqual(await Promise.all([place, place].map((one) => store.run("bindPlace", one))), ["ours", "ours"]);
    for (const [more, said] of [
      [{ tenant: "other" }, "foreign-place"],
      [{ environment: "staging" }, "foreign-place"],
      [{ region: "us" }, "foreign-place"],
      [{ keyCheck: hash() }, "foreign-key"],
    ] as const)
      assert.equal(await store.run("bindPlace", { ...place, ...more }), said);
  });

  test("what is there can be counted", async () => {
    const { keys, writers } = await store.run("figures", null);
    assert.ok(keys > 0 && writers > 0);
  });
});
