// Findings over records and restarts, on both stores: every record counts once, whatever fails in between.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { followServices } from "../audit/follow/services.ts";
import type { ControlCommands } from "../commands.ts";
import type { BacktestReport } from "./backtest.ts";
import type { Signal } from "./detector.ts";
import { openPerRuleMax, sameFindingMs } from "./finding.ts";
import { FindingsFold } from "./findings-fold.ts";
import {
  countedDenials,
  deniedCrossing,
  laterLeaf,
  MemoryRecords,
  originName,
  pseudonym,
  startAt,
} from "./watch.test-support.ts";

const commands = new URL("../commands.ts", import.meta.url);
const replayed = (caller: number, after = 0) => deniedCrossing({ code: "dpop-replayed", caller, after });
const wrong = (caller: number, after = 0) => deniedCrossing({ code: "not-granted", caller, after });

forEachDialect((_dialect, open) => {
  let store: Store<ControlCommands>;
  let records: MemoryRecords;
  let faults: unknown[];
  /** Fails the next calls of the store with these. */
  let failures: Error[];
  beforeEach(async () => {
    store = await open<ControlCommands>({ commands });
    records = new MemoryRecords();
    [faults, failures] = [[], []];
  });

  /** A fold as the follower makes it; `answers: false`: the store does what it is told, and the answer is lost. */
  function newFold({ answers = true } = {}): FindingsFold {
    const pseudonyms = { of: () => Promise.reject(new Error("findings ask for no names")) };
    const services = followServices({ tenant: "main", store, pseudonyms, logger: { warn: () => undefined } });
    return new FindingsFold("findings", {
      records,
      now: () => startAt,
      fault: (error) => faults.push(error),
      call: async (service, input) => {
        const failure = failures.shift();
        if (failure !== undefined) throw failure;
        const output = await services[service]?.(structuredClone(input));
        if (!answers && service === "watch.take") throw new Error("the answer was lost");
        return output;
      },
    });
  }

  /** Hands everything behind the fold's places over, as the runner does. */
  async function follow(fold: FindingsFold, batch = 2): Promise<void> {
    const places = await fold.places();
    for (const origin of await records.origins())
      for (let next = places.get(origin.origin) ?? 0; next < origin.size; next += batch)
        await fold.take({
          origin,
          records: await records.read(origin.origin, next, Math.min(batch, origin.size - next)),
        });
  }

  const list = () => store.run("listFindings", { tenant: "main" });
  const brief = async () =>
    (await list()).map(({ rule, subject, count, state }) => [rule, subject.name, count, state]).sort();
  const raised = async () => {
    const { rows } = await store.run("claimOutbox", { node: "control", limit: 1_000, leaseMs: 1_000 });
    return rows.filter(({ action }) => action === "finding.raise");
  };

  test("what rules notice is one finding for each rule and subject, with its count and its first records, and a record of its own", async () => {
    records.append(
      "gw-1",
      replayed(1),
      wrong(2),
      replayed(1, 5_000),
      replayed(3),
      countedDenials("token-audience", 4, 40),
    );
    await follow(newFold());
    assert.deepEqual(await brief(), [
      ["replay", pseudonym(1), 2, "open"],
      ["replay", pseudonym(3), 1, "open"],
      ["token-audience", pseudonym(4), 40, "open"],
    ]);
    const one = (await list()).find(({ subject }) => subject.name === pseudonym(1));
    assert.deepEqual(
      one?.evidence,
      [0, 2].map((index) => ({ origin: originName("gw-1"), index })),
    );
    assert.deepEqual([one?.firstAt, one?.lastAt, one?.facts], [startAt, startAt + 5_000, { code: "dpop-replayed" }]);
    assert.deepEqual(
      (await raised()).map(({ object }) => object.replace(/fnd-[0-9A-Z]{26}$/, "…")),
      ["finding/replay/…", "finding/replay/…", "finding/token-audience/…"],
    );
  });

  test("a restart counts nothing again, and a rule goes on with what it had seen: four tries before, the fifth after", async () => {
    records.append("gw-1", replayed(1), wrong(2, 0), wrong(2, 1), wrong(2, 2), wrong(2, 3));
    const first = newFold();
    await follow(first);
    await first.close();
    records.append("gw-1", wrong(2, 4));
    await follow(newFold());
    assert.deepEqual(await brief(), [
      ["replay", pseudonym(1), 1, "open"],
      ["scope-escalation", pseudonym(2), 5, "open"],
    ]);
  });

  test("attack: killed before anything of the rules was saved: everything is read again and nothing is counted again", async () => {
    records.append("gw-1", wrong(2, 0), replayed(1), wrong(2, 1), wrong(2, 2), wrong(2, 3), replayed(1, 9));
    await follow(newFold());
    records.append("gw-1", wrong(2, 4));
    await follow(newFold());
    assert.deepEqual(await brief(), [
      ["replay", pseudonym(1), 2, "open"],
      ["scope-escalation", pseudonym(2), 5, "open"],
    ]);
    assert.equal((await raised()).length, 2);
  });

  test("a store that fails: the batch comes again, passes the rules once, and its signals are not lost", async () => {
    records.append("gw-1", wrong(2, 0), wrong(2, 1), wrong(2, 2), wrong(2, 3), wrong(2, 4));
    const fold = newFold();
    const [origin] = await records.origins();
    assert.ok(origin !== undefined);
    await fold.places();
    const batch = { origin, records: await records.read(origin.origin, 0, 5) };
    failures = [new Error("store-io"), new Error("store-io")];
    await assert.rejects(fold.take(batch), /store-io/);
    await assert.rejects(fold.take(batch), /store-io/);
    await fold.take(batch);
    assert.deepEqual(await brief(), [["scope-escalation", pseudonym(2), 5, "open"]]);
  });

  test("an answer that was lost after the store had done it, and two control nodes over one store: each record counts once", async () => {
    records.append("gw-1", replayed(1), replayed(1, 1), replayed(2));
    const lost = newFold({ answers: false });
    await assert.rejects(follow(lost, 3), /lost/);
    await Promise.all([follow(newFold(), 3), follow(newFold(), 1)]);
    assert.deepEqual(await brief(), [
      ["replay", pseudonym(1), 2, "open"],
      ["replay", pseudonym(2), 1, "open"],
    ]);
  });

  test("a rule of another version begins with nothing of the one before", async () => {
    records.append("gw-1", wrong(2, 0), wrong(2, 1), wrong(2, 2), wrong(2, 3));
    const first = newFold();
    await follow(first);
    await first.close();
    const { places, states } = await store.run("readWatch", null);
    const earlier = states.map((state) => ({ ...state, version: 0 }));
    await store.run("takeSignals", {
      places: places.map(({ origin, saved }) => ({ origin, next: saved })),
      signals: [],
      states: earlier,
    });
    records.append("gw-1", wrong(2, 4));
    await follow(newFold());
    assert.deepEqual(await brief(), []);
  });

  const signal = (n: number, at = startAt): Signal => ({
    ...{ rule: "log-rolled-back", version: 1, severity: "critical", tenant: "main", environment: "production" },
    ...{
      subject: { kind: "gateway", name: `gw-${n}` },
      firstAt: at,
      lastAt: at,
      count: 1,
      evidence: [],
      facts: { code: "forked" },
    },
  });
  const change = (id: string, to: "acknowledged" | "resolved") =>
    store.run("changeFinding", { tenant: "main", id, to, actor: "operator:ada", reason: "looked" });

  test("another watcher raises through the port; the same again within a day is counted, a day later it is new", async () => {
    const id = await store.run("raiseFinding", signal(1));
    assert.match(id ?? "", /^fnd-/);
    assert.equal(await store.run("raiseFinding", signal(1, startAt + sameFindingMs)), null);
    assert.notEqual(await store.run("raiseFinding", signal(1, startAt + 2 * sameFindingMs + 1)), null);
    assert.deepEqual(
      (await list()).map(({ count }) => count),
      [1, 2],
    );
  });

  test("acknowledged it goes on counting; resolved it stays so, and what comes again is a new finding; each change has its record", async () => {
    const id = (await store.run("raiseFinding", signal(1))) ?? "";
    assert.equal(await change(id, "acknowledged"), "changed");
    assert.equal(await store.run("raiseFinding", signal(1)), null);
    assert.equal(await change(id, "resolved"), "changed");
    assert.equal(await change(id, "acknowledged"), "refused");
    assert.equal(await change("fnd-01KAMZZZZZ0000000000000000", "resolved"), "not-found");
    const again = await store.run("raiseFinding", signal(1));
    assert.ok(again !== null && again !== id);
    assert.deepEqual(
      (await list()).map(({ state, count }) => [state, count]),
      [
        ["open", 1],
        ["resolved", 2],
      ],
    );
    const { rows } = await store.run("claimOutbox", { node: "control", limit: 100, leaseMs: 1_000 });
    assert.deepEqual(
      rows.map(({ action, actor, facts }) => [action, actor, facts["from"] ?? ""]),
      [
        ["finding.raise", "built-in", ""],
        ["finding.acknowledge", "operator:ada", "open"],
        ["finding.resolve", "operator:ada", "acknowledged"],
        ["finding.raise", "built-in", ""],
      ],
    );
  });

  test("attack: a flood of subjects fills the store up to its bound, and what comes then is counted under one more", async () => {
    for (let n = 0; n < openPerRuleMax + 50; n += 1) await store.run("raiseFinding", signal(n));
    const all = await list();
    assert.equal(all.length, openPerRuleMax + 1);
    assert.equal(all.find(({ subject }) => subject.kind === "others")?.count, 50);
    assert.equal((await store.run("listFindings", { tenant: "other" })).length, 0);
  });

  test("attack: one record that cannot be read hides what comes behind it: rules go on, and the record is a finding that tells", async () => {
    records.append("gw-1", wrong(2, 0), wrong(2, 1));
    records.appendBytes("gw-1", laterLeaf(1), new Uint8Array(0), Buffer.alloc(70_000, 0x7b));
    records.append("gw-1", replayed(1), wrong(2, 2), wrong(2, 3), wrong(2, 4));
    const fold = newFold();
    await follow(fold, 4);
    await fold.close();
    assert.deepEqual(await brief(), [
      ["replay", pseudonym(1), 1, "open"],
      ["scope-escalation", pseudonym(2), 5, "open"],
      ["unreadable-records", originName("gw-1"), 3, "open"],
    ]);
    const one = (await list()).find(({ rule }) => rule === "unreadable-records");
    assert.deepEqual([one?.environment, one?.subject.kind, one?.tells], ["sallyport", "origin", true]);
    assert.deepEqual(
      one?.evidence,
      [2, 3, 4].map((index) => ({ origin: originName("gw-1"), index })),
    );
    records.appendBytes("gw-1", laterLeaf(2));
    await follow(newFold());
    assert.equal((await list()).find(({ rule }) => rule === "unreadable-records")?.count, 4, "each counts once");
  });

  test("a backtest goes on behind records that cannot be read, says how many, and finds its beginning among them", async () => {
    records.append("gw-1", ...Array.from({ length: 5 }, (_, n) => wrong(1, n)));
    records.appendBytes("gw-1", ...Array.from({ length: 200 }, (_, n) => laterLeaf(n)));
    records.append("gw-1", ...Array.from({ length: 5 }, (_, n) => wrong(2, 10_000 + n)));
    const fold = newFold();
    const counts = async (sinceMs: number) => {
      const asked = await fold.answer({ rule: "scope-escalation", sinceMs });
      const { records: count, unreadable, findings, whole } = asked as BacktestReport;
      return { count, unreadable, findings, whole };
    };
    assert.deepEqual(await counts(startAt), { count: 210, unreadable: 200, findings: 2, whole: true });
    // Nothing says when those were: none of them is left out.
    assert.deepEqual(await counts(startAt + 10_000), { count: 205, unreadable: 200, findings: 1, whole: true });
    records.appendBytes("gw-2", laterLeaf(1), laterLeaf(2));
    assert.deepEqual(await counts(startAt + 10_000), { count: 207, unreadable: 202, findings: 1, whole: true });
  });

  test("a backtest finds what the live rules found, since a time, changes nothing, and knows no other rule", async () => {
    records.append("gw-1", wrong(1, 0), wrong(1, 2_000), wrong(1, 4_000), replayed(5, 5_000));
    records.append("gw-2", wrong(1, 1_000), wrong(1, 3_000), wrong(2, 3_500));
    const fold = newFold();
    const ask = (rule: string, sinceMs: number) => fold.answer({ rule, sinceMs });
    const report = await ask("scope-escalation", startAt);
    assert.deepEqual(report, {
      ...{ rule: "scope-escalation", version: 1, severity: "medium", sinceMs: startAt, untilMs: startAt + 5_000 },
      ...{ whole: true, records: 7, unreadable: 0, findings: 1 },
      examples: [
        {
          ...{ environment: "production", subject: { kind: "caller", name: pseudonym(1) }, count: 5 },
          ...{ firstAt: startAt, lastAt: startAt + 4_000 },
          evidence: [
            ["gw-1", 0],
            ["gw-2", 0],
            ["gw-1", 1],
            ["gw-2", 1],
            ["gw-1", 2],
          ].map(([node, index]) => ({
            origin: originName(String(node)),
            index,
          })),
        },
      ],
    });
    const late = (await ask("scope-escalation", startAt + 1_000)) as typeof report & {
      records: number;
      findings: number;
    };
    assert.deepEqual([late.records, late.findings], [6, 0]);
    await assert.rejects(ask("nothing", 0), /there is no rule nothing/);
    assert.deepEqual(await list(), []);
    await follow(fold, 10);
    assert.deepEqual(
      (await brief()).map(([rule]) => rule),
      ["replay", "scope-escalation"],
    );
  });
});
