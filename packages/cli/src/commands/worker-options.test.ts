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
  const all = { geoFile: "g.mmdb", limitsStore: "X", traces: "https://t.example" };
  assert.equal(readWorkers(raw("1", { role: "control", ...all }), 8, "darwin"), 1);
  assert.equal(readWorkers(raw("auto", { role: "control", ...all }), 1, "darwin"), 1);
});

test("several do not go with control alone, with another kernel, and with what they do not share yet: the start is refused by name", () => {
  refuses(() => readWorkers(raw("2", { role: "control" }), 8, "linux"), /--workers is for gateways/);
  refuses(() => readWorkers(raw("2"), 8, "darwin"), /darwin/);
  refuses(() => readWorkers(raw("auto", { geoFile: "g.mmdb" }), 8, "linux"), /--geo-file does not go with several/);
  refuses(() => readWorkers(raw("2", { limitsStore: "X" }), 8, "linux"), /--limits-store does not go with several/);
  refuses(() => readWorkers(raw("2", { traces: "https://t" }), 8, "linux"), /--traces does not go with several/);
});
