import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Candidate, decideEndpoint, mayEject } from "./decide-endpoint.ts";
import { decideHedge, endsBoth, mayHedge } from "./decide-hedge.ts";
import { decideRetry, pauseMsMax, type RetryQuestion, retryAfterOf } from "./decide-retry.ts";
import { Latencies, samplesMin } from "./latencies.ts";
import { mayRepeat } from "./may-repeat.ts";
import { RetryBudget } from "./retry-budget.ts";
import { timeGiven, timeLeft } from "./time-left.ts";

const question: RetryQuestion = {
  failed: { code: "connect-failed", wasSent: true, retryAfterMs: null },
  made: 1,
  attemptsMax: 3,
  repeatable: "always",
  isHeld: true,
  hasOther: false,
  leftMs: 5_000,
  random: 0.5,
  takeBudget: () => true,
};
const whyNot = (changes: Partial<RetryQuestion>): string => {
  const decided = decideRetry({ ...question, ...changes });
  return decided.kind === "enough" ? decided.why : `again after ${decided.afterMs}`;
};

describe("decide-retry", () => {
  test("a request without an effect is tried again after a pause of full jitter", () => {
    assert.equal(whyNot({}), "again after 12.5");
    assert.equal(whyNot({ made: 2 }), "again after 25");
    assert.equal(whyNot({ random: 0 }), "again after 0");
  });

  test("one with an effect only where not a byte of it had left", () => {
    assert.equal(whyNot({ repeatable: "not-begun" }), "effect");
    const failed = { ...question.failed, wasSent: false };
    assert.equal(whyNot({ repeatable: "not-begun", failed }), "again after 12.5");
    assert.equal(whyNot({ repeatable: "never", failed }), "effect");
  });

  test("never more often than declared, without its content, beyond its deadline or its budget", () => {
    assert.equal(whyNot({ made: 3 }), "attempts");
    assert.equal(whyNot({ isHeld: false }), "content");
    assert.equal(whyNot({ leftMs: 15 }), "deadline");
    assert.equal(whyNot({ takeBudget: () => false }), "budget");
  });

  test("the budget is asked only when everything else says yes", () => {
    let asked = 0;
    const takeBudget = () => ++asked > 0;
    for (const no of [{ made: 3 }, { isHeld: false }, { leftMs: 1 }, { repeatable: "never" as const }])
      whyNot({ ...no, takeBudget });
    assert.equal(asked, 0);
    whyNot({ takeBudget });
    assert.equal(asked, 1);
  });

  test("what no second attempt mends is tried again at another endpoint only", () => {
    for (const code of ["address-refused", "name-not-found", "tls-untrusted", "pin-mismatch"]) {
      const failed = { ...question.failed, code };
      assert.equal(whyNot({ failed }), "lasting");
      assert.equal(whyNot({ failed, hasOther: true }), "again after 12.5");
    }
  });

  test("Retry-After is waited for inside the deadline, binds no other endpoint, and is no reason to wait beyond it", () => {
    const failed = { code: "status-503", wasSent: true, retryAfterMs: 2_000 };
    assert.equal(whyNot({ failed }), "again after 2000");
    assert.equal(whyNot({ failed, hasOther: true }), "again after 12.5");
    assert.equal(whyNot({ failed, leftMs: 2_000 }), "deadline");
  });

  test("no answer ever waits longer than it may or goes beyond its deadline", () => {
    const any = fc.record({
      made: fc.integer({ min: 1, max: 60 }),
      attemptsMax: fc.integer({ min: 1, max: 60 }),
      leftMs: fc.double({ min: -10, max: 1e6, noNaN: true }),
      random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      retryAfterMs: fc.option(fc.integer({ min: 0, max: 1e9 }), { nil: null }),
    });
    fc.assert(
      fc.property(any, ({ retryAfterMs, ...changes }) => {
        const failed = { ...question.failed, retryAfterMs };
        const decided = decideRetry({ ...question, ...changes, failed });
        if (decided.kind === "enough") return;
        assert.ok(decided.afterMs < changes.leftMs);
        assert.ok(decided.afterMs <= Math.max(pauseMsMax, retryAfterMs ?? 0));
        assert.ok(changes.made < changes.attemptsMax);
      }),
      { seed: 7 },
    );
  });

  test("Retry-After is seconds or an HTTP date; huge, negative and other values are none", () => {
    const nowMs = Date.parse("2026-11-30T10:00:00Z");
    assert.equal(retryAfterOf("3", nowMs), 3_000);
    assert.equal(retryAfterOf("Mon, 30 Nov 2026 10:00:05 GMT", nowMs), 5_000);
    assert.equal(retryAfterOf("Mon, 30 Nov 2026 09:00:00 GMT", nowMs), 0);
    for (const none of [undefined, "", "-1", "1.5", "1e3", "99999999999", "2026-12-01", "soon", "3, 4"])
      assert.equal(retryAfterOf(none, nowMs), null, String(none));
  });
});

describe("may-repeat", () => {
  const operation = (
    effect: boolean,
    undeclared: boolean,
    claim: { readonly providerKey: string | null } | null = null,
  ) => ({ operation: { object: { effect }, undeclared }, claim }) as Parameters<typeof mayRepeat>[0]; // the members it reads
  test("reads are, effects and what nobody declared only where they have not begun", () => {
    assert.equal(mayRepeat(operation(false, false)), "always");
    assert.equal(mayRepeat(operation(true, false)), "not-begun");
    assert.equal(mayRepeat(operation(false, true)), "not-begun");
    assert.equal(mayRepeat({ operation: null, claim: null }), "never");
  });
  test("an effect whose provider has one per key, and is told a key, is; a key that only we know changes nothing", () => {
    assert.equal(mayRepeat(operation(true, false, { providerKey: "k" })), "always");
    assert.equal(mayRepeat(operation(true, false, { providerKey: null })), "not-begun");
  });
});

describe("retry budget", () => {
  test("a provider that fails everything is asked at most a fifth more, and ten times in ten seconds at the least", () => {
    const budget = new RetryBudget();
    const rules = { budget: 0.2, least: 10 };
    let retries = 0;
    for (let i = 0; i < 1_000; i++) {
      budget.request(i);
      if (budget.take(rules, i)) retries++;
    }
    assert.equal(retries, 200);
    assert.equal(budget.refused, 800);
    const quiet = new RetryBudget();
    assert.equal(Array.from({ length: 20 }, () => quiet.take(rules, 0)).filter(Boolean).length, 10);
  });

  test("what is older than ten seconds is forgotten", () => {
    const budget = new RetryBudget();
    const rules = { budget: 0.2, least: 1 };
    assert.ok(budget.take(rules, 500));
    assert.ok(!budget.take(rules, 9_999));
    assert.ok(budget.take(rules, 10_500));
  });

  test("whatever the times: in no window are there more retries than the share of its requests and the least together", () => {
    const at = fc.array(fc.integer({ min: 0, max: 4_000 }), { maxLength: 300 });
    fc.assert(
      fc.property(at, fc.nat({ max: 5 }), (gaps, least) => {
        const budget = new RetryBudget();
        const rules = { budget: 0.2, least };
        const taken: number[] = [];
        const asked: number[] = [];
        let nowMs = 0;
        for (const gap of gaps) {
          nowMs += gap;
          budget.request(nowMs);
          asked.push(nowMs);
          if (budget.take(rules, nowMs)) taken.push(nowMs);
          // Buckets of a second: a window holds at least nine seconds whole.
          const within = (times: readonly number[], ms: number) => times.filter((one) => one > nowMs - ms).length;
          assert.ok(within(taken, 9_000) <= Math.max(least, Math.ceil(within(asked, 10_000) * 0.2)) + 1);
        }
      }),
      { seed: 11 },
    );
  });
});

describe("decide-endpoint", () => {
  const one = (changes: Partial<Candidate> = {}): Candidate => ({
    weight: 1,
    inFlight: 0,
    isOpen: false,
    isFull: false,
    wasTried: false,
    ...changes,
  });
  const seeded = (): (() => number) => {
    let state = 42;
    return () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
  };
  const shares = (candidates: readonly Candidate[], times = 10_000): number[] => {
    const random = seeded();
    const counts = candidates.map(() => 0);
    for (let i = 0; i < times; i++) {
      const decided = decideEndpoint(candidates, random);
      if (decided.kind === "endpoint") counts[decided.index] = (counts[decided.index] ?? 0) + 1;
    }
    return counts.map((count) => Math.round((count * 100) / times));
  };

  test("of two drawn the one with fewer requests under way", () => {
    assert.deepEqual(shares([one({ inFlight: 3 }), one()]), [0, 100]);
    const [busy = 100, idle = 0] = shares([one({ inFlight: 9 }), one(), one()]);
    assert.equal(busy, 0);
    assert.ok(idle > 40 && idle < 60);
  });

  test("a weight is a share, and what a heavier one carries counts for less", () => {
    const [heavy = 0] = shares([one({ weight: 9 }), one({ weight: 1 }), one({ weight: 0.0001 })]);
    assert.ok(heavy > 85);
    assert.deepEqual(shares([one({ weight: 4, inFlight: 2 }), one({ inFlight: 1 })]), [100, 0]);
  });

  test("two of 90 and 10 that are as quick as each other get about nine tenths and one, however many requests are under way", () => {
    for (const underWay of [0, 1, 4, 40, 400]) {
      const random = seeded();
      const carried = [0, 0];
      const got = [0, 0];
      // Requests end in the order they came.
      const ends: number[] = [];
      for (let i = 0; i < 20_000; i++) {
        const [a = 0, b = 0] = carried;
        const decided = decideEndpoint([one({ weight: 90, inFlight: a }), one({ weight: 10, inFlight: b })], random);
        const index = decided.kind === "endpoint" ? decided.index : assert.fail(decided.kind);
        got[index] = (got[index] ?? 0) + 1;
        carried[index] = (carried[index] ?? 0) + 1;
        ends.push(index);
        const ended = ends.length > underWay ? ends.shift() : undefined;
        if (ended !== undefined) carried[ended] = (carried[ended] ?? 0) - 1;
      }
      const share = (got[1] ?? 0) / 20_000;
      assert.ok(share > 0.07 && share < 0.12, `${underWay} under way: ${share}`);
    }
  });

  test("none that is shut out or full, and one that failed this crossing only where there is no other", () => {
    assert.deepEqual(shares([one({ isOpen: true }), one({ isFull: true }), one({ inFlight: 50 })]), [0, 0, 100]);
    assert.deepEqual(shares([one({ wasTried: true }), one({ inFlight: 50 })]), [0, 100]);
    assert.deepEqual(
      decideEndpoint([one({ wasTried: true })], () => 0),
      { kind: "endpoint", index: 0 },
    );
    assert.deepEqual(
      decideEndpoint([one({ isOpen: true }), one({ isFull: true })], () => 0),
      { kind: "full" },
    );
    assert.deepEqual(
      decideEndpoint([one({ isOpen: true })], () => 0),
      { kind: "open" },
    );
  });

  test("whatever is known, what it chooses may be asked", () => {
    const candidate = fc.record({
      weight: fc.integer({ min: 1, max: 100 }),
      inFlight: fc.nat({ max: 300 }),
      isOpen: fc.boolean(),
      isFull: fc.boolean(),
      wasTried: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(candidate, { maxLength: 9 }),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        (all, draws) => {
          const decided = decideEndpoint(all, () => draws.next().value);
          const free = all.filter(({ isOpen, isFull }) => !isOpen && !isFull);
          if (decided.kind === "open") assert.ok(all.every(({ isOpen }) => isOpen));
          else if (decided.kind === "full") assert.ok(free.length === 0 && all.some(({ isOpen }) => !isOpen));
          else {
            const chosen = all[decided.index];
            assert.ok(chosen !== undefined && free.includes(chosen));
            assert.ok(!chosen.wasTried || free.every(({ wasTried }) => wasTried));
          }
        },
      ),
      { seed: 13 },
    );
  });

  test("for its share of failures at most half of the endpoints are shut out, and an only one is", () => {
    const most = (endpoints: number): number => {
      let out = 0;
      while (mayEject(endpoints, out) && out < endpoints) out++;
      return out;
    };
    assert.deepEqual([1, 2, 3, 4, 5].map(most), [1, 1, 1, 2, 2]);
  });
});

describe("time left", () => {
  const given = (...values: string[]) => timeGiven({ "request-timeout-ms": values });
  test("one whole number of milliseconds counts, and everything else is no word at all", () => {
    assert.equal(given("250"), 250);
    assert.equal(timeGiven({}), Number.POSITIVE_INFINITY);
    for (const none of ["0", "-1", "1.5", "1e3", " 5", "0x10", "9999999999", "5, 6", ""])
      assert.equal(given(none), Number.POSITIVE_INFINITY, none);
    assert.equal(given("5", "6"), Number.POSITIVE_INFINITY, "two of them have no one meaning");
  });
  test("the provider is told whole milliseconds, at least one", () => {
    assert.deepEqual([0.2, 1.9, 250].map(timeLeft), ["1", "1", "250"]);
  });
});

describe("decide-hedge", () => {
  const may = { repeatable: "always", isHeld: true, isTrial: false, attemptsMax: 2 } as const;
  const asked = { isGone: false, leftMs: 1_000, isRoomWanted: false, place: "other" } as const;

  test("only what may act twice, whose content is at hand, has a second attempt, and never the request that tries an endpoint", () => {
    assert.ok(mayHedge(may));
    for (const no of [
      { repeatable: "not-begun" as const },
      { repeatable: "never" as const },
      { isHeld: false },
      { isTrial: true },
      { attemptsMax: 1 },
      { attemptsMax: 0 },
    ])
      assert.ok(!mayHedge({ ...may, ...no }), JSON.stringify(no));
  });

  test("each reason against it is enough, and the budget is asked when there is none", () => {
    let taken = 0;
    const takeBudget = () => ++taken > 0;
    for (const [no, why] of [
      [{ isGone: true }, "gone"],
      [{ leftMs: 4 }, "deadline"],
      [{ place: "none" }, "endpoint"],
      [{ place: "full" }, "room"],
      [{ isRoomWanted: true }, "room"],
    ] as const)
      assert.equal(decideHedge({ ...asked, ...no, takeBudget }), why);
    assert.equal(taken, 0);
    assert.equal(decideHedge({ ...asked, takeBudget: () => false }), "budget");
    assert.equal(decideHedge({ ...asked, place: "only", takeBudget }), "hedge");
  });

  test("an answer ends both; of an effect not one that may speak of its twin", () => {
    for (const status of [409, 425, 429])
      assert.deepEqual([endsBoth(status, true), endsBoth(status, false)], [false, true]);
    assert.ok(endsBoth(201, true) && endsBoth(422, true));
  });
});

describe("latencies", () => {
  test("a quantile is right to within a tenth, and is none before there are enough", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.3, max: 60_000, noNaN: true }), { minLength: samplesMin, maxLength: 400 }),
        fc.constantFrom(0.5, 0.9, 0.95, 0.99),
        (all, share) => {
          const latencies = new Latencies();
          for (const ms of all.slice(0, samplesMin - 1)) latencies.add(ms, 0);
          assert.equal(latencies.quantile(share, 0), null);
          for (const ms of all.slice(samplesMin - 1)) latencies.add(ms, 0);
          const exact = all.toSorted((a, b) => a - b)[Math.ceil(all.length * share) - 1] ?? 0;
          const said = latencies.quantile(share, 0) ?? 0;
          assert.ok(said >= exact * 0.999_999 && said <= exact * 1.1, `${said} for ${exact}`);
        },
      ),
    );
  });

  test("what is older than a minute is forgotten, and what is absurd fits", () => {
    const latencies = new Latencies();
    for (let i = 0; i < samplesMin; i++) latencies.add(i % 2 === 0 ? 0 : 1e12, 0);
    assert.ok(latencies.quantile(0.5, 1_000) !== null);
    assert.ok(latencies.quantile(0.5, 30_001) !== null);
    assert.equal(latencies.quantile(0.5, 60_002), null);
  });
});
