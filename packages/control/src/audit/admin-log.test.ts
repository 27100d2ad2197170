// The outbox and the log between them: every act once, under one id, whatever fails in between; and no acts while the log cannot keep up.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { beforeEach, test } from "node:test";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import { createRecipientKeyPair, createRecipientOpener } from "@sallyport/kernel/seal/recipient.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { referenceContext } from "@sallyport/protocol/audit/reference.ts";
import type { ControlCommands } from "../commands.ts";
import { AdminLog, backlogMsMax } from "./admin-log.ts";
import { Pseudonyms } from "./pseudonyms.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const recipient = createRecipientKeyPair(random);
const opener = createRecipientOpener(recipient.privateKey);
const commands = new URL("../commands.ts", import.meta.url);

/** A log in memory that keeps what it has acknowledged, and can be told to fail. */
class MemoryLog implements Pick<LogHandle, "append" | "find"> {
  readonly records: { readonly id: string; readonly leaf: Uint8Array; readonly reference: Uint8Array | null }[] = [];
  /** Appends refused from now on. */
  failing = 0;

  async append(leaf: Uint8Array, reference?: Uint8Array): Promise<{ index: number }> {
    if (this.failing > 0) {
      this.failing -= 1;
      throw new Error("disk-full: no space is left");
    }
    const parsed = parseLeaf(leaf);
    assert.ok("id" in parsed);
    this.records.push({ id: parsed.id, leaf, reference: reference ?? null });
    return { index: this.records.length - 1 };
  }

  async find(id: string): ReturnType<LogHandle["find"]> {
    const index = this.records.findIndex((record) => record.id === id);
    const record = this.records[index];
    return record === undefined ? [] : [{ index, leaf: record.leaf, reference: record.reference }];
  }

  ids(): string[] {
    return this.records.map(({ id }) => id);
  }
}

forEachDialect((_dialect, open) => {
  let store: Store<ControlCommands>;
  let log: MemoryLog;
  let faults: unknown[];
  let now: number;

  beforeEach(async () => {
    now = 1_800_000_000_000;
    store = await open<ControlCommands>({ commands, clock: { now: () => now, monotonic: () => now } });
    log = new MemoryLog();
    faults = [];
  });

  const adminLog = (
    run: Pick<Store<ControlCommands>, "run">["run"] = store.run.bind(store),
    node = "control-1",
    pseudonymKey = async () => new Uint8Array(32).fill(7),
  ) =>
    new AdminLog({
      tenant: "main",
      region: "default",
      node,
      store: { run },
      log,
      pseudonyms: new Pseudonyms(
        "main",
        { findPseudonymKey: async () => null, pseudonymKey },
        { now: () => now, monotonic: () => now },
      ),
      recipient: recipient.publicKey,
      nextId: () => "control-1-01KAMZZZZZ0000000000000000",
      clock: { now: () => now, monotonic: () => now },
      random,
      fault: (error) => faults.push(error),
    });

  /** One recorded act. */
  const act = (id: string) =>
    store.run("suspendIntegration", {
      tenant: "main",
      environment: "production",
      id,
      actor: "operator:ada",
      reason: "incident",
      absent: true,
    });
  const acts = async (count: number) => {
    for (let i = 0; i < count; i += 1) await act(`integration-${i}`);
  };
  const waiting = async () => (await store.run("outboxBacklog", null)).count;
  /** The store, but `failure` instead of marking what was appended, once. */
  const failingToMark = (failure: () => Promise<unknown>): Pick<Store<ControlCommands>, "run">["run"] => {
    let failed = false;
    return (name, input) => {
      if (name !== "markDrained" || failed) return store.run(name, input);
      failed = true;
      // The caller sees the fault or the answer that `failure` gives in place of the command's.
      return failure() as never;
    };
  };

  test("a state change is in the log once drained, sealed reference included, and the leaf names no operator and no reason", async () => {
    await act("orders-to-billing");
    await adminLog().drain();
    assert.equal(await waiting(), 0);
    const [record] = log.records;
    assert.ok(record !== undefined && record.reference !== null);
    const leaf = parseLeaf(record.leaf);
    assert.ok(leaf.t === "admin");
    assert.deepEqual(
      [leaf.action, leaf.object, leaf.environment],
      ["integration.suspend", "integration/orders-to-billing", "production"],
    );
    assert.doesNotMatch(Buffer.from(record.leaf).toString(), /\bada\b|incident/);
    const opened = opener.open(referenceContext(leaf), record.reference);
    const facts = JSON.parse(Buffer.from(opened).toString());
    assert.deepEqual([facts.actor, facts.facts.reason], ["operator:ada", "incident"]);
  });

  test("records are in the order of the acts, although the first of an environment waits for its pseudonym key longer than the next", async () => {
    await acts(3);
    let asked = 0;
    await adminLog(undefined, undefined, async () => {
      asked += 1;
      if (asked === 1) for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
      return new Uint8Array(32).fill(7);
    }).drain();
    const objects = log.records.map(({ leaf }) => {
      const parsed = parseLeaf(leaf);
      return parsed.t === "admin" ? parsed.object : parsed.t;
    });
    assert.deepEqual(objects, ["integration/integration-0", "integration/integration-1", "integration/integration-2"]);
  });

  test("a crash between append and mark: the next start marks what is there and appends nothing twice", async () => {
    await acts(3);
    const crashed = adminLog(failingToMark(() => new Promise(() => undefined)));
    void crashed.drain();
    while (log.records.length < 3) await new Promise(setImmediate);
    assert.equal(await waiting(), 3);
    await act("after-the-crash");
    await adminLog().drain();
    assert.equal(await waiting(), 0);
    assert.equal(log.records.length, 4);
    assert.equal(new Set(log.ids()).size, 4);
  });

  test("a store that fails between append and mark, in a process that lives on: nothing twice either", async () => {
    await acts(3);
    const living = adminLog(failingToMark(() => Promise.reject(new Error("store-io"))));
    await living.drain();
    assert.equal(await waiting(), 3);
    assert.equal(faults.length, 1);
    assert.match((await living.hold()) ?? "", /store-io/);
    await living.drain();
    assert.equal(await waiting(), 0);
    assert.equal(await living.hold(), null);
    assert.equal(log.records.length, 3);
    assert.equal(new Set(log.ids()).size, 3);
  });

  test("a lease lost between append and mark: what waits is looked up before it is appended again", async () => {
    await acts(2);
    const slow = adminLog(failingToMark(() => Promise.resolve({ kind: "lease-lost" })));
    await slow.drain();
    await act("later");
    await slow.drain();
    assert.equal(await waiting(), 0);
    assert.deepEqual([log.records.length, new Set(log.ids()).size], [3, 3]);
  });

  test("a log that takes some of a batch and refuses the rest: the rest follows, nothing is lost and nothing twice", async () => {
    await acts(5);
    log.failing = 2;
    const one = adminLog();
    await one.drain();
    assert.equal(await waiting(), 5);
    assert.match((await one.hold()) ?? "", /does not take records: disk-full/);
    await one.drain();
    assert.equal(await waiting(), 0);
    assert.deepEqual([log.records.length, new Set(log.ids()).size], [5, 5]);
    assert.equal(await one.hold(), null);
  });

  test("more than a batch is drained in order, by one run, also when many ask at once", async () => {
    await acts(1_003);
    const one = adminLog();
    await Promise.all(Array.from({ length: 50 }, () => one.drain()));
    assert.equal(await waiting(), 0);
    assert.equal(log.records.length, 1_003);
    const objects = log.records.map(
      ({ leaf }) => /"object":"integration\/integration-(\d+)"/.exec(Buffer.from(leaf).toString())?.[1],
    );
    assert.ok(
      objects.every((object, i) => object === String(i)),
      "in the order of the acts",
    );
  });

  test("of two control nodes on one store one drains; the other takes over when its lease has ended", async () => {
    await acts(2);
    const first = adminLog(failingToMark(() => Promise.reject(new Error("gone"))));
    await first.drain();
    const second = adminLog(undefined, "control-2");
    await second.drain();
    assert.equal(await waiting(), 2, "the lease is the first one's");
    now += 10_001;
    await second.drain();
    assert.equal(await waiting(), 0);
    assert.equal(log.records.length, 2);
  });

  test("a backlog of more than five seconds holds administrative acts, one of five does not", async () => {
    await act("orders-to-billing");
    now += backlogMsMax;
    assert.equal(await adminLog().hold(), null);
    now += 1;
    assert.match((await adminLog().hold()) ?? "", /5 s behind/);
  });

  test("a read is durable when its record resolves, and fails when the log does", async () => {
    const read = { actor: "operator:ada", action: "status.read", object: "status" } as const;
    await adminLog().record(read);
    assert.equal(log.records.length, 1);
    log.failing = 1;
    await assert.rejects(adminLog().record(read), /disk-full/);
  });

  test("attack: an object whose name is not a plain declared one is in the leaf by its hash only", async () => {
    await adminLog().record({
      environment: "sallyport",
      actor: "operator:ada",
      // as: no caller of ours can write it; a row of an older store might.
      action: "Not An Action" as "status.read",
      object: 'x"},{"admin":true',
    });
    const leaf = parseLeaf(log.records[0]?.leaf ?? new Uint8Array());
    assert.ok(leaf.t === "admin");
    assert.equal(leaf.action, "unnamed");
    assert.match(leaf.object, /^object\/[0-9a-f]{64}$/);
    assert.match(String(faults), /a record of Not An Action says what its page does not/);
  });
});
