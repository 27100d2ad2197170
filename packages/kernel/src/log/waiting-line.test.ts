import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { WaitingLine } from "./waiting-line.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

test("what was put in comes out in its order, however often the line empties and moves up", () => {
  const line = new WaitingLine<{ readonly n: number }>();
  let put = 0;
  let taken = 0;
  const take = (count: number): void => {
    for (let i = 0; i < count; i++) assert.equal(line.shift()?.n, taken++);
  };
  for (const [more, fewer] of [
    [3, 3],
    [5, 4],
    [40_000, 20_000],
    [10, 20_011],
    [1, 1],
  ] as const) {
    for (let i = 0; i < more; i++) line.push({ n: put++ });
    take(fewer);
    assert.equal(line.length, put - taken);
  }
  assert.equal(line.length, 0);
  assert.equal(line.shift(), undefined);
  line.push({ n: put });
  assert.equal(line.shift()?.n, put);
});

test("who was taken is not kept while others wait", async () => {
  const line = new WaitingLine<object>();
  const taken = (() => {
    const first = { crossing: "with all that belongs to it" };
    line.push(first);
    line.push({});
    assert.equal(line.shift(), first);
    return new WeakRef<object>(first);
  })();
  // A weak reference holds what it names until the turn is over.
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  assert.equal(line.length, 1);
  assert.equal(taken.deref(), undefined);
});
