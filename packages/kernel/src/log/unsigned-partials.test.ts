// What a checkpoint that the power cut short had staged must not stand beside the tiles that are made later.
import assert from "node:assert/strict";
import { test } from "node:test";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { tilesBetween } from "@sallyport/protocol/audit/tiles.ts";
import { sha256 } from "./log-crypto.ts";
import type { LossyDisk } from "./lossy-disk.ts";
import { sampleLeaf } from "./sample-leaves.ts";
import { key, lossyLog, origin } from "./sample-log.test-support.ts";
import { verifyLogDirectory } from "./verify.ts";

const crossing = (n: number) => ({ leaf: sampleLeaf("crossing", n) });
const verifierKey = printVerifierKey(sha256, origin, key.publicKey);
const problemsOf = (disk: LossyDisk) =>
  verifyLogDirectory("/log", { verifierKey, disk }).problems.map(({ file, message }) => `${file}: ${message}`);

/** A torn partial form of the second tile and bundle, durable, of a size that nobody signed; the tree has grown past it. */
function tornBehind(records: number, random = () => 0.1) {
  const made = lossyLog({}, { random });
  const log = made.open();
  log.append([crossing(0)]);
  log.checkpoint();
  for (let n = 1; n < records; n += 50) log.append(Array.from({ length: 50 }, (_, i) => crossing(n + i)));
  made.disk.crash();
  for (const name of ["0", "entries"]) {
    const folder = `/log/2026/tile/${name}/001.p`;
    made.disk.makeDirectory(folder);
    const file = made.disk.open(`${folder}/40`, "write");
    file.write(0, Buffer.alloc(9, 7));
    file.sync();
    made.disk.syncDirectory(folder);
    made.disk.syncDirectory(`/log/2026/tile/${name}`);
  }
  return made;
}

test("a torn tile of a size that nobody signed is removed, also where the tree has grown past it", () => {
  const { disk, open } = tornBehind(700);
  const log = open();
  log.checkpoint();
  log.close();
  assert.deepEqual(problemsOf(disk), []);
});

test("what was removed does not come back when the power goes again", () => {
  // Names that no sync covers are as they were, after a crash.
  const { disk, open } = tornBehind(700, () => 0.6);
  const log = open();
  log.checkpoint();
  disk.crash();
  assert.deepEqual(problemsOf(disk), []);
});

test("tiles that some tree between two sizes may have had a partial form of", () => {
  const between = (from: number, to: number) => [...tilesBetween(from, to)].map(({ level, n }) => `${level}/${n}`);
  assert.deepEqual(between(0, 0), []);
  assert.deepEqual(between(0, 1), ["0/0"]);
  assert.deepEqual(between(5, 256), ["0/0", "1/0"]);
  assert.deepEqual(between(256, 256), ["1/0"]);
  assert.deepEqual(between(700, 1_100), ["0/2", "0/3", "0/4", "1/0"]);
});
