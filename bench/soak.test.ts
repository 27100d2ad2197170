// The soaks, small enough for every run of the tests: the same code as `npm run soak`, judged by the same promise.
import assert from "node:assert/strict";
import { test } from "node:test";
import { measureRevocation } from "./revocation/measure.ts";
import { revokedBy } from "./revocation/words.ts";
import { runHammer } from "./soak-hammer.ts";
import { runKeys } from "./soak-keys.ts";
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

test("a revocation of every kind reaches a gateway process beside 200 other subscribers: nothing refused before, nothing accepted after, nobody else touched", {
  timeout: 120_000,
}, async () => {
  const { rounds, subscribers, wrong } = await measureRevocation({ subscribers: 200, rounds: 1 });
  assert.deepEqual(wrong, []);
  assert.deepEqual([subscribers.subscribers, subscribers.faults], [200, 0]);
  assert.deepEqual(
    rounds.map(({ by }) => by),
    revokedBy,
  );
  for (const { by, refusedMs } of rounds)
    assert.ok(refusedMs !== null && refusedMs < 1_000, `${by} took ${refusedMs} ms`);
});

test(
  "keys rotate and one is killed under load: every token request answered, every token of a living key accepted, none of the dead one",
  bounded,
  async () => {
    const report = await runKeys({ seed: 7, minutes: 1, rounds: 4 });
    assert.ok(report.ok, JSON.stringify(report));
    assert.deepEqual([report.rotations, report.kills, report.wrong], [4, 1, []]);
  },
);

test(
  "sixteen writers at the log, and a reader that proves what was acknowledged and that each checkpoint extends the one before",
  bounded,
  async () => {
    const report = await runHammer({ seed: 7, minutes: 1, rounds: 10 });
    assert.deepEqual(report.failures, []);
    assert.ok(report.checkpoints === 10 && report.proofs > 50 && report.appended > 1_000, JSON.stringify(report));
  },
);
