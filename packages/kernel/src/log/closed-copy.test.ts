// A log that ends in a backup and goes on after a restore: the copy, the seam, and what is found on either side of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { closedCopy, completeCopy, durableLeaves, publishedLeaves, writeCopied } from "./closed-copy.ts";
import type { Disk } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { Log, type LogOptions } from "./log.ts";
import { loadLogKey, sha256 } from "./log-crypto.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { sampleId, sampleLeaf } from "./sample-leaves.ts";
import { nextYear, november } from "./sample-log.test-support.ts";
import { verifyLogDirectory } from "./verify.ts";
import type { LogProblem } from "./verify-report.ts";

function optionsOf(disk: Disk, directory: string, node: string, now = november): LogOptions {
  const identity = {
    tenant: "main",
    environment: "production",
    region: "eu",
    node,
    role: "gateway",
    version: "0.1.0",
  } as const;
  return { disk, directory, identity, now: () => now, segmentBytesMax: 4_096, lowSpaceBytes: 0, reserveBytes: 0 };
}

/** What `audit verify` would use: the key beside the log. */
function verify(
  disk: Disk,
  directory: string,
  origin: string,
  more: { live?: boolean; olderCheckpoints?: string[] } = {},
) {
  const verifierKey = printVerifierKey(sha256, origin, loadLogKey(disk, directory).publicKey);
  return verifyLogDirectory(directory, { verifierKey, disk, ...more });
}

const crossings = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({ leaf: sampleLeaf("crossing", from + i) }));

/** A log with a checkpoint in its middle, more leaves behind it, and an intent that is open at the checkpoint. */
function running(disk: LossyDisk) {
  const log = Log.open(optionsOf(disk, "/log", "gw-1"));
  for (let i = 0; i < 8; i += 1) log.append(crossings(i * 10, 10));
  log.append([{ leaf: sampleLeaf("intent", 900_000) }]);
  const note = log.checkpoint();
  const signed = log.size;
  for (let i = 8; i < 12; i += 1) log.append(crossings(i * 10, 10));
  return { log, note, signed };
}

/** Copies what a backup takes of /log to <to>/before, as a restore does. */
function copy(disk: Disk, to: string): ReturnType<typeof closedCopy> {
  const closed = closedCopy(disk, "/log");
  disk.makeDirectory(to);
  disk.makeDirectory(`${to}/before`);
  for (const { path, bytes } of closed.files()) writeCopied(disk, `${to}/before`, path, bytes);
  return closed;
}

test("a copy taken while the log is written ends exactly at its last checkpoint, whatever was appended since", () => {
  const disk = new LossyDisk({ random: () => 0.1 });
  const { log, signed } = running(disk);
  assert.ok(durableLeaves(disk, "/log") > signed);
  assert.equal(publishedLeaves(disk, "/log"), signed);
  const closed = copy(disk, "/restored");
  assert.deepEqual(
    closed.origins.map(({ folder, size }) => [folder, size]),
    [["2026", signed]],
  );
  completeCopy(disk, "/restored/before");
  assert.equal(durableLeaves(disk, "/restored/before"), signed);
  const whole = verifyLogDirectory("/restored/before", { verifierKey: closed.verifierKey, disk, live: true });
  assert.deepEqual(whole.problems, []);
  assert.equal(whole.leaves, signed);
  assert.ok(!disk.list("/restored/before").includes("log.key"), "nobody can append to a log that ended");
  log.close();
});

test("the log that goes on names the end of the one before, ends what was under way, and verifies across the seam", () => {
  const disk = new LossyDisk({ random: () => 0.1 });
  const { log, signed, note } = running(disk);
  const former = log.origin;
  const closed = copy(disk, "/restored");
  completeCopy(disk, "/restored/before");
  const next = Log.open(optionsOf(disk, "/restored", "gw-2"));
  next.append(crossings(1_000, 3));
  // What is in the log before is found, so that an outbox row that is in it is not recorded twice.
  assert.equal(next.find(sampleId(5)).length, 1);
  assert.equal(next.find(sampleId(1_001)).length, 1);
  assert.equal(next.find(sampleId(85)).length, 0, "beyond the checkpoint nothing was copied");
  assert.deepEqual(
    next.find(sampleId(900_000)).map(({ leaf }) => /"outcome":"(\w+)"/.exec(Buffer.from(leaf).toString())?.[1]),
    [undefined, "unknown"],
  );
  next.close();
  const report = verify(disk, "/restored", next.origin);
  assert.deepEqual(report.problems, []);
  assert.deepEqual(
    report.origins.map(({ origin }) => origin),
    [former, next.origin],
  );
  const first = parseLeaf(Buffer.from(report.origins[1]?.firstLeaf ?? ""));
  assert.ok(first.t === "origin");
  assert.deepEqual([first.previousOrigin, first.previousSize], [former, signed]);
  // The checkpoint of the backup's moment still holds; one from after it shows how much is lost.
  assert.deepEqual(verify(disk, "/restored", next.origin, { olderCheckpoints: [note] }).problems, []);
  const later = verify(disk, "/restored", next.origin, { olderCheckpoints: [log.checkpoint()] });
  assert.deepEqual(
    later.problems.map(({ kind }) => kind),
    ["truncated"],
  );
  assert.equal(closed.origins[0]?.size, signed);
  log.close();
});

test("a second restore, and a turn of the year after it, keep the whole chain", () => {
  const disk = new LossyDisk({ random: () => 0.1 });
  running(disk).log.close();
  copy(disk, "/second");
  completeCopy(disk, "/second/before");
  Log.open(optionsOf(disk, "/second", "gw-2")).close();
  const again = closedCopy(disk, "/second");
  disk.makeDirectory("/third");
  disk.makeDirectory("/third/before");
  for (const { path, bytes } of again.files()) writeCopied(disk, "/third/before", path, bytes);
  completeCopy(disk, "/third/before");
  Log.open(optionsOf(disk, "/third", "gw-3")).close();
  const last = Log.open(optionsOf(disk, "/third", "gw-3", nextYear));
  assert.equal(last.find(sampleId(5)).length, 1);
  last.close();
  const report = verify(disk, "/third", last.origin);
  assert.deepEqual(report.problems, []);
  assert.deepEqual(
    report.origins.map(({ origin }) => origin.split("/").slice(-3).join("/")),
    ["gw-1/gateway/2026", "gw-2/gateway/2026", "gw-3/gateway/2026", "gw-3/gateway/2027"],
  );
});

test("attack: the log before the seam is changed, cut, exchanged or taken away; the newer log shows each", () => {
  const attacks: Readonly<Record<string, (disk: LossyDisk) => void>> = {
    "a leaf changed": (disk) => flip(disk, "/restored/before/2026/wal/0000000000000000.wal", 400),
    "a segment taken away": (disk) => {
      const [, second] = disk.list("/restored/before/2026/wal").filter((name) => name.endsWith(".wal"));
      disk.unlink(`/restored/before/2026/wal/${second}`);
    },
    "an older copy put in its place": (disk) => {
      const other = new LossyDisk({ random: () => 0.1 });
      const log = Log.open(optionsOf(other, "/log", "gw-1"));
      log.append(crossings(0, 3));
      log.close();
      const closed = closedCopy(other, "/log");
      for (const { path, bytes } of closed.files()) writeCopied(disk, "/restored/before", path, bytes);
      for (const name of disk
        .list("/restored/before/2026/wal")
        .filter((found) => !found.startsWith("0000000000000000")))
        disk.unlink(`/restored/before/2026/wal/${name}`);
      disk.unlink("/restored/before/2026/state");
      completeCopy(disk, "/restored/before");
    },
  };
  for (const [what, attack] of Object.entries(attacks)) {
    const disk = new LossyDisk({ random: () => 0.1 });
    running(disk).log.close();
    copy(disk, "/restored");
    completeCopy(disk, "/restored/before");
    const next = Log.open(optionsOf(disk, "/restored", "gw-2"));
    next.close();
    assert.ok(verify(disk, "/restored", next.origin).ok);
    attack(disk);
    const report = verify(disk, "/restored", next.origin);
    assert.ok(!report.ok, what);
    const isBehind = ({ file, kind }: LogProblem) => kind === "chain" || file?.includes("/before/") === true;
    assert.ok(report.problems.some(isBehind), what);
  }
});

function flip(disk: LossyDisk, path: string, at: number): void {
  const file = disk.open(path, "write");
  const [byte = 0] = file.read(at, 1);
  file.write(at, Buffer.from([byte ^ 1]));
  file.close();
}

test("a copy that was cut or changed on its way is not made whole", () => {
  for (const at of [70, 400, 3_000]) {
    const disk = new LossyDisk({ random: () => 0.1 });
    running(disk).log.close();
    copy(disk, "/restored");
    flip(disk, "/restored/before/2026/wal/0000000000000000.wal", at);
    assert.throws(() => completeCopy(disk, "/restored/before"), LogFault, String(at));
  }
});
