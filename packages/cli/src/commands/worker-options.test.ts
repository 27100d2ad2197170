// How many worker threads a gateway has, and what does not go with several: docs/workers.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandEnd } from "../exit.ts";
import { type RawWorkerOptions, readWorkers, workersMax } from "./worker-options.ts";

const raw = (workers: string, more: Partial<RawWorkerOptions> = {}): RawWorkerOptions => ({
  role: "gateway",
  workers,
  ...more,
});
const refuses = (act: () => unknown, says: RegExp) =>
  assert.throws(act, (end: unknown) => end instanceof CommandEnd && end.exit === 2 && says.test(end.message));

test("a number is taken as it is, and `auto` is what the machine has, within the bound", () => {
  assert.equal(readWorkers(raw("1"), 8, "linux"), 1);
  assert.equal(readWorkers(raw("3"), 8, "linux"), 3);
  assert.equal(readWorkers(raw("auto"), 8, "linux"), 8);
  assert.equal(readWorkers(raw("auto"), 500, "linux"), workersMax);
});

test("what is no number of threads is refused", () => {
  for (const text of ["0", "-1", "65", "2.5", "1e1", "", "all", "0x2"])
    refuses(() => readWorkers(raw(text), 8, "linux"), /is no number of threads/);
});

test("one worker goes with everything, everywhere", () => {
  assert.equal(readWorkers(raw("1", { role: "control" }), 8, "darwin"), 1);
  assert.equal(readWorkers(raw("auto", { role: "control" }), 1, "darwin"), 1);
});

test("several do not go with control alone and with another kernel: the start is refused by name", () => {
  refuses(() => readWorkers(raw("2", { role: "control" }), 8, "linux"), /--workers is for gateways/);
  refuses(() => readWorkers(raw("2"), 8, "darwin"), /darwin/);
});
