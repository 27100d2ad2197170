import assert from "node:assert/strict";
import { test } from "node:test";
import { runCrashes } from "./crashes.ts";

test("nothing acknowledged is lost over 600 seeded crashes, full disks and failed syncs among them", () => {
  const report = runCrashes({ seeds: 200, from: 0 });
  assert.deepEqual(report.failures, []);
  assert.equal(report.lost, 0);
  assert.ok(
    report.crashes >= 590 && report.acknowledged > 20_000 && report.refused > 1_000,
    "the suite should have had something to lose",
  );
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

for (const [seed, what] of [
  [19, "a full disk in the middle of staging leaves no half of a tile behind"],
  [350, "a disk that is full when the year turns ends the log, and the next start finishes the turn"],
  [
    756,
    "a power cut in the header of a segment right before the year turns leaves no half of a segment in the old one",
  ],
  [102_683, "an index torn by a power cut, of a segment that went on, hides nothing of an ended year"],
  [103_830, "an index made of a segment before it went on does not stand for all of it"],
] as const) {
  test(`found by the suite: ${what}`, () => {
    const { failures, lost } = runCrashes({ seeds: 1, from: seed });
    assert.deepEqual([failures, lost], [[], 0]);
  });
}

test("the same seeds give the same report", () => {
  assert.deepEqual(runCrashes({ seeds: 3, from: 7 }), runCrashes({ seeds: 3, from: 7 }));
});
