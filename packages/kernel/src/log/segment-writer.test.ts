// Room behind the last frame: it saves a sync the recording of a new size, and hides nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { LogFault, type LogFaultCode } from "./fault.ts";
import type { LogOptions } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import type { LossyDisk, LossyDiskOptions } from "./lossy-disk.ts";
import { sampleId, sampleLeaf } from "./sample-leaves.ts";
import { key, lossyLog, origin } from "./sample-log.test-support.ts";
import { isRoom } from "./segment.ts";
import { verifyLogDirectory } from "./verify.ts";

const wal = "/log/2026/wal/0000000000000000.wal";
const crossing = (n: number) => ({ leaf: sampleLeaf("crossing", n) });
const faultWith = (code: LogFaultCode, saying: RegExp) => (error: unknown) =>
  error instanceof LogFault && error.code === code && saying.test(error.internal);
const content = (disk: LossyDisk, path: string) => Buffer.from(disk.files().get(path) ?? assert.fail(path));

function put(disk: LossyDisk, path: string, bytes: Uint8Array): void {
  const file = disk.open(path, "write");
  file.truncate(0);
  file.write(0, bytes);
  file.sync();
}

/** A log whose process was killed behind its last append: nobody gave room back. */
function killed(records: number, more: Partial<LogOptions> = {}, diskOptions: Partial<LossyDiskOptions> = {}) {
  const made = lossyLog(more, diskOptions);
  const log = made.open();
  for (let n = 0; n < records; n++) log.append([crossing(n)]);
  log.checkpoint();
  made.disk.crash();
  return made;
}

const verifierKey = printVerifierKey(sha256, origin, key.publicKey);
const problemsOf = ({ disk }: { readonly disk: LossyDisk }) =>
  verifyLogDirectory("/log", { verifierKey, disk }).problems;

test("most appends leave the size of the file as it is, each is one sync, and closing gives the room back", () => {
  const { disk, open } = lossyLog();
  const log = open();
  const sizes = new Set<number>();
  const before = disk.syncs;
  for (let n = 0; n < 400; n++) {
    log.append([crossing(n)]);
    sizes.add(content(disk, wal).length);
  }
  assert.equal(disk.syncs, before + 400);
  assert.ok(sizes.size < 12, `${sizes.size} sizes`);
  assert.ok(isRoom(content(disk, wal).subarray(-100), 0));
  log.close();
  assert.ok(!isRoom(content(disk, wal).subarray(-100), 0));
});

test("a log that was killed verifies with its room, and goes on where its last frame ends", () => {
  const made = killed(40);
  assert.ok(isRoom(content(made.disk, wal).subarray(-100), 0));
  assert.deepEqual(problemsOf(made), []);
  const log = made.open();
  log.append([crossing(40)]);
  assert.equal(log.find(sampleId(39)).length, 1);
  assert.equal(log.find(sampleId(40)).length, 1);
  log.close();
  assert.deepEqual(problemsOf(made), []);
});

test("a segment that another one follows has no room, also after a crash at any moment", () => {
  const { disk } = killed(60, { segmentBytesMax: 3_000 });
  const segments = disk.list("/log/2026/wal").filter((name) => name.endsWith(".wal"));
  assert.ok(segments.length > 4);
  for (const name of segments.slice(0, -1)) {
    const bytes = content(disk, `/log/2026/wal/${name}`);
    assert.ok(!isRoom(bytes.subarray(-64), 0), name);
  }
});

test("attack: zeros behind a segment that another one follows; start and verification name the place", () => {
  const { disk, open } = killed(60, { segmentBytesMax: 3_000 });
  const bytes = content(disk, wal);
  put(disk, wal, Buffer.concat([bytes, Buffer.alloc(1)]));
  const [problem] = problemsOf({ disk });
  assert.deepEqual([problem?.kind, problem?.file, problem?.offset], ["frame", wal, bytes.length]);
  assert.match(problem?.message ?? "", /1 zeros stand behind its last frame, though another segment follows/);
  disk.unlink("/log/2026/state");
  assert.throws(
    open,
    faultWith("log-corrupt", new RegExp(`damaged at byte ${bytes.length} .*another segment follows`)),
  );
});

test("attack: any byte of the room is changed; it is found where it stands, and a start cuts it as it cuts an interrupted write", () => {
  const made = killed(10);
  const bytes = content(made.disk, wal);
  const roomAt = bytes.findLastIndex((byte) => byte !== 0) + 1;
  for (const at of [roomAt, roomAt + 1, roomAt + 19, roomAt + 700, bytes.length - 1]) {
    const changed = Buffer.from(bytes);
    changed[at] = 1;
    put(made.disk, wal, changed);
    assert.equal(problemsOf(made)[0]?.kind, "frame", `byte ${at}`);
  }
  const log = made.open();
  assert.equal(log.find(sampleId(9)).length, 1);
  log.close();
  assert.deepEqual(problemsOf(made), []);
});

test("attack: the last signed frames are overwritten with zeros; that is no room", () => {
  const made = killed(40);
  const bytes = content(made.disk, wal);
  const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
  put(made.disk, wal, bytes.fill(0, end - 2_000));
  assert.notDeepEqual(problemsOf(made), []);
  made.disk.unlink("/log/2026/state");
  assert.throws(made.open, faultWith("log-rolled-back", /says the log had/));
});

test("a full disk has no room left over: every byte of it is for frames, and nothing is lost", () => {
  const { disk, open } = lossyLog({}, { capacityBytes: 90_000 });
  const log = open();
  let n = 0;
  while (log.append([crossing(n)]).refused.length === 0) assert.ok(++n < 1_000);
  const used = [...disk.files().values()].reduce((sum, bytes) => sum + bytes.length, 0);
  assert.ok(used > 88_000, `${used} bytes are used`);
  assert.ok(!isRoom(content(disk, wal).subarray(-64), 0));
  disk.capacity = 1_000_000;
  log.append([crossing(n)]);
  disk.crash();
  const again = open();
  for (let at = 0; at <= n; at++) assert.equal(again.find(sampleId(at)).length, 1, String(at));
});

test("a long frame makes no room: its own bytes are what the sync costs", () => {
  const { disk, open } = lossyLog();
  const log = open();
  log.append(Array.from({ length: 1_000 }, (_, n) => crossing(n)));
  assert.ok(!isRoom(content(disk, wal).subarray(-64), 0));
});

test("room is bytes, all of them zeros", () => {
  assert.ok(isRoom(Buffer.alloc(1), 0));
  assert.ok(isRoom(Buffer.from([7, 0, 0]), 1));
  assert.ok(!isRoom(Buffer.from([7, 0, 1]), 1));
  assert.ok(!isRoom(Buffer.from([7, 1, 0]), 1));
  assert.ok(!isRoom(Buffer.from([7]), 1));
  assert.ok(!isRoom(Buffer.alloc(0), 0));
});
