// What `sallyport status` says of records that a lost node would take with it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { archivedWords } from "./status-words.ts";

const now = 1_795_305_600_000;
const whole = { leaves: 20, behind: 0, behindSince: null, refused: null, trouble: null };

test("a log that is not wholly archived is said with how many records, since when, and why", () => {
  assert.equal(archivedWords(whole, now), "archived");
  const behind = { ...whole, behind: 12, behindSince: now - 7_200_000 };
  assert.match(archivedWords(behind, now), /^12 not archived for 2\D*h/);
  assert.match(
    archivedWords({ ...behind, trouble: "the disk is full" }, now),
    /^12 not archived for .*: the disk is full$/,
  );
  assert.match(
    archivedWords({ ...behind, refused: "forked" }, now),
    /^12 not archived for .*: REFUSED \(forked\); see docs/,
  );
});
