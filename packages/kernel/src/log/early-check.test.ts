// What verification says of answers that went ahead of their records: over the log that a run left, whichever way it ended.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { EarlyCheck } from "./early-check.ts";
import { Log } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { sampleId, sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { verifyLogDirectory } from "./verify.ts";

const begin = 1_795_305_600_000;
const place = { at: begin + 5, tenant: "main", environment: "production", region: "eu", node: "gw-1" };
const leafOf = (parts: object) => ({ leaf: printLeaf({ ...place, ...parts } as Leaf) });
const buffered = leafOf({ t: "buffered", id: sampleId(7), upTo: 1_024 });
const settled = leafOf({ t: "settled", id: sampleId(8), early: 3 });
const crossing = { leaf: sampleLeaf("crossing", 1) };

/** One run after the other over one directory; `killed`: it ends without a word. */
function judge(runs: readonly (readonly { readonly leaf: Uint8Array }[])[], how: { readonly live?: boolean } = {}) {
  const disk = new LossyDisk({ random: () => 0.1 });
  let now = begin;
  let verifierKey = "";
  for (const leaves of runs) {
    const log = Log.open({
      ...{ disk, directory: "/log", identity: sampleIdentity, now: () => now++ },
      ...{ lowSpaceBytes: 0, reserveBytes: 0 },
    });
    log.append([...leaves]);
    verifierKey = printVerifierKey(sha256, log.origin, log.publicKey);
    log.close();
  }
  const { problems, tallies } = verifyLogDirectory("/log", { verifierKey, disk, ...how });
  return { problems: problems.map(({ message }) => message), early: tallies.early };
}

test("a promise that was ended leaves nothing to say but how many answers went ahead of their records", () => {
  const { problems, early } = judge([[buffered, crossing, settled], [crossing]]);
  assert.deepEqual(problems, []);
  assert.deepEqual(early, { promises: 1, settled: 3, crashes: 0, mayMiss: [] });
});

test("a run that died with its promise open is named, with how many crossings may be missing; the answer stays a yes", () => {
  const { problems, early } = judge([[buffered, crossing], [crossing]]);
  assert.deepEqual(problems, []);
  const [loss, ...more] = early.mayMiss;
  assert.deepEqual([early.crashes, more], [1, []]);
  assert.deepEqual([loss?.from, loss?.upTo], [place.at, 1_024]);
  assert.ok((loss?.until ?? 0) > begin);
});

test("a log that ends with a promise open says so, unless it is being written", () => {
  assert.equal(judge([[buffered, crossing]]).early.mayMiss[0]?.until, null);
  assert.deepEqual(judge([[buffered, crossing]], { live: true }).early.mayMiss, []);
});

test("attack: a promise is given twice, or ended without having been given, to hide which run died", () => {
  assert.match(judge([[buffered, buffered, settled]]).problems.join(), /leaf 3 promises to answer early, which/);
  assert.match(judge([[settled]]).problems.join(), /leaf 2 ends a promise to answer early that nobody gave/);
  assert.match(judge([[buffered], [settled]]).problems.join(), /that nobody gave/);
});

test("read from its middle on, a log may end a promise that was given before", () => {
  const check = new EarlyCheck({ isFromBeginning: false });
  const end = { ...place, t: "settled", id: sampleId(8), early: 3 } as const;
  assert.equal(check.take(end), null);
  assert.match(check.take(end) ?? "", /nobody gave/);
});

test("a settled leaf still fits on a disk that is nearly full, a promise does not", () => {
  const disk = new LossyDisk({ random: () => 0.1, capacityBytes: 1_000_000 });
  const log = Log.open({
    ...{ disk, directory: "/log", identity: sampleIdentity, now: () => begin },
    ...{ lowSpaceBytes: 2_000_000, reserveBytes: 0 },
  });
  assert.deepEqual(log.append([buffered, settled]).refused, [{ place: 0, code: "disk-full" }]);
});
