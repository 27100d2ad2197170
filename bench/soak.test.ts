// The soaks, small enough for every run of the tests: the same code as `npm run soak`, judged by the same promise.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runRevocation } from "./soak-revocation.ts";
import { runSwaps } from "./soak-swaps.ts";

const bounded = { timeout: 60_000 };

test("an order to cut off is obeyed by a gateway in a process of its own within a second", bounded, async () => {
  const report = await runRevocation({ seed: 7, minutes: 1, rounds: 9 });
  assert.ok(report.ok, JSON.stringify(report));
  assert.ok(report.p99 < 1_000, JSON.stringify(report));
});

test(
  "a hundred changes of the configuration under load: not one request fails, and every change was obeyed",
  bounded,
  async () => {
    const report = await runSwaps({ seed: 7, minutes: 1, rounds: 100 });
    assert.deepEqual([report.swaps, report.failed, report.failures], [100, 0, []]);
    assert.ok(report.requests > 100, JSON.stringify(report));
  },
);
