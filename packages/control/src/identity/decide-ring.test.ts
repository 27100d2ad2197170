import assert from "node:assert/strict";
import { test } from "node:test";
import { isLegacyAlgorithm } from "@sallyport/protocol/token/jws.ts";
import fc from "fast-check";
import { decideRing, type RingContext, type RingEntry, type RingEvent, type RingPlan } from "./decide-ring.ts";

const context = (over: Partial<RingContext> = {}): RingContext => ({
  now: 1_000_000,
  acknowledgedSeq: Number.POSITIVE_INFINITY,
  retireAfterMs: 330_000,
  alg: "ES256",
  legacy: [],
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
    if (step.kind === "create-next")
      result.push(entry(`${isLegacyAlgorithm(step.alg) ? step.alg : "k"}${seq}`, "next", { seq, alg: step.alg }));
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

test("a key is rotated at its age without being asked, and not before", () => {
  const ring = [entry("a", "active", { activatedAt: 1_000 }), entry("b", "next")];
  const at = (now: number) => decideRing(ring, { kind: "tick" }, context({ now, rotateEveryMs: 500_000 }));
  assert.deepEqual(at(500_999), { kind: "plan", steps: [] });
  const due = at(501_000);
  assert.deepEqual(
    written(ring, due, 2, 501_000).map(({ kid, state }) => `${kid}:${state}`),
    ["a:retiring", "b:active", "k2:next"],
  );
  const held = decideRing(
    ring,
    { kind: "tick" },
    context({ now: 501_000, rotateEveryMs: 500_000, acknowledgedSeq: 0 }),
  );
  assert.deepEqual(held, { kind: "plan", steps: [] }, "age is no reason to sign with a key that gateways do not hold");
});

test("another algorithm replaces the next key at once, signs once gateways hold it, and never ends the active key early", () => {
  const eddsa = (over: Partial<RingContext> = {}) => context({ alg: "EdDSA", ...over });
  const ring = [entry("a", "active"), entry("b", "next", { seq: 1 })];
  const replaced = written(ring, decideRing(ring, { kind: "tick" }, eddsa()), 2, 0);
  assert.deepEqual(
    replaced.map(({ kid, state, alg }) => `${kid}:${state}:${alg}`),
    ["a:active:ES256", "b:gone:ES256", "k2:next:EdDSA"],
  );
  assert.deepEqual(decideRing(replaced, { kind: "tick" }, eddsa({ acknowledgedSeq: 1 })), { kind: "plan", steps: [] });
  const moved = written(replaced, decideRing(replaced, { kind: "tick" }, eddsa({ acknowledgedSeq: 2 })), 3, 0);
  assert.deepEqual(
    moved.filter(({ state }) => state !== "gone").map(({ kid, state, alg }) => `${kid}:${state}:${alg}`),
    ["a:retiring:ES256", "k2:active:EdDSA", "k3:next:EdDSA"],
  );
  assert.deepEqual(decideRing(ring, { kind: "rotate" }, eddsa()), {
    kind: "refused",
    code: "next-not-acknowledged",
    waitsForSeq: 2,
  });
});

test("a kill promotes the acknowledged next key even when its algorithm is on its way out: signing goes on", () => {
  const ring = [entry("a", "active"), entry("b", "next")];
  const killed = written(ring, decideRing(ring, { kind: "kill", kid: "a" }, context({ alg: "EdDSA" })), 2, 0);
  assert.deepEqual(
    killed.map(({ kid, state, alg }) => `${kid}:${state}:${alg}`),
    ["a:gone:ES256", "b:active:ES256", "k2:next:EdDSA"],
  );
});

test("whatever happens in whatever order, a ring has at most one active and one next key, signs only with an acknowledged one, keeps a retiring one for every token it signed, and settles on the algorithm last asked for", () => {
  const algorithm = fc.constantFrom<RingContext["alg"]>("ES256", "EdDSA");
  const step = fc.record({
    event: fc.oneof(
      fc.constant<RingEvent>({ kind: "tick" }),
      fc.constant<RingEvent>({ kind: "rotate" }),
      fc.integer({ min: 1, max: 12 }).map((n): RingEvent => ({ kind: "kill", kid: `k${n}` })),
    ),
    acknowledge: fc.boolean(),
    waitMs: fc.integer({ min: 0, max: 400_000 }),
    alg: algorithm,
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), algorithm, (steps, last) => {
      let ring: RingEntry[] = [];
      let now = 0;
      let seq = 0;
      let acknowledgedSeq = 0;
      const signedAt = new Map<string, number>();
      const killed = new Set<string>();
      const take = (event: RingEvent, alg: RingContext["alg"]) => {
        const before = new Map(ring.map((key) => [key.kid, key.state]));
        seq += 1;
        const plan = decideRing(ring, event, context({ now, acknowledgedSeq, rotateEveryMs: 600_000, alg }));
        if (event.kind === "kill") killed.add(event.kid);
        ring = written(ring, plan, seq, now);
        const active = ring.filter((key) => key.state === "active");
        assert.ok(active.length <= 1);
        assert.ok(ring.filter((key) => key.state === "next").length <= 1);
        for (const key of active) {
          assert.ok(before.get(key.kid) === "active" || key.seq <= acknowledgedSeq);
          signedAt.set(key.kid, now);
        }
        for (const key of ring) {
          const was = before.get(key.kid);
          // Nothing comes back, and nothing that signed stops signing without a successor unless it was killed.
          if (was === "gone" || was === "retiring") assert.ok(key.state === "gone" || key.state === "retiring");
          const isOver = key.state === "gone" && !killed.has(key.kid);
          if (isOver)
            assert.ok(
              now >= (signedAt.get(key.kid) ?? Number.NEGATIVE_INFINITY) + 330_000,
              "verifiable to its last token's end",
            );
        }
      };
      for (const { event, acknowledge, waitMs, alg } of steps) {
        // It signed until just now.
        for (const key of ring) if (key.state === "active") signedAt.set(key.kid, now + waitMs);
        now += waitMs;
        if (acknowledge) acknowledgedSeq = seq;
        take(event, alg);
      }
      for (let tick = 0; tick < 4; tick += 1) {
        acknowledgedSeq = seq;
        take({ kind: "tick" }, last);
      }
      assert.deepEqual(
        ["active", "next"].map((state) => ring.find((key) => key.state === state)?.alg),
        [last, last],
      );
    }),
    { seed: 7, numRuns: 300 },
  );
});

test("keys of a legacy algorithm are made, acknowledged, rotated and retired by the same rules, among themselves, and go when no audience wants them", () => {
  const wanting = (over: Partial<RingContext> = {}) => context({ legacy: ["RS256"], ...over });
  const shown = (ring: readonly RingEntry[]) =>
    ring.map(({ kid, state, alg }) => `${kid}:${state}:${alg}`).filter((text) => !text.includes(":gone:"));
  let ring = [entry("a", "active"), entry("b", "next")];
  ring = written(ring, decideRing(ring, { kind: "tick" }, wanting({ acknowledgedSeq: 1 })), 2, 0);
  assert.deepEqual(shown(ring), ["a:active:ES256", "b:next:ES256", "RS2562:next:RS256"]);
  assert.deepEqual(decideRing(ring, { kind: "tick" }, wanting({ acknowledgedSeq: 1 })), { kind: "plan", steps: [] });
  assert.equal(decideRing(ring, { kind: "rotate" }, wanting({ acknowledgedSeq: 1 })).kind, "refused");
  ring = written(ring, decideRing(ring, { kind: "tick" }, wanting({ acknowledgedSeq: 2 })), 3, 0);
  assert.deepEqual(shown(ring).slice(2), ["RS2562:active:RS256", "RS2563:next:RS256"]);
  const rotated = written(ring, decideRing(ring, { kind: "rotate" }, wanting({ acknowledgedSeq: 3 })), 4, 0);
  assert.deepEqual(shown(rotated), [
    ...["a:retiring:ES256", "b:active:ES256", "RS2562:retiring:RS256", "RS2563:active:RS256"],
    ...["k4:next:ES256", "RS2564:next:RS256"],
  ]);
  const killed = written(
    ring,
    decideRing(ring, { kind: "kill", kid: "RS2562" }, wanting({ acknowledgedSeq: 3 })),
    4,
    0,
  );
  assert.deepEqual(shown(killed), [...["a:active:ES256", "b:next:ES256", "RS2563:active:RS256", "RS2564:next:RS256"]]);
  assert.equal(decideRing(ring, { kind: "kill", kid: "other" }, wanting()).kind, "refused");
  ring = written(ring, decideRing(ring, { kind: "tick" }, context({ now: 1_000 })), 4, 1_000);
  assert.deepEqual(shown(ring), ["a:active:ES256", "b:next:ES256", "RS2562:retiring:RS256"]);
  const late = { kind: "kill", kid: "RS2562" } as const;
  assert.deepEqual(shown(written(ring, decideRing(ring, late, context()), 5, 2_000)), [
    "a:active:ES256",
    "b:next:ES256",
  ]);
  ring = written(ring, decideRing(ring, { kind: "tick" }, context({ now: 331_001 })), 5, 331_001);
  assert.deepEqual(shown(ring), ["a:active:ES256", "b:next:ES256"]);
});
