import assert from "node:assert/strict";
import { test } from "node:test";
import { Log } from "./log.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { sampleId, sampleLeaf } from "./sample-leaves.ts";

const identity = {
  tenant: "main",
  environment: "production",
  region: "eu",
  node: "gw-1",
  role: "gateway",
  version: "0.1.0",
} as const;
test("a log reopens with everything it acknowledged and finds it by id", () => {
  const disk = new LossyDisk({ random: () => 0.1 });
  const options = {
    disk,
    directory: "/log",
    identity,
    now: () => 1_795_305_600_000,
    reserveBytes: 1000,
    lowSpaceBytes: 0,
    segmentBytesMax: 4000,
  };
  let log = Log.open(options);
  for (let i = 0; i < 600; i++) log.append([{ leaf: sampleLeaf("crossing", i) }]);
  assert.equal(log.size, 602);
  assert.equal(log.find(sampleId(17)).length, 1);
  log.close();
  log = Log.open(options);
  assert.equal(log.size, 603);
  assert.equal(log.find(sampleId(17)).length, 1);
  disk.crash();
  log = Log.open(options);
  assert.equal(log.size, 604);
});
