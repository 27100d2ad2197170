import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { RunningDetector, Signal } from "./detector.ts";
import { ruleById, rules } from "./rules.ts";
import { countedDenials, deniedCrossing, originName, pseudonym, refusedToken } from "./watch.test-support.ts";

function running(id: string): {
  readonly see: (...leaves: Leaf[]) => readonly Signal[];
  readonly detector: RunningDetector;
} {
  const detector = ruleById(id)?.run() ?? assert.fail(`there is a rule ${id}`);
  let index = 0;
  const see = (...leaves: Leaf[]) =>
    leaves.flatMap((leaf) => detector.step({ origin: originName("gw-1"), index: index++, leaf }));
  return { see, detector };
}
const minuteMs = 60_000;

test("the table of docs/findings.md is the rules of the code, with every code they look for", () => {
  const page = readFileSync(new URL("../../../../docs/findings.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (\w+) \| (.+) \| .+ \|$/gm)].map(([, ...row]) => row);
  assert.deepEqual(
    rows.map(([id, severity]) => [id, severity]),
    rules.map(({ id, severity }) => [id, severity]),
  );
  const codes = [...(rows.find(([id]) => id === "scope-escalation")?.[2] ?? "").matchAll(/`([a-z-]+)`/g)];
  for (const [, code = ""] of codes) {
    const { see } = running("scope-escalation");
    const leaves = [0, 1, 2, 3, 4].map((after) => refusedToken(code, 1, after));
    assert.equal(see(...leaves).length, 1, code);
  }
  assert.equal(codes.length, 8);
});

test("attack: a token for another system, shown once, is a signal about whoever is known best", () => {
  const { see } = running("token-audience");
  const code = "token-audience";
  const about = [
    deniedCrossing({ code, caller: 1, token: 2, address: 3 }),
    deniedCrossing({ code, token: 2, address: 3 }),
    deniedCrossing({ code, address: 3 }),
    deniedCrossing({ code }),
    deniedCrossing({ code, caller: 4, mode: "observe" }),
    refusedToken("subject-token-audience", 5),
    countedDenials(code, 6, 40),
  ].flatMap((leaf) => see(leaf).map(({ subject, count }) => [subject.kind, subject.name, count]));
  assert.deepEqual(about, [
    ["caller", pseudonym(1), 1],
    ["token", pseudonym(2), 1],
    ["address", pseudonym(3), 1],
    ["environment", "production", 1],
    ["caller", pseudonym(4), 1],
    ["client", pseudonym(5), 1],
    ["network", pseudonym(6), 40],
  ]);
  const other = ["token-expired", "token-issuer", "not-granted", "policy-denied"] as const;
  assert.deepEqual(see(...other.map((near) => deniedCrossing({ code: near, caller: 1 }))), []);
});

test("attack: a caller tries operations it was not granted: four times within ten minutes are a slip, the fifth is a signal with all of them", () => {
  const { see } = running("scope-escalation");
  const tries = (...after: number[]) =>
    after.map((ms) => deniedCrossing({ code: "not-granted", caller: 1, after: ms * minuteMs }));
  assert.deepEqual(see(...tries(0, 1, 2, 3)), []);
  assert.deepEqual(
    see(deniedCrossing({ code: "scope-missing", caller: 2, after: 4 * minuteMs })),
    [],
    "another caller",
  );
  const [signal, ...more] = see(...tries(10));
  assert.deepEqual(more, []);
  assert.deepEqual([signal?.count, signal?.evidence.map(({ index }) => index)], [5, [0, 1, 2, 3, 5]]);
  assert.deepEqual(
    see(...tries(11)).map(({ count }) => count),
    [1],
    "each further one counts",
  );
  assert.deepEqual(see(...tries(22)), [], "after ten minutes without any it begins again");
});

test("slow tries do not add up, and neither do those of observe mode, where grants are still being found", () => {
  const { see } = running("scope-escalation");
  const slow = Array.from({ length: 20 }, (_, i) =>
    deniedCrossing({ code: "not-granted", caller: 1, after: i * 3 * minuteMs }),
  );
  assert.deepEqual(see(...slow), []);
  const observed = Array.from({ length: 20 }, () =>
    deniedCrossing({ code: "not-granted", caller: 2, mode: "observe" }),
  );
  assert.deepEqual(see(...observed), []);
});

test("attack: a flood that is only counted is a signal as well: the eight written out do not hide the rest", () => {
  const { see } = running("scope-escalation");
  assert.deepEqual(see(countedDenials("not-granted", 1, 4)), []);
  assert.deepEqual(
    see(countedDenials("not-granted", 2, 5_000)).map(({ count }) => count),
    [5_000],
  );
});

test("attack: what is used a second time is a signal: proof, assertion, code, device code, refresh token", () => {
  const { see } = running("replay");
  assert.equal(see(deniedCrossing({ code: "dpop-replayed", caller: 1 })).length, 1);
  for (const code of ["dpop-replayed", "assertion-replayed", "code-reused", "device-reused", "refresh-reused"])
    assert.deepEqual(
      see(refusedToken(code, 2)).map(({ facts }) => facts),
      [{ code }],
    );
  // What every first request of an honest client looks like.
  assert.deepEqual(see(refusedToken("dpop-nonce", 3), refusedToken("assertion-expired", 3)), []);
});

test("attack: more subjects than are counted at once push out the one heard of least recently, and no one that goes on trying", () => {
  const { see } = running("scope-escalation");
  const wrong = (caller: number, after: number) => deniedCrossing({ code: "not-granted", caller, after });
  see(wrong(0, 0), wrong(0, 1), wrong(1, 2), wrong(1, 3), wrong(1, 4), wrong(1, 5));
  for (let caller = 10; caller < 10 + 4_095; caller += 1) see(wrong(caller, 6));
  assert.equal(see(wrong(1, 7)).length, 1, "heard of within the last 4,096");
  assert.deepEqual(see(wrong(0, 8), wrong(0, 9), wrong(0, 10)), [], "pushed out: its first two are forgotten");
});

test("a state that was saved goes on where it was; a text that is none changes nothing", () => {
  const first = running("scope-escalation");
  const wrong = (after: number) => deniedCrossing({ code: "not-granted", caller: 1, after });
  first.see(wrong(0), wrong(1), wrong(2), wrong(3));
  const second = running("scope-escalation");
  assert.equal(second.detector.load(first.detector.save()), true);
  assert.equal(second.detector.load("{"), false);
  assert.equal(second.see(wrong(4)).length, 1);
});
