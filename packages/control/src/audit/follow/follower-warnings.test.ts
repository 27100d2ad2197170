import assert from "node:assert/strict";
import { test } from "node:test";
import { followerWarnings } from "./follower-warnings.ts";

const fold = { id: "search", behind: 0, behindSince: null, fault: null };

test("what keeps up, or fell behind a moment ago, is not spoken of", () => {
  const folds = [fold, { ...fold, behind: 9, behindSince: 1_000 }];
  assert.deepEqual(followerWarnings({ folds, fault: null }, 61_000), []);
});

test("what fails or stays behind is named with how far, since when and why", () => {
  const folds = [
    { ...fold, behind: 9, behindSince: 1_000 },
    { ...fold, id: "splunk", behind: 3, behindSince: 60_500, fault: "connection refused" },
  ];
  assert.deepEqual(followerWarnings({ folds, fault: "the disk is gone" }, 61_001), [
    "the records cannot be read: the disk is gone",
    "search is 9 records behind the log since 1970-01-01T00:00:01.000Z",
    "splunk is 3 records behind the log since 1970-01-01T00:01:00.500Z: connection refused",
  ]);
});
