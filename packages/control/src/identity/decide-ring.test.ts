import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decideRing, type RingContext, type RingEntry, type RingEvent, type RingPlan } from "./decide-ring.ts";

const context = (over: Partial<RingContext> = {}): RingContext => ({
  now: 1_000_000,
  acknowledgedSeq: Number.POSITIVE_INFINITY,
  retireAfterMs: 330_000,
  rotateEveryMs: Number.POSITIVE_INFINITY,
  ...over,
});

const entry = (kid: string, state: RingEntry["state"], over: Partial<RingEntry> = {}): RingEntry => ({
  kid,
  alg: "ES256",
  jwk: {},
  state,
  seq: 1,
  activatedAt: state === "active" ? 0 : null,
  verifiableUntil: null,
  ...over,
});

/** The ring after a plan was written: what the store does, on plain data. */
function written(ring: readonly RingEntry[], plan: RingPlan, seq: number, now: number): RingEntry[] {
  if (plan.kind === "refused") return [...ring];
  let result = [...ring];
  for (const step of plan.steps) {
    if (step.kind === "create-next") result.push(entry(`k${seq}`, "next", { seq }));
    if (step.kind === "move") {
      result = result.map((key) =>
        key.kid === step.kid
          ? {
              ...key,
              state: step.to,
              verifiableUntil: step.verifiableUntil,
              activatedAt: step.to === "active" ? now : key.activatedAt,
            }
          : key,
      );
    }
  }
  return result;
}

test("an empty ring first publishes a key and signs with it only after every live gateway acknowledged it", () => {
  const first = written([], decideRing([], { kind: "tick" }, context()), 1, 0);
  assert.deepEqual(
    first.map((key) => key.state),
    ["next"],
  );
  assert.deepEqual(decideRing(first, { kind: "tick" }, context({ acknowledgedSeq: 0 })), { kind: "plan", steps: [] });
  const second = written(first, decideRing(first, { kind: "tick" }, context({ acknowledgedSeq: 1 })), 2, 0);
  assert.deepEqual(
    second.map((key) => key.state),
    ["active", "next"],
  );
});

test("a rotation is refused while a live gateway does not hold the next key, and names the sequence it waits for", () => {
  const ring = [entry("a", "active"), entry("b", "next", { seq: 7 })];
  assert.deepEqual(decideRing(ring, { kind: "rotate" }, context({ acknowledgedSeq: 6 })), {
    kind: "refused",
    code: "next-not-acknowledged",
    waitsForSeq: 7,
  });
  assert.equal(decideRing(ring, { kind: "rotate" }, context({ acknowledgedSeq: 7 })).kind, "plan");
});

test("a retiring key stays verifiable until the last token it signed has ended", () => {
  const ring = [entry("a", "active"), entry("b", "next")];
  const rotated = written(ring, decideRing(ring, { kind: "rotate" }, context({ now: 5_000 })), 2, 5_000);
  const until = 5_000 + 330_000;
  assert.equal(rotated.find((key) => key.kid === "a")?.verifiableUntil, until);
  const before = decideRing(rotated, { kind: "tick" }, context({ now: until - 1 }));
  assert.deepEqual(before, { kind: "plan", steps: [] });
  const after = decideRing(rotated, { kind: "tick" }, context({ now: until }));
  assert.deepEqual(after.kind === "plan" && after.steps[0], {
    kind: "move",
    kid: "a",
    to: "gone",
    verifiableUntil: until,
  });
});

test("killing the active key revokes it at once and never promotes a key that gateways do not hold", () => {
  const ring = [entry("a", "active"), entry("b", "next", { seq: 9 })];
  const plan = decideRing(ring, { kind: "kill", kid: "a" }, context({ acknowledgedSeq: 8 }));
  assert.deepEqual(plan.kind === "plan" && plan.steps.map((step) => step.kind), ["revoke", "move"]);
  const acknowledged = decideRing(ring, { kind: "kill", kid: "a" }, context({ acknowledgedSeq: 9 }));
  assert.deepEqual(
    written(ring, acknowledged, 10, 0).map((key) => `${key.kid}:${key.state}`),
    ["a:gone", "b:active", "k10:next"],
  );
  assert.equal(decideRing(ring, { kind: "kill", kid: "unknown" }, context()).kind, "refused");
});

test("whatever happens in whatever order, a ring has at most one active and one next key and signs only with an acknowledged one", () => {
  const step = fc.record({
    event: fc.oneof(
      fc.constant<RingEvent>({ kind: "tick" }),
      fc.constant<RingEvent>({ kind: "rotate" }),
      fc.integer({ min: 1, max: 12 }).map((n): RingEvent => ({ kind: "kill", kid: `k${n}` })),
    ),
    acknowledge: fc.boolean(),
    waitMs: fc.integer({ min: 0, max: 400_000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let ring: RingEntry[] = [];
      let now = 0;
      let seq = 0;
      let acknowledgedSeq = 0;
      for (const { event, acknowledge, waitMs } of steps) {
        now += waitMs;
        if (acknowledge) acknowledgedSeq = seq;
        const before = new Set(ring.filter((key) => key.state === "active").map((key) => key.kid));
        seq += 1;
        ring = written(
          ring,
          decideRing(ring, event, context({ now, acknowledgedSeq, rotateEveryMs: 600_000 })),
          seq,
          now,
        );
        const active = ring.filter((key) => key.state === "active");
        assert.ok(active.length <= 1);
        assert.ok(ring.filter((key) => key.state === "next").length <= 1);
        for (const key of active) assert.ok(before.has(key.kid) || key.seq <= acknowledgedSeq);
      }
    }),
    { seed: 7, numRuns: 200 },
  );
});
