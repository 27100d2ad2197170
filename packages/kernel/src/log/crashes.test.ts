import assert from "node:assert/strict";
import { test } from "node:test";
import { runCrashes } from "./crashes.ts";

test("nothing acknowledged is lost over 100 seeded crashes", () => {
  const report = runCrashes({ seeds: 100, from: 0 });
  assert.deepEqual(report.failures, []);
  assert.equal(report.lost, 0);
  assert.ok(report.crashes >= 300 && report.acknowledged > 10_000, "the suite should have had something to lose");
});

test("removing the fdatasync call turns the crash suite red", () => {
  const report = runCrashes({ seeds: 10, from: 0, syncDoesNothing: (path) => path.endsWith(".wal") });
  assert.ok(report.lost > 0 && report.failures.length > 0);
});

const others = [
  ["the head that is compared and swapped", "head.new"],
  ["the published checkpoint", "checkpoint.new"],
  ["the copies outside", "copies.new"],
  ["tiles and bundles before they are signed for", "/tile/"],
] as const;
for (const [what, part] of others) {
  test(`removing the sync of ${what} turns the crash suite red`, () => {
    const report = runCrashes({ seeds: 25, from: 0, syncDoesNothing: (path) => path.includes(part) });
    assert.notEqual(report.failures.length, 0);
  });
}

test("the same seeds give the same report", () => {
  assert.deepEqual(runCrashes({ seeds: 3, from: 7 }), runCrashes({ seeds: 3, from: 7 }));
});
