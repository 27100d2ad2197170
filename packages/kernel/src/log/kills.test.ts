import assert from "node:assert/strict";
import { test } from "node:test";
import { runKills } from "./kills.test-support.ts";

test("nothing acknowledged is lost over kill -9 of a process that appends: it is there, it can be proved, and the log starts and verifies", {
  timeout: 600_000,
}, async () => {
  let [acknowledged, starting] = [0, 0];
  // Once, where a process has its share of a processor: on a busy machine lives are short, and more of them are needed to say something.
  for (let seed = 1; seed <= 8 && !(acknowledged > 500 && starting > 0); seed++) {
    const report = await runKills({ kills: 40, seed });
    assert.deepEqual(report.failures, []);
    assert.deepEqual([report.kills, report.lost], [40, 0]);
    acknowledged += report.acknowledged;
    starting += report.starting;
  }
  assert.ok(acknowledged > 500 && starting > 0, `${acknowledged} acknowledged, ${starting} killed while starting`);
});
