import assert from "node:assert/strict";
import { test } from "node:test";
import { runKills } from "./kills.test-support.ts";

test("nothing acknowledged is lost over kill -9 of a process that appends: it is there, it can be proved, and the log starts and verifies", {
  timeout: 200_000,
}, async () => {
  const report = await runKills({ kills: 40, seed: 1 });
  assert.deepEqual(report.failures, []);
  assert.deepEqual([report.kills, report.lost], [40, 0]);
  assert.ok(report.acknowledged > 500 && report.starting > 0, JSON.stringify(report));
});
