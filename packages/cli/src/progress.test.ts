import assert from "node:assert/strict";
import { test } from "node:test";
import { showProgress } from "./progress.ts";

function watched(isTTY: boolean, { json = false, columns = 80 } = {}) {
  const written: string[] = [];
  const clock = { now: 0 };
  const output = { isTTY, columns, write: (text: string) => written.push(text) };
  return { written, clock, progress: showProgress("leaves", { json, output, now: () => clock.now }) };
}

test("on a terminal a bar redraws itself in place, at most ten times a second, and is taken away at the end", () => {
  const { written, clock, progress } = watched(true);
  for (clock.now = 0; clock.now < 1_000; clock.now += 10) progress.update(clock.now * 100, 200_000);
  assert.equal(written.length, 10);
  for (const text of written) {
    assert.match(text, /^\r\[#*\.*\] \d+ %, \d+ of 200000 leaves.*\u001b\[K$/);
    assert.ok(text.length <= 84, `${text.length}: it stays in one line of the terminal`);
  }
  assert.match(written[5] ?? "", /\[######\.+\] 25 %, 50000 of 200000 leaves, 100000\/s, 2 s left/);
  progress.end();
  assert.equal(written.at(-1), "\r\u001b[K");
  progress.end();
  assert.equal(written.length, 11);
});

test("on a narrow terminal the bar is cut to its line: one that wraps could not be drawn over", () => {
  const { written, clock, progress } = watched(true, { columns: 40 });
  clock.now = 100;
  progress.update(50_000, 200_000);
  assert.equal((written[0] ?? "").replace(/\r|\u001b\[K/g, "").length, 39);
});

test("elsewhere a plain line comes every ten seconds, without control characters, and none from a short run", () => {
  const { written, clock, progress } = watched(false);
  for (clock.now = 0; clock.now < 9_999; clock.now += 100) progress.update(clock.now, 100_000);
  assert.deepEqual(written, []);
  for (; clock.now < 31_000; clock.now += 100) progress.update(clock.now, 100_000);
  progress.end();
  assert.deepEqual(written, [
    "10 %, 10000 of 100000 leaves, 1000/s, 90 s left\n",
    "20 %, 20000 of 100000 leaves, 1000/s, 80 s left\n",
    "30 %, 30000 of 100000 leaves, 1000/s, 70 s left\n",
  ]);
});

test("beside --json there is nothing, terminal or not; more than was expected is said without a share", () => {
  for (const isTTY of [true, false]) {
    const { written, clock, progress } = watched(isTTY, { json: true });
    clock.now = 60_000;
    progress.update(5, 10);
    progress.end();
    assert.deepEqual(written, []);
  }
  const { written, clock, progress } = watched(false);
  clock.now = 10_000;
  progress.update(20, 10);
  assert.deepEqual(written, ["20 leaves, 2/s\n"]);
});
