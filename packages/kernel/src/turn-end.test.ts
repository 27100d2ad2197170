import assert from "node:assert/strict";
import { test } from "node:test";
import { TurnEnd } from "./turn-end.ts";

test("work of one turn runs at its end, in the order it came in, and all of it before anybody goes on", async () => {
  const turnEnd = new TurnEnd();
  const seen: string[] = [];
  const both = ["a", "b"].map(async (name) => {
    const given = await turnEnd.run(() => {
      seen.push(`work ${name}`);
      return name;
    });
    seen.push(`on with ${given}`);
  });
  seen.push("rest of the turn");
  await Promise.all(both);
  assert.deepEqual(seen, ["rest of the turn", "work a", "work b", "on with a", "on with b"]);
});

test("work that throws ends its own crossing and no other", async () => {
  const turnEnd = new TurnEnd();
  const outcomes = await Promise.allSettled([
    turnEnd.run(() => 1),
    turnEnd.run(() => {
      throw new Error("a bug");
    }),
    turnEnd.run(() => 3),
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
});

test("work that is handed in by work waits for the turn after", async () => {
  const turnEnd = new TurnEnd();
  const seen: string[] = [];
  let later: Promise<unknown> | undefined;
  await turnEnd.run(() => {
    later = turnEnd.run(() => seen.push("handed in"));
    seen.push("first");
  });
  assert.deepEqual(seen, ["first"]);
  await later;
  assert.deepEqual(seen, ["first", "handed in"]);
});

test("work that waits keeps only who handed it in", async () => {
  const turnEnd = new TurnEnd();
  const { promise, resolve } = Promise.withResolvers<string>();
  const slow = turnEnd.run(() => promise);
  assert.equal(await turnEnd.run(() => "quick"), "quick");
  resolve("slow");
  assert.equal(await slow, "slow");
});
