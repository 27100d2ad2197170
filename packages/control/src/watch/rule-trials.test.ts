// Before people are told of what a rule finds, it was tried over the past, on record; and an operator has the last word.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../commands.ts";
import type { BacktestQuestion } from "./backtest.ts";
import { decideTells, perDayMax, trialMs } from "./decide-gate.ts";
import type { Signal } from "./detector.ts";
import { RuleTrials } from "./rule-trials.ts";
import { rules } from "./rules.ts";
import { startAt } from "./watch.test-support.ts";

const commands = new URL("../commands.ts", import.meta.url);

test("a rule that was tried over the whole time and stayed within what people can look at tells; any other waits", () => {
  const most = (perDayMax * trialMs) / 86_400_000;
  assert.equal(most, 140);
  assert.ok(decideTells({ whole: true, findings: 0 }) && decideTells({ whole: true, findings: most }));
  assert.ok(!decideTells({ whole: true, findings: most + 1 }));
  assert.ok(!decideTells({ whole: false, findings: 0 }), "not over the whole time");
});

forEachDialect((_dialect, open) => {
  let store: Store<ControlCommands>;
  let now = startAt;
  let asked: BacktestQuestion[] = [];
  /** Findings the backtest of each rule gives; null: it cannot be run now. */
  let found: Readonly<Record<string, number | null>> = {};
  beforeEach(async () => {
    [now, asked, found] = [startAt, [], {}];
    store = await open<ControlCommands>({ commands, clock: { now: () => now, monotonic: () => 0 } });
  });

  const trials = (onCommand: (name: string) => void = () => {}) =>
    new RuleTrials({
      ...{ tenant: "main", clock: { now: () => now } },
      store: {
        run: (name, args) => {
          onCommand(name);
          return store.run(name, args);
        },
      },
      follower: {
        ask: async (_fold, question) => {
          // as: only backtests are asked for.
          const { rule, sinceMs } = question as BacktestQuestion;
          asked.push({ rule, sinceMs });
          const findings = found[rule] ?? (found[rule] === null ? null : 0);
          if (findings === null) throw new Error("the records cannot be read");
          const version = rules.find(({ id }) => id === rule)?.version ?? 0;
          return { rule, version, severity: "medium", sinceMs, untilMs: now, whole: true, records: 9, findings };
        },
      },
    });
  const gates = async () => (await store.run("listRuleGates", null)).map(({ rule, tells }) => [rule, tells]);
  const signal = (rule: string, version: number): Signal => ({
    ...{ rule, version, severity: "medium", tenant: "main", environment: "production" },
    ...{ subject: { kind: "caller", name: "2026:x" }, firstAt: startAt, lastAt: startAt, count: 1 },
    ...{ evidence: [{ origin: "o", index: 1 }], facts: { code: "dpop-replayed" } },
  });
  const raiseBy = async (rule: string, version = 1) => {
    await store.run("takeSignals", { places: [], signals: [signal(rule, version)], states: null });
    const [finding] = await store.run("listFindings", { tenant: "main" });
    return finding?.tells;
  };
  const word = (rule: string, tells: boolean, version = 1) =>
    store.run("setRule", { tenant: "main", rule, version, tells, actor: "operator:ada", reason: "looked" });

  test("each rule is tried over the last week, once, by whichever node comes first; one that would flood waits", async () => {
    found = { "scope-escalation": 141 };
    const first = trials();
    await first.tick();
    await first.tick();
    await trials().tick();
    assert.deepEqual(
      asked,
      rules.map(({ id }) => ({ rule: id, sinceMs: startAt - trialMs })),
    );
    assert.deepEqual(await gates(), [
      ["replay", true],
      ["scope-escalation", false],
      ["token-audience", true],
    ]);
    const { rows } = await store.run("claimOutbox", { node: "control", limit: 100, leaseMs: 1_000 });
    assert.deepEqual(
      rows.map(({ action, object, facts }) => [action, object, facts["tells"]]),
      rules.map(({ id }) => ["rule.try", `rule/${id}`, id === "scope-escalation" ? "no" : "yes"]),
    );
  });

  test("two nodes that try a rule at once: the first backtest counts, and neither it nor an operator's word is undone by the other", async () => {
    const tried = { tenant: "main", rule: "replay", version: 1, sinceMs: 1, records: 9, findings: 0, whole: true };
    assert.equal(await store.run("tryRule", { ...tried, tells: false }), true);
    assert.equal(await word("replay", true), "changed");
    assert.equal(await store.run("tryRule", { ...tried, tells: false, records: 10 }), false);
    const [gate] = await store.run("listRuleGates", null);
    assert.deepEqual([gate?.tells, gate?.records, gate?.change?.actor], [true, 9, "operator:ada"]);
    const { rows } = await store.run("claimOutbox", { node: "control", limit: 100, leaseMs: 1_000 });
    assert.equal(rows.filter(({ action }) => action === "rule.try").length, 1);
    assert.equal(
      await store.run("tryRule", { ...tried, version: 2, tells: false }),
      true,
      "another version is another trial",
    );
    assert.equal((await store.run("listRuleGates", null))[0]?.change, null);
  });

  test("once everything was tried, the store is not asked again", async () => {
    const asked: string[] = [];
    const watched = trials((command) => void asked.push(command));
    await watched.tick();
    const before = asked.length;
    now += 60_000;
    await watched.tick();
    assert.deepEqual([before > 0, asked.length], [true, before]);
  });

  test("a trial that cannot be made is made ten seconds later; until then the rule tells nobody", async () => {
    found = { replay: null };
    const first = trials();
    await assert.rejects(first.tick(), /cannot be read/);
    assert.equal(
      (await gates()).some(([rule]) => rule === "replay"),
      false,
    );
    assert.equal(await raiseBy("replay"), false);
    found = {};
    now += 9_999;
    await first.tick();
    assert.equal((await gates()).length, rules.length - 1);
    now += 1;
    await first.tick();
    assert.equal((await gates()).length, rules.length);
  });

  test("attack: a rule on trial, not tried, of another version, or held tells nobody of what it finds; it finds all the same", async () => {
    assert.equal(await raiseBy("replay"), false, "not tried");
    found = { "scope-escalation": 1_000 };
    await trials().tick();
    assert.equal(await raiseBy("scope-escalation"), false, "on trial");
    assert.equal(await raiseBy("token-audience", 2), false, "another version than was tried");
    assert.equal(await word("replay", false), "changed");
    assert.equal((await store.run("listFindings", { tenant: "main" })).length, 3);
    assert.ok((await store.run("listFindings", { tenant: "main" })).every(({ tells }) => !tells));
  });

  test("an operator's word holds, on record: tell on trial, hold one that tells; of what was not tried there is no word", async () => {
    assert.equal(await word("replay", true), "not-tried");
    found = { replay: 1_000 };
    await trials().tick();
    assert.equal(await word("replay", true), "changed");
    assert.equal(await word("replay", true, 2), "not-tried");
    assert.equal(await raiseBy("replay"), true);
    await trials().tick();
    const [gate] = await store.run("listRuleGates", null);
    assert.deepEqual([gate?.tells, gate?.change], [true, { actor: "operator:ada", at: startAt, reason: "looked" }]);
    const { rows } = await store.run("claimOutbox", { node: "control", limit: 100, leaseMs: 1_000 });
    assert.ok(
      rows.some(({ action, actor, object }) => `${action} ${actor} ${object}` === "rule.tell operator:ada rule/replay"),
    );
  });

  test("what contradicts itself in a log is told always: it is no rule over records", async () => {
    await store.run("raiseFinding", signal("log-forked", 1));
    const [finding] = await store.run("listFindings", { tenant: "main" });
    assert.equal(finding?.tells, true);
  });
});
