// Findings as an operator meets them: a real control plane, an attack on its admin listener, the thread that follows the log, the commands.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Finding } from "@sallyport/control/watch/finding.ts";
import type { NamedFinding } from "@sallyport/control/watch/finding-actions.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { createAdminClient, readOperatorKey } from "./admin-client.ts";
import { Bench } from "./control-bench.test-support.ts";
import { listening } from "./listening-send.test-support.ts";

const bounded = { timeout: 120_000 };

forEachDialect((dialect, open) => {
  let bench: Bench;
  before(async () => {
    bench = new Bench(open);
    await bench.start();
  });
  after(() => bench.stop());

  async function findingsOf(rule: string): Promise<NamedFinding> {
    const deadline = performance.now() + 60_000;
    while (performance.now() < deadline) {
      const all = await bench.call<readonly NamedFinding[]>("GET", "/v1/findings");
      const found = all.find((one) => one.rule === rule);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw assert.fail(`${rule} is found`);
  }

  test(
    "attack: an operator's request sent a second time is refused, found, shown with its record, and resolved on record",
    bounded,
    async () => {
      const { send, last } = listening(join(bench.data, "operator.key.json"), bench.ca);
      const key = readOperatorKey(join(bench.data, "operator.key.json"));
      const over = { send, open: () => assert.fail("nothing is followed") };
      const operator = createAdminClient(key, over, () => Date.now());
      await operator.call("GET", "/v1/keys");
      const replayed = await send(last());
      assert.equal(replayed.status, 401);
      const finding = await findingsOf("replay");
      assert.deepEqual(
        [finding.environment, finding.severity, finding.state, finding.count, finding.facts],
        ["sallyport", "medium", "open", 1, { code: "dpop-replayed" }],
      );
      // Nobody had proven anything: the subject is the environment, by its own name.
      assert.deepEqual([finding.subject.kind, finding.subjectName], ["environment", null]);
      const [evidence] = finding.evidence;
      assert.match(evidence?.origin ?? "", /\/control\/\d{4}$/);
      const shown = await bench.call<Finding & { describe: string }>("GET", `/v1/findings/${finding.id}`);
      assert.match(shown.describe, /a second time/);
      const reason = "a test";
      await bench.call("POST", `/v1/findings/${finding.id}/acknowledge`, { reason });
      const resolved = await bench.call<Finding>("POST", `/v1/findings/${finding.id}/resolve`, { reason });
      assert.deepEqual([resolved.state, resolved.change?.reason], ["resolved", reason]);
      await assert.rejects(bench.call("POST", `/v1/findings/${finding.id}/resolve`, { reason }), /is resolved/);
      const report = await bench.call<{ findings: number; records: number }>("POST", "/v1/backtests", {
        rule: "replay",
        sinceMs: 0,
      });
      assert.equal(report.findings, 1);
      await assert.rejects(bench.call("POST", "/v1/backtests", { rule: "replays", sinceMs: 0 }), /no rule replays/);
      await bench.stop();
      const words = bench
        .leaves()
        .flatMap(({ action, object }) => (action.startsWith("finding.") ? [`${action} ${object}`] : []));
      for (const word of ["finding.raise", "finding.acknowledge", "finding.resolve"])
        assert.deepEqual(
          words.filter((one) => one.startsWith(word)),
          [`${word} finding/replay/${finding.id}`],
        );
      assert.deepEqual(bench.faults, []);
    },
  );

  if (dialect === "sqlite")
    test("after a restart the finding is there once, with the count it had", bounded, async () => {
      await bench.start();
      const report = await bench.call<{ findings: number }>("POST", "/v1/backtests", { rule: "replay", sinceMs: 0 });
      assert.equal(report.findings, 1);
      const all = await bench.call<readonly Finding[]>("GET", "/v1/findings");
      assert.deepEqual(
        all.map(({ rule, count, state }) => [rule, count, state]),
        [["replay", 1, "resolved"]],
      );
    });
});
