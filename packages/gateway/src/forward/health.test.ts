import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Health, unusedMs } from "./health.ts";

const rules = { path: "/healthz", everyMs: 1_000, timeoutMs: 500, failures: 3, successes: 2 };

describe("health", () => {
  test("so many checks in a row change what is thought of an endpoint, both ways, and one that agrees begins the count anew", () => {
    const health = new Health();
    health.use(rules, "");
    const after = (...said: boolean[]): boolean => {
      for (const one of said) health.told(one);
      return health.isWell;
    };
    assert.ok(after(false, false, true, false, false));
    assert.ok(!after(false));
    assert.ok(!after(true, false, true));
    assert.ok(after(true));
  });

  test("asks once in a while, one question at a time, and not for a system that nobody uses: then all is forgotten", () => {
    const health = new Health();
    health.use(rules, "/api");
    const asked: string[] = [];
    const answers: ((status: number) => void)[] = [];
    const pool: Parameters<Health["tick"]>[0] = {
      send(request, handler) {
        asked.push(request.path);
        answers.push((status) => {
          handler.onHead(status, []);
          handler.onEnd();
        });
        return { wasSent: true, abort() {}, pause() {}, resume() {} };
      },
    };
    const tick = (nowMs: number): number => {
      health.tick(pool, { nowMs, usedMs: 0 });
      return asked.length;
    };
    assert.deepEqual([tick(1), tick(5_000)], [1, 1], "the first one is not answered yet");
    answers[0]?.(503);
    assert.deepEqual([tick(5_001), tick(5_002)], [2, 2]);
    answers[1]?.(302);
    tick(6_500);
    answers[2]?.(500);
    assert.equal(health.isWell, false);
    assert.equal(tick(unusedMs + 1), 3);
    assert.equal(health.isWell, true);
    assert.equal(asked[0], "/api/healthz");
  });

  test("without rules nothing is asked and everything is well", () => {
    const health = new Health();
    health.use(rules, "");
    for (let i = 0; i < 3; i++) health.told(false);
    assert.equal(health.isWell, false);
    health.use(null, "");
    assert.equal(health.isWell, true);
    health.told(false);
    health.tick({ send: () => assert.fail("asked") }, { nowMs: 1e9, usedMs: 1e9 });
  });
});
