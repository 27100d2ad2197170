import assert from "node:assert/strict";
import { test } from "node:test";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { peekLeaf, printLeafText } from "@sallyport/protocol/audit/leaf-format.ts";
import { windowOfId } from "@sallyport/protocol/audit/tally.ts";
import { sampleLeaf } from "./sample-leaves.ts";
import { countLeaf, TallyCheck } from "./tally-check.ts";

const begin = 1_795_305_600_000;
const place = { tenant: "main", environment: "production", region: "eu", node: "gw-1" };
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

function idAt(ms: number, n: number): string {
  let time = "";
  for (let i = 0, rest = ms; i < 10; i++, rest = Math.floor(rest / 32)) time = alphabet.charAt(rest % 32) + time;
  return `gw-1-${time}${String(n).padStart(16, "0")}`;
}

const template = JSON.parse(Buffer.from(sampleLeaf("crossing", 1)).toString());
const intent = JSON.parse(Buffer.from(sampleLeaf("intent", 1)).toString());
const crossing = (ms: number, n: number): Leaf => ({ ...withoutVersion(template), id: idAt(ms, n) }) as Leaf;
const intended = (ms: number, n: number): Leaf => ({ ...withoutVersion(intent), id: idAt(ms, n) }) as Leaf;
const withoutVersion = ({ v: _v, ...leaf }: Record<string, unknown>) => leaf;
const denials = (ms: number, count: number): Leaf => ({
  t: "denials",
  id: idAt(ms, 7),
  at: ms,
  ...place,
  code: "token-expired",
  prefix: "2026:abcdefghijklmnopqrstuQ",
  count,
  windowMs: 10_000,
});
type Tally = Extract<Leaf, { t: "tally" }>;
const tally = (changes: Partial<Tally>): Leaf => ({
  t: "tally",
  id: idAt(begin + 20_000, 9),
  at: begin + 20_000,
  ...place,
  from: begin,
  to: begin + 20_000,
  seen: 0,
  crossings: 0,
  intents: 0,
  counted: 0,
  refused: 0,
  unread: 0,
  closed: "time",
  ...changes,
});
const start: Leaf = { t: "start", at: begin + 60_000, ...place, role: "gateway", version: "0.1.0", recovered: 0 };

function judge(leaves: readonly Leaf[], options: { readonly live?: boolean; readonly knownFrom?: number } = {}) {
  const check = new TallyCheck(options.knownFrom);
  const wrong = leaves.flatMap((leaf) => {
    const text = printLeafText(leaf);
    const head = peekLeaf(text);
    return head === null ? ["no leaf"] : countLeaf(check, head, text);
  });
  check.end(options.live === true);
  return { wrong, counts: check.counts };
}

const whole = [
  crossing(begin, 1),
  crossing(begin + 9_999, 2),
  denials(begin + 5_000, 4),
  intended(begin + 10_000, 3),
  // Of the next window, and already recorded.
  crossing(begin + 20_000, 4),
  tally({ seen: 8, crossings: 2, intents: 1, counted: 4, refused: 1, unread: 3 }),
  tally({ from: begin + 20_000, to: begin + 30_000, seen: 1, crossings: 1, closed: "stop" }),
];

test("the window of an id is the ten seconds of its ULID", () => {
  assert.equal(windowOfId(idAt(begin + 9_999, 1)), begin / 10_000);
  assert.equal(windowOfId(idAt(begin + 10_000, 1)), begin / 10_000 + 1);
  assert.equal(windowOfId("gw-1"), null);
});

test("leaves that are all there satisfy the tallies of their windows, in whatever order they came", () => {
  const { wrong, counts } = judge(whole);
  assert.deepEqual(wrong, []);
  assert.deepEqual(counts, {
    tallies: 2,
    seen: 9,
    refused: 1,
    unread: 3,
    uncounted: 0,
    crashes: 0,
    crashWindows: [],
    early: { promises: 0, settled: 0, crashes: 0, mayMiss: [] },
  });
});

test("attack: a gateway that skips the record of one crossing, of one intent or of counted denials is caught by its listener's count", () => {
  for (const [skipped, word] of [
    [0, "1 are missing"],
    [2, "4 are missing"],
    [3, "1 are missing"],
    [4, "1 are missing"],
  ] as const) {
    const { wrong } = judge(whole.filter((_, i) => i !== skipped));
    assert.equal(wrong.length, 1);
    assert.match(wrong[0] ?? "", new RegExp(word));
  }
});

test("attack: a crossing seen and never recorded is missing although recorder and log agree", () => {
  const { wrong } = judge([crossing(begin, 1), tally({ seen: 2, crossings: 1 })]);
  assert.match(wrong[0] ?? "", /2 crossings were seen .* 1 never recorded/);
});

test("attack: a leaf nobody saw, one slipped in behind its tally, and one before all tallies are too many", () => {
  assert.match(judge([crossing(begin, 1), tally({})]).wrong.join(), /1 are too many/);
  assert.match(judge([tally({}), crossing(begin, 1)]).wrong.join(), /a window whose tally stands before it/);
  assert.match(judge([crossing(begin - 10_000, 1), tally({})]).wrong.join(), /1 crossings before it are in no tally/);
  assert.match(judge([crossing(begin, 1), tally({ seen: 0, crossings: 1 })]).wrong.join(), /of 0 that were seen/);
});

test("attack: a tally left out, or its windows shifted, breaks the row of windows", () => {
  const next = tally({ from: begin + 30_000, to: begin + 40_000 });
  assert.match(judge([tally({}), next]).wrong.join(), /the one before it ended at/);
  assert.match(judge([tally({ from: begin + 1 })]).wrong.join(), /no whole windows/);
  assert.match(judge([tally({ to: begin })]).wrong.join(), /no whole windows/);
});

test("a run that ends without a stop has a crash window, which is said and is no problem; after a stop there is none", () => {
  const crashed = judge([tally({}), crossing(begin + 20_000, 1), start, tally({ closed: "stop" })]);
  assert.deepEqual(crashed.wrong, []);
  assert.deepEqual(crashed.counts.crashWindows, [{ from: begin + 20_000, until: start.at, leaves: 1 }]);
  assert.equal(judge([tally({ closed: "stop" }), start]).counts.crashes, 0);
  assert.deepEqual(judge([tally({})]).counts.crashWindows, [{ from: begin + 20_000, until: null, leaves: 0 }]);
  assert.equal(judge([tally({})], { live: true }).counts.crashes, 0);
});

test("a log of a version without tallies is said to be uncounted", () => {
  const { wrong, counts } = judge([start, crossing(begin, 1), intended(begin, 2), start]);
  assert.deepEqual(wrong, []);
  assert.equal(counts.uncounted, 2);
  assert.equal(counts.crashes, 0);
});

test("a reader that begins in the middle judges only windows it has read from their beginning", () => {
  const later = tally({ from: begin + 20_000, to: begin + 30_000, seen: 2, crossings: 2 });
  const leaves = [tally({ seen: 9, crossings: 9 }), crossing(begin + 20_000, 4), later];
  assert.deepEqual(judge(leaves, { knownFrom: begin + 25_000 }).wrong, []);
  assert.match(judge(leaves, { knownFrom: begin + 5_000 }).wrong.join(), /1 are missing/);
});
