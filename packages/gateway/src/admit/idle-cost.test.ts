import assert from "node:assert/strict";
import { test } from "node:test";
import { Admission, defaultAdmissionLimits } from "./admission.ts";

const clock = { now: () => 0, monotonic: () => 0 };
const limits = { ...defaultAdmissionLimits, requestsPerPrefixMax: Number.POSITIVE_INFINITY };
const requests = 20_000;

/** Milliseconds of requests one after another from one source, where so many others have been before; the least of five. */
function leastMs(others: number): number {
  const admission = new Admission(limits, clock);
  for (let n = 0; n < others; n++) {
    admission.enter(`other-${n}`);
    admission.leave(`other-${n}`);
  }
  const times = Array.from({ length: 5 }, () => {
    const begun = performance.now();
    for (let n = 0; n < requests; n++) {
      assert.equal(admission.enter("one"), null);
      admission.leave("one");
    }
    return performance.now() - begun;
  });
  return Math.min(...times);
}

test("attack: a crowd of networks that each came once makes no request of another one dearer", () => {
  leastMs(10);
  // With a set of those that are idle it was a hundred times as much.
  const [few, many] = [leastMs(10), leastMs(limits.prefixesMax - 1)];
  assert.ok(many < 5 * few, `${many} ms for ${few}`);
});
