import assert from "node:assert/strict";
import { test } from "node:test";
import { Deadlines, type Due } from "./deadlines.ts";

test("whoever is due is told, once per deadline, never early; whoever left is not", async () => {
  const deadlines = new Deadlines();
  const startedMs = performance.now();
  const told: [string, number][] = [];
  const done = Promise.withResolvers<void>();
  const due = (name: string, inMs: number): Due => ({
    dueAtMs: startedMs + inMs,
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
