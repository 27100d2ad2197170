// Verification of a part of a log: what it finds there, what it cannot be talked into, and that it says what it did not look at.
import assert from "node:assert/strict";
import { test } from "node:test";
import { leafHash } from "@sallyport/protocol/audit/merkle.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { tileWidthMax } from "@sallyport/protocol/audit/tiles.ts";
import {
  crossingLeaf,
  gatewayIdentity as identity,
  intentLeaf,
  logKey as key,
  newYear,
  november,
  otherLogKey as otherKey,
  outcomeLeaf,
} from "../receipts/timed-leaves.test-support.ts";
import { crc32c } from "./crc32c.ts";
import { LogFault } from "./fault.ts";
import { Log, type LogOptions } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { readFrame, segmentHeaderBytes } from "./segment.ts";
import { scanFrames } from "./segments.ts";
import { type VerifyOptions, verifyLogDirectory } from "./verify.ts";

const minute = 60_000;
const origin = "sallyport.local/main/production/gw-1/gateway/2026";
const vkey = printVerifierKey(sha256, origin, key.publicKey);
const kinds = ({ problems }: { readonly problems: readonly { readonly kind: string }[] }) =>
  problems.map(({ kind }) => kind);

/** A log with a crossing a minute; the n-th, from 0, is leaf n + 2. */
function makeLog(count: number, more: Partial<LogOptions> & { readonly salt?: number } = {}) {
  const disk = new LossyDisk({ random: () => 0.1 });
  const clock = { now: november };
  const { salt = 0, ...rest } = more;
  const log = Log.open({
    disk,
    directory: "/log",
    identity,
    now: () => clock.now,
    key,
    lowSpaceBytes: 0,
    reserveBytes: 0,
    ...rest,
  });
  const grow = (leaves: number) => {
    for (let i = 0; i < leaves; i++) {
      clock.now += minute;
      log.append([{ leaf: crossingLeaf(clock.now, salt) }]);
    }
    return log.checkpoint();
  };
  const note = grow(count);
  return { disk, log, clock, note, grow };
}

const verify = (disk: LossyDisk, more: Partial<VerifyOptions>) =>
  verifyLogDirectory("/log", { verifierKey: vkey, disk, ...more });
const part = (disk: LossyDisk, from: number, to: number | null = null, more: Partial<VerifyOptions> = {}) =>
  verify(disk, { scope: { leaves: { year: null, from, to } }, ...more });

/** Puts other text of the same length into a leaf, under a checksum that is right. */
function rewrite(disk: LossyDisk, path: string, index: number, was: string, is: string) {
  const bytes = Buffer.from(disk.files().get(path) ?? assert.fail(path));
  const first = Number(/([0-9]{16})\.wal$/.exec(path)?.[1]);
  let leaf = "";
  for (let at = segmentHeaderBytes, next = first; at < bytes.length; ) {
    const frame = readFrame(bytes, at, next);
    assert.ok(typeof frame !== "string", String(frame));
    scanFrames(bytes, { at, end: frame.end, first: next }, (entry) => {
      if (entry.index !== index) return;
      leaf = bytes.toString("latin1", entry.span.leafAt, entry.span.leafEnd).replace(was, is);
      bytes.write(leaf, entry.span.leafAt, "latin1");
    });
    bytes.writeUInt32BE(crc32c(bytes, at + 8, frame.end), at + 4);
    next += frame.count;
    at = frame.end;
  }
  const file = disk.open(path, "write");
  file.write(0, bytes);
  return Buffer.from(leaf, "latin1");
}

const segmentOf = (disk: LossyDisk, index: number) =>
  disk
    .list("/log/2026/wal")
    .filter((name) => name.endsWith(".wal") && Number(name.slice(0, 16)) <= index)
    .map((name) => `/log/2026/wal/${name}`)
    .at(-1) ?? assert.fail();

test("any part of a log verifies, of logs of many sizes, and the answer names what is left out", () => {
  for (const count of [1, 2, 255, 256, 300, 700]) {
    const { disk } = makeLog(count, { segmentBytesMax: 20_000 });
    const size = count + 2;
    for (const [from, to] of [
      [0, 1],
      [1, size],
      [size - 1, size],
      [Math.floor(size / 3), Math.floor(size / 2) + 1],
      [size > 257 ? 256 : 0, size - 1],
    ] as const) {
      const report = part(disk, from, to);
      assert.deepEqual(report.problems, [], `${from} to ${to} of ${size}`);
      assert.deepEqual([report.ok, report.isPart, report.leaves], [true, true, to - from]);
      assert.deepEqual(report.origins[0]?.checked, { from, to });
      const said = report.notChecked.join("\n");
      if (from > 0) assert.ok(said.includes(from === 1 ? "leaf 0" : `leaves 0 to ${from - 1}`), said);
      if (to < size) assert.match(said, new RegExp(`(leaf|to) ${size - 1} of ${size}`));
      assert.match(said, /tiles, entry bundles/);
    }
  }
});

test("the whole of a log asked for as a part is judged like the whole, derived files and all", () => {
  const { disk } = makeLog(300);
  const report = part(disk, 0);
  assert.deepEqual([report.ok, report.isPart, report.notChecked], [true, false, []]);
  assert.deepEqual(verify(disk, {}).notChecked, []);
});

test("a part is read, and not the rest of the log", () => {
  const { disk } = makeLog(3_000, { segmentBytesMax: 20_000 });
  let opened = 0;
  const open = disk.open.bind(disk);
  disk.open = (path, mode) => {
    if (path.endsWith(".wal")) opened += 1;
    return open(path, mode);
  };
  const segments = disk.list("/log/2026/wal").filter((name) => name.endsWith(".wal")).length;
  assert.ok(part(disk, 1_500, 1_520).ok);
  assert.ok(segments > 60 && opened < 12, `${opened} of ${segments}`);
});

test("attack: a leaf changed under a right checksum is found in its part and named; of the part beside it the answer says that it was not looked at", () => {
  const { disk } = makeLog(300, { segmentBytesMax: 20_000 });
  rewrite(disk, segmentOf(disk, 150), 150, '"status":200,"up', '"status":500,"up');
  const found = part(disk, 100, 200);
  assert.deepEqual([found.ok, kinds(found), found.firstBad?.index], [false, ["leaf"], 150]);
  const beside = part(disk, 200, 250);
  assert.ok(beside.ok);
  assert.match(beside.notChecked[0] ?? "", /leaves 0 to 199 and leaves 250 to 301 of 302/);
});

test("attack: leaf and tile changed alike do not give the signed root", () => {
  const { disk } = makeLog(300, { segmentBytesMax: 20_000 });
  const leaf = rewrite(disk, segmentOf(disk, 150), 150, '"status":200,"up', '"status":500,"up');
  const tile = disk.open("/log/2026/tile/0/000", "write");
  tile.write((150 % tileWidthMax) * 32, leafHash(sha256, leaf));
  const report = part(disk, 100, 200);
  assert.deepEqual([report.ok, kinds(report)], [false, ["root"]]);
});

test("attack: a tile outside the part changed or taken is not believed for the leaves it stands for", () => {
  const { disk } = makeLog(700);
  const file = disk.open("/log/2026/tile/0/000", "write");
  const was = file.read(0, 1);
  file.write(0, Buffer.from([(was[0] ?? 0) ^ 1]));
  // Whole subtrees are had from the tile above, which the root commits to: this one is not needed for the last leaves.
  assert.ok(part(disk, 600, 700).ok);
  assert.deepEqual(kinds(part(disk, 200, 300)), ["root"]);
  disk.unlink("/log/2026/tile/0/000");
  assert.deepEqual(kinds(part(disk, 200, 300)), ["tile"]);
  disk.unlink("/log/2026/tile/1/000.p/2");
  assert.deepEqual(kinds(part(disk, 600, 700)), ["tile"]);
});

test("attack: a damaged frame in the part is a no", () => {
  const { disk } = makeLog(300, { segmentBytesMax: 20_000 });
  const file = disk.open(segmentOf(disk, 150), "write");
  file.write(file.size() - 100, Buffer.from([file.read(file.size() - 100, 1)[0] === 65 ? 66 : 65]));
  assert.ok(kinds(part(disk, 100, 250)).includes("frame"));
});

test("attack: a part of a log that another key signed is a no", () => {
  const { disk } = makeLog(300, { key: otherKey });
  const report = part(disk, 100, 200);
  assert.ok(!report.ok);
  assert.ok(kinds(report).includes("checkpoint"));
});

test("from a kept checkpoint on only what is new is read, and the old must still be what was signed", () => {
  const { disk, note, grow } = makeLog(300, { segmentBytesMax: 20_000 });
  grow(100);
  const report = verify(disk, { scope: { checkpoint: `${note}\n` } });
  assert.deepEqual(report.problems, []);
  assert.deepEqual([report.leaves, report.origins[0]?.checked], [100, { from: 302, to: 402 }]);
  assert.match(report.notChecked[0] ?? "", /leaves 0 to 301 of 402; of those only the hashes/);
});

test("where nothing was added since the kept checkpoint, that it still stands is the answer", () => {
  const { disk, note } = makeLog(300);
  const report = verify(disk, { scope: { checkpoint: note } });
  assert.deepEqual([report.ok, report.leaves, report.isPart], [true, 0, true]);
  assert.match(report.notChecked[0] ?? "", /leaves 0 to 301 of 302/);
});

test("attack: a log rewritten behind the kept checkpoint and signed again with its own key is a no", () => {
  const { note } = makeLog(300);
  for (const count of [300, 400, 299]) {
    const forged = makeLog(count, { salt: 7 });
    const report = verify(forged.disk, { scope: { checkpoint: note } });
    assert.equal(report.ok, false);
    assert.ok(
      kinds(report).some((kind) => kind === "root" || kind === "truncated"),
      kinds(report).join(),
    );
  }
  const forged = makeLog(400, { salt: 7 });
  const older = part(forged.disk, 350, 360, { olderCheckpoints: [note] });
  assert.deepEqual(kinds(older), ["root"], "and so is a part of it beside an older checkpoint");
});

test("attack: a checkpoint of another log, of another key or of no form is no beginning", () => {
  const { disk } = makeLog(300);
  for (const checkpoint of [
    makeLog(100, { key: otherKey }).note,
    makeLog(100, { identity: { ...identity, node: "gw-2" } }).note,
    "nonsense",
    "",
  ]) {
    const report = verify(disk, { scope: { checkpoint } });
    assert.equal(report.ok, false);
    assert.ok(kinds(report).includes("checkpoint"));
  }
});

test("times choose the leaves that were made then, by the node's clock", () => {
  const { disk } = makeLog(600, { segmentBytesMax: 20_000 });
  const at = (n: number) => november + n * minute;
  const chosen = (since: number | null, until: number | null) =>
    verify(disk, { scope: { times: { since, until } } }).origins[0]?.checked;
  assert.deepEqual(chosen(at(100), at(200)), { from: 101, to: 201 });
  assert.deepEqual(chosen(at(100) + 1, at(200) + 1), { from: 102, to: 202 });
  assert.deepEqual(chosen(at(590), null), { from: 591, to: 602 });
  assert.deepEqual(chosen(null, at(3)), { from: 0, to: 4 });
  const both = verify(disk, {
    scope: { times: { since: at(100), until: null }, leaves: { year: null, from: 0, to: 150 } },
  });
  assert.deepEqual(both.origins[0]?.checked, { from: 101, to: 150 });
});

test("a part that no signed leaf is in was not checked, and is no yes", () => {
  const { disk, log } = makeLog(300);
  log.append([{ leaf: crossingLeaf(november + 600 * minute) }]);
  const nothing = (error: unknown) =>
    error instanceof LogFault && error.code === "not-found" && /nothing was checked/.test(error.message);
  for (const scope of [
    { leaves: { year: null, from: 302, to: null } },
    { leaves: { year: null, from: 20, to: 20 } },
    { leaves: { year: 2025, from: 0, to: 10 } },
    { times: { since: november + 400 * minute, until: null } },
    { times: { since: null, until: november - minute } },
  ])
    assert.throws(() => verify(disk, { scope }), nothing, JSON.stringify(scope));
});

test("over the turn of a year: a year is chosen, a kept checkpoint goes on into the next, and what is left out is named", () => {
  const { disk, clock, note, grow } = makeLog(300);
  clock.now = newYear;
  grow(50);
  const of2026 = verify(disk, { scope: { leaves: { year: 2026, from: 100, to: 120 } } });
  assert.deepEqual([of2026.ok, of2026.leaves], [true, 20]);
  assert.ok(
    of2026.notChecked.some((text) => text.includes("/2027: all of its 51 leaves")),
    of2026.notChecked.join("\n"),
  );
  const on = verify(disk, { scope: { checkpoint: note } });
  assert.deepEqual([on.ok, on.leaves, on.origins[1]?.checked], [true, 51, undefined], JSON.stringify(on.problems));
  const newest = part(disk, 10, 20);
  assert.ok(newest.notChecked.some((text) => text.includes("/2026: all of its 302 leaves")));
});

test("attack: an older checkpoint is held against a year that no leaf was asked of, too", () => {
  const { note } = makeLog(200);
  const { disk, clock, grow } = makeLog(300, { salt: 7 });
  const { note: own } = makeLog(200, { salt: 7 });
  clock.now = newYear;
  grow(50);
  assert.deepEqual(kinds(part(disk, 10, 20, { olderCheckpoints: [note] })), ["root"]);
  assert.deepEqual(kinds(part(disk, 10, 20, { olderCheckpoints: [own] })), []);
});

test("a crossing that began before the part and ends in it is not held against it; a second end is", () => {
  const { disk, log, clock, grow } = makeLog(10);
  log.append([{ leaf: intentLeaf(clock.now, 1) }]);
  grow(50);
  log.append([{ leaf: outcomeLeaf(clock.now - 50 * minute, clock.now, 1) }, { leaf: intentLeaf(clock.now, 2) }]);
  grow(50);
  const report = part(disk, 40);
  assert.deepEqual(report.problems, []);
  assert.ok(report.notChecked.some((text) => text.includes("whether what began before these leaves ended in them")));
  log.append([{ leaf: outcomeLeaf(clock.now - 50 * minute, clock.now, 2) }]);
  log.append([{ leaf: crossingLeaf(clock.now + 1) }]);
  log.checkpoint();
  assert.ok(part(disk, 40).ok);
});

test("a copy without tiles is read whole, whatever part was asked for, and the answer says no less", () => {
  const made = makeLog(300);
  const disk = new LossyDisk({ random: () => 0.1 });
  for (const folder of ["/log", "/log/2026", "/log/2026/wal"]) disk.makeDirectory(folder);
  disk.open("/log/log.vkey", "write").write(0, Buffer.from(vkey));
  for (const [path, bytes] of made.disk.files())
    if (path.endsWith(".wal") || path.endsWith("/checkpoint")) disk.open(path, "write").write(0, Buffer.from(bytes));
  const report = part(disk, 100, 110, { live: true });
  assert.deepEqual(report.problems, []);
  assert.equal(report.leaves, 302);
  assert.ok(report.notChecked.some((text) => text.includes("which this copy does not have")));
});

test("progress is told with the number of leaves there are to check", () => {
  const { disk } = makeLog(300);
  const told: [number, number][] = [];
  const onProgress = (leaves: number, total: number) => told.push([leaves, total]);
  verify(disk, { onProgress });
  part(disk, 100, 150, { onProgress });
  assert.deepEqual(told, [
    [302, 302],
    [50, 50],
  ]);
});
