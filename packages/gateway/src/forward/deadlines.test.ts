import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Deadlines, type Due } from "./deadlines.ts";

test("whoever is due is told, once per deadline, never early; whoever left is not", async () => {
  const deadlines = new Deadlines();
  const startedMs = performance.now();
  const told: [string, number][] = [];
  const done = Promise.withResolvers<void>();
  const due = (name: string, inMs: number): Due => ({
    dueAtMs: startedMs + inMs,
    place: -1,
    overdue(nowMs) {
      told.push([name, nowMs - startedMs]);
      this.dueAtMs = Number.POSITIVE_INFINITY;
      if (name === "last") done.resolve();
    },
  });
  const left = due("left", 40);
  const never = due("never", Number.POSITIVE_INFINITY);
  const watched = [due("first", 30), left, never, due("last", 120)];
  for (const one of watched) deadlines.watch(one);
  deadlines.end(left);
  await done.promise;
  // Whoever is still watched keeps the timer, and with it this process.
  for (const one of watched) deadlines.end(one);
  assert.deepEqual(
    told.map(([name]) => name),
    ["first", "last"],
  );
  for (const [at, [name, ms]] of told.entries()) assert.ok(ms >= (at === 0 ? 30 : 120), `${name} after ${ms} ms`);
});

test("a process that stood still past a deadline reads what came meanwhile before it says who is late", async () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  const due = (name: string, inMs: number): Due => ({
    dueAtMs: performance.now() + inMs,
    place: -1,
    overdue() {
      told.push(name);
      deadlines.end(this);
    },
  });
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const bound = server.address();
  assert.ok(typeof bound === "object" && bound !== null);
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const socket = connect(bound.port, "127.0.0.1");
  await new Promise<void>((connected) => socket.once("connect", connected));
  const provider = await accepted;
  const patienceMs = 500;
  const [answered, renewed, silent] = [
    due("answered", patienceMs),
    due("renewed", patienceMs),
    due("silent", patienceMs),
  ];
  for (const one of [answered, renewed, silent]) deadlines.watch(one);
  const read = Promise.withResolvers<void>();
  socket.once("data", () => {
    told.push("answer");
    deadlines.end(answered);
    renewed.dueAtMs = Number.POSITIVE_INFINITY;
    read.resolve();
  });
  // Behind this turn timers come first, then what has arrived.
  await new Promise(setImmediate);
  provider.end("answer");
  for (const from = performance.now(); performance.now() - from < 2 * patienceMs; );
  await read.promise;
  while (silent.place >= 0) await new Promise(setImmediate);
  deadlines.end(renewed);
  server.close();
  assert.deepEqual(told, ["answer", "silent"]);
});

test("the first of several that leaves takes nobody with it, and leaving twice is leaving once", () => {
  const deadlines = new Deadlines();
  const due = () => ({ dueAtMs: Number.POSITIVE_INFINITY, place: -1, overdue() {} });
  const [a, b, c] = [due(), due(), due()];
  for (const one of [a, b, c]) deadlines.watch(one);
  deadlines.end(a);
  deadlines.end(a);
  deadlines.watch(b);
  assert.deepEqual([a.place, b.place, c.place], [-1, 1, 0]);
  deadlines.end(c);
  assert.deepEqual([b.place, c.place], [0, -1]);
  deadlines.end(b);
  assert.equal(b.place, -1);
});

test("crossings that have ended are garbage at once: they do not grow old with those that run", () => {
  setFlagsFromString("--expose-gc");
  const collect: (how: { type: "minor" }) => void = runInNewContext("gc");
  const oldBytes = () =>
    getHeapSpaceStatistics()
      .filter(({ space_name }) => space_name === "old_space")
      .reduce((sum, space) => sum + space.space_used_size, 0);
  const deadlines = new Deadlines();
  const fresh = () => ({ dueAtMs: Number.POSITIVE_INFINITY, place: -1, overdue() {}, held: new Array(100).fill(0.5) });
  const running = Array.from({ length: 64 }, fresh);
  for (const one of running) deadlines.watch(one);
  const turn = () => {
    for (let n = 0; n < 2_000; n++) {
      deadlines.end(running[n % 64] ?? fresh());
      const one = fresh();
      running[n % 64] = one;
      deadlines.watch(one);
    }
    collect({ type: "minor" });
  };
  // A quiet while, in which what is watched grows old itself.
  for (let n = 0; n < 5; n++) collect({ type: "minor" });
  for (let n = 0; n < 5; n++) turn();
  const before = oldBytes();
  for (let n = 0; n < 20; n++) turn();
  const grownBytes = oldBytes() - before;
  for (const one of running) deadlines.end(one);
  // All 40,000 together hold 32 MB.
  assert.ok(grownBytes < 4_000_000, `${grownBytes} bytes grew old`);
});
