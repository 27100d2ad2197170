import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type AttemptEnd, Breaker, type BreakerRules } from "./breaker.ts";

const rules: BreakerRules = { failures: 3, share: 0.5, requests: 10, openMs: 1_000, openMsMax: 8_000 };

/** One attempt from begin to end. */
function attempt(breaker: Breaker, end: AttemptEnd, nowMs: number, mayEject = true): void {
  assert.ok(breaker.mayTry(nowMs), "it may be tried");
  breaker.ended(end, breaker.began(), { nowMs, mayEject });
}

function failed(breaker: Breaker, times: number, nowMs: number): void {
  for (let i = 0; i < times; i++) attempt(breaker, "failed", nowMs);
}

describe("breaker", () => {
  test("opens after so many failures in a row, and a success between them begins the count anew", () => {
    const breaker = new Breaker({ ...rules, requests: 1_000 });
    failed(breaker, 2, 0);
    attempt(breaker, "ok", 0);
    failed(breaker, 2, 0);
    assert.equal(breaker.state(0), "closed");
    failed(breaker, 1, 0);
    assert.equal(breaker.state(0), "open");
    assert.equal(breaker.waitMs(400), 600);
  });

  test("what the caller's impatience ended counts for nothing", () => {
    const breaker = new Breaker(rules);
    for (let i = 0; i < 100; i++) attempt(breaker, "unknown", 0);
    assert.equal(breaker.state(0), "closed");
  });

  test("half-open lets one attempt through at a time; its success closes it, its failure opens it for twice as long, up to the bound", () => {
    const breaker = new Breaker(rules);
    failed(breaker, 3, 0);
    let nowMs = 0;
    for (const openMs of [1_000, 2_000, 4_000, 8_000, 8_000]) {
      assert.equal(breaker.waitMs(nowMs), openMs);
      assert.ok(!breaker.mayTry(nowMs + openMs - 1));
      nowMs += openMs;
      assert.equal(breaker.state(nowMs), "half-open");
      const trial = breaker.began();
      assert.ok(!breaker.mayTry(nowMs), "a second one must wait for the first");
      breaker.ended("failed", trial, { nowMs, mayEject: true });
    }
    nowMs += 8_000;
    attempt(breaker, "ok", nowMs);
    assert.equal(breaker.state(nowMs), "closed");
  });

  test("a trial whose caller went away gives its place to the next one", () => {
    const breaker = new Breaker(rules);
    failed(breaker, 3, 0);
    attempt(breaker, "unknown", 1_000);
    assert.equal(breaker.state(1_000), "half-open");
    attempt(breaker, "ok", 1_000);
    assert.equal(breaker.state(1_000), "closed");
  });

  test("attempts that began before it opened say nothing about it afterwards", () => {
    const breaker = new Breaker(rules);
    const [early, late] = [breaker.began(), breaker.began()];
    failed(breaker, 3, 0);
    breaker.ended("ok", early, { nowMs: 1, mayEject: true });
    assert.equal(breaker.state(1), "open");
    const trial = breaker.began();
    breaker.ended("failed", late, { nowMs: 1_000, mayEject: true });
    assert.equal(breaker.state(1_000), "trial", "the trial still runs");
    breaker.ended("ok", trial, { nowMs: 1_000, mayEject: true });
    assert.equal(breaker.state(1_000), "closed");
  });

  test("the share counts once there are enough attempts, of ten seconds only, and not where too many siblings are out", () => {
    const isOpen = (attempts: number, mayEject: boolean, stepMs: number): boolean => {
      const breaker = new Breaker({ ...rules, failures: 1_000 });
      for (let i = 0; i < attempts; i++) attempt(breaker, i % 2 === 0 ? "failed" : "ok", i * stepMs, mayEject);
      attempt(breaker, "failed", attempts * stepMs, mayEject);
      return breaker.state(attempts * stepMs) === "open";
    };
    assert.ok(isOpen(10, true, 1));
    assert.ok(!isOpen(8, true, 1), "nine attempts are too few");
    assert.ok(!isOpen(10, false, 1), "half of its siblings are out");
    assert.ok(!isOpen(20, true, 2_000), "five attempts in ten seconds are too few");
  });

  test("is patient again with one that was well for longer than the longest pause", () => {
    const breaker = new Breaker(rules);
    failed(breaker, 3, 0);
    attempt(breaker, "failed", 1_000);
    attempt(breaker, "ok", 3_000);
    failed(breaker, 3, 3_000);
    assert.equal(breaker.waitMs(3_000), 4_000, "it fell again at once: the pause goes on growing");
    attempt(breaker, "ok", 7_000);
    failed(breaker, 3, 20_000);
    assert.equal(breaker.waitMs(20_000), 1_000);
  });

  test("without rules it never opens, and rules taken away open it", () => {
    const breaker = new Breaker(null);
    failed(breaker, 1_000, 0);
    breaker.use(rules);
    failed(breaker, 3, 0);
    assert.equal(breaker.state(0), "open");
    breaker.use(null);
    assert.equal(breaker.state(0), "closed");
  });

  test("whatever happens: never two trials at once, no pause beyond the bound, and time alone makes it tried again", () => {
    const step = fc.record({
      afterMs: fc.integer({ min: 0, max: 3_000 }),
      do: fc.constantFrom("begin" as const, "ok" as const, "failed" as const, "unknown" as const),
      which: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const breaker = new Breaker(rules);
        const running: { began: number; isTrial: boolean }[] = [];
        let nowMs = 0;
        for (const one of steps) {
          nowMs += one.afterMs;
          if (one.do === "begin") {
            if (!breaker.mayTry(nowMs)) continue;
            const isTrial = breaker.state(nowMs) === "half-open";
            running.push({ began: breaker.began(), isTrial });
            if (isTrial) assert.ok(!breaker.mayTry(nowMs + 3_600_000), "one trial at a time, however long it takes");
          } else if (running.length > 0) {
            const [ended] = running.splice(one.which % running.length, 1);
            if (ended !== undefined) breaker.ended(one.do, ended.began, { nowMs, mayEject: true });
          }
          assert.ok(breaker.waitMs(nowMs) <= rules.openMsMax);
          if (breaker.state(nowMs) === "trial") assert.ok(running.some(({ isTrial }) => isTrial));
          if (breaker.state(nowMs) !== "trial") assert.ok(breaker.mayTry(nowMs + rules.openMsMax));
        }
      }),
      { seed: 5, numRuns: 500 },
    );
  });
});
