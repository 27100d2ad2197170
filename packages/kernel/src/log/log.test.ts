import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { parseLeaf, printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { LogFault, type LogFaultCode } from "./fault.ts";
import type { Log, LogOptions } from "./log.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { sampleId, sampleLeaf } from "./sample-leaves.ts";
import { lossyLog, nextYear, november, otherKey } from "./sample-log.test-support.ts";

const faultWith =
  (code: LogFaultCode, saying = /./) =>
  (error: unknown) =>
    error instanceof LogFault && error.code === code && saying.test(error.internal);
const crossing = (n: number) => ({ leaf: sampleLeaf("crossing", n) });

function put(disk: LossyDisk, path: string, bytes: Uint8Array) {
  const file = disk.open(path, "write");
  file.truncate(0);
  file.write(0, bytes);
  file.sync();
}

const contentOf = (disk: LossyDisk, path: string) => Buffer.from(disk.files().get(path) ?? assert.fail(path));

function leafAt(log: Log, id: string, place = 0): Leaf {
  const record = log.find(id)[place];
  assert.ok(record !== undefined, id);
  return parseLeaf(record.leaf);
}

test("a log reopens with everything it acknowledged, over segments, and finds it by id with its reference", () => {
  const { open } = lossyLog({ segmentBytesMax: 4_000 });
  const reference = Buffer.from("sealed");
  const inputs = createHash("sha256").update(reference).digest("hex");
  const log = open();
  for (let i = 0; i < 600; i++) log.append([crossing(i)]);
  log.append([{ leaf: sampleLeaf("crossing", 600, inputs), reference }]);
  log.close();
  const again = open();
  assert.equal(again.size, 604);
  for (const n of [0, 17, 599])
    assert.deepEqual(
      again.find(sampleId(n)).map(({ leaf }) => Buffer.from(leaf)),
      [Buffer.from(crossing(n).leaf)],
    );
  assert.deepEqual(Buffer.from(again.find(sampleId(600))[0]?.reference ?? []), reference);
  assert.deepEqual(again.find(sampleId(601)), []);
});

test("a batch costs exactly one fdatasync", () => {
  const { disk, open } = lossyLog();
  const log = open();
  const before = disk.syncs;
  log.append(Array.from({ length: 300 }, (_, n) => crossing(n)));
  assert.equal(disk.syncs, before + 1);
});

test("entries of a batch stand in the order they were submitted", () => {
  const log = lossyLog().open();
  const { first, refused } = log.append([crossing(3), crossing(1), crossing(2)]);
  assert.deepEqual(refused, []);
  assert.deepEqual(
    [3, 1, 2].map((n) => log.find(sampleId(n))[0]?.index),
    [first, first + 1, first + 2],
  );
});

test("intents without an outcome get `unknown` at the next start, and `start` counts them", () => {
  const { disk, open } = lossyLog();
  const log = open();
  log.append([
    { leaf: sampleLeaf("intent", 1) },
    { leaf: sampleLeaf("intent", 2) },
    { leaf: sampleLeaf("outcome", 2) },
  ]);
  const size = log.size;
  // No close: the power is gone.
  disk.crash();
  const again = open();
  const outcome = leafAt(again, sampleId(1), 1);
  assert.ok(outcome.t === "outcome" && outcome.outcome === "unknown");
  assert.equal(again.find(sampleId(2)).length, 2);
  assert.equal(again.size, size + 2);
  assert.ok(contentOf(disk, wal).includes('"version":"0.1.0","recovered":1}'));
});

test("a new year is a new origin whose first leaf names the last checkpoint; an intent of the old year ends in the new one", () => {
  const { clock, open, disk } = lossyLog();
  const log = open();
  log.append([{ leaf: sampleLeaf("intent", 1) }]);
  clock.now = nextYear;
  log.append([{ leaf: sampleLeaf("outcome", 1) }]);
  assert.equal(log.origin, "sallyport.local/main/production/gw-1/gateway/2027");
  assert.deepEqual(
    log.find(sampleId(1)).map(({ leaf }) => parseLeaf(leaf).t),
    ["intent", "outcome"],
  );
  log.close();
  const last = contentOf(disk, "/log/2026/checkpoint").toString();
  const body = last.slice(0, last.indexOf("\n\n") + 1);
  const wal = contentOf(disk, "/log/2027/wal/0000000000000000.wal").toString("latin1");
  assert.ok(wal.includes(`"previous":"${createHash("sha256").update(body).digest("hex")}"`));
  const again = open();
  assert.equal(again.find(sampleId(1)).length, 2, "no unknown outcome was added");
});

test("a clock that goes back goes on in the newest origin", () => {
  const { clock, open } = lossyLog();
  clock.now = nextYear;
  open().close();
  clock.now = november;
  assert.match(open().origin, /2027$/);
});

test("any failed fsync ends the log: every later append and checkpoint rejects, and nothing more is written", () => {
  const { disk, open } = lossyLog();
  const log = open();
  disk.failNextSync = Object.assign(new Error("input/output error"), { code: "EIO" });
  assert.throws(() => log.append([crossing(1)]), faultWith("log-closed", /disk failed.*check the volume/));
  const before = disk.syncs;
  assert.throws(() => log.append([crossing(2)]), faultWith("log-closed"));
  assert.throws(() => log.checkpoint(), faultWith("log-closed"));
  assert.equal(disk.syncs, before);
});

test("a nearly full disk refuses ordinary records and still takes administrative ones", () => {
  const { open } = lossyLog({ lowSpaceBytes: 30_000 }, { capacityBytes: 60_000 });
  const log = open();
  let n = 0;
  while (log.append([crossing(n)]).refused.length === 0) assert.ok(++n < 200);
  const { first, refused } = log.append([
    crossing(9_998),
    { leaf: sampleLeaf("admin", 9_999) },
    { leaf: sampleLeaf("intent", 9_997) },
  ]);
  assert.deepEqual(
    refused.map(({ place, code }) => [place, code]),
    [
      [0, "disk-full"],
      [2, "disk-full"],
    ],
  );
  assert.equal(log.find(sampleId(9_999))[0]?.index, first);
});

test("on a nearly full disk an operator still gets a token, and nobody else does", () => {
  const { open } = lossyLog({ lowSpaceBytes: 30_000 }, { capacityBytes: 60_000 });
  const log = open();
  let n = 0;
  while (log.append([crossing(n)]).refused.length === 0) assert.ok(++n < 200);
  const issuance = (environment: string, id: number, region = "eu") => ({
    leaf: printLeaf({
      t: "issuance",
      id: sampleId(id),
      at: november,
      tenant: "main",
      environment,
      region,
      node: "gw-1",
      client: null,
      audience: "https://id.example/sallyport",
      verdict: "allow",
      code: null,
      token: null,
      proof: "dpop",
      expiresAt: november + 300_000,
    }),
  });
  // The name in another member makes nobody an operator.
  const batch = [
    issuance("production", 9_996),
    issuance("sallyport", 9_997),
    issuance("production", 9_998, "sallyport"),
  ];
  assert.deepEqual(log.append(batch).refused, [
    { place: 0, code: "disk-full" },
    { place: 2, code: "disk-full" },
  ]);
  assert.equal(log.find(sampleId(9_997)).length, 1);
});

test("a full disk gives up the reserve for administrative records, loses nothing and goes on when there is room", () => {
  const { open, disk } = lossyLog({ reserveBytes: 20_000 }, { capacityBytes: 60_000 });
  const log = open();
  let n = 0;
  while (log.append([crossing(n)]).refused.length === 0) assert.ok(++n < 200);
  assert.ok(!disk.files().has("/log/reserve"));
  assert.deepEqual(log.append([{ leaf: sampleLeaf("admin", 9_999) }]).refused, []);
  for (let i = 0; i < 200; i++) log.append([{ leaf: sampleLeaf("admin", 20_000 + i) }]);
  assert.deepEqual(log.append([{ leaf: sampleLeaf("admin", 30_000) }]).refused, [{ place: 0, code: "disk-full" }]);
  assert.equal(log.find(sampleId(n - 1)).length, 1);
});

test("leaves the log writes itself, and bytes that are no leaf, are refused", () => {
  const log = lossyLog().open();
  const start = Buffer.from('{"v":1,"t":"start","at":1}');
  assert.deepEqual(log.append([{ leaf: start }, crossing(1), { leaf: Buffer.from("{}") }]).refused, [
    { place: 0, code: "leaf-refused" },
    { place: 2, code: "leaf-refused" },
  ]);
  assert.throws(() => log.append([{ leaf: Buffer.alloc(65_536) }]), faultWith("leaf-refused"));
});

test("a second opener of one directory is refused and told which", () => {
  const { open } = lossyLog();
  const log = open();
  assert.throws(() => open(), faultWith("log-locked", /\/log is in use by another process/));
  log.close();
  open().close();
});

function closedLog(batches = 30, more: Partial<LogOptions> = {}) {
  const made = lossyLog(more);
  const log = made.open();
  for (let i = 0; i < batches; i++) log.append([crossing(i)]);
  log.close();
  return made;
}

const wal = "/log/2026/wal/0000000000000000.wal";

test("an interrupted write at the very end is cut, and the log goes on", () => {
  const { disk, open } = closedLog();
  const bytes = contentOf(disk, wal);
  for (const tail of [Buffer.alloc(7, 1), Buffer.alloc(4_000), bytes.subarray(61, 200)]) {
    put(disk, wal, Buffer.concat([bytes, tail]));
    const log = open();
    assert.equal(log.size, 33);
    assert.equal(log.find(sampleId(29)).length, 1);
    // The lock and nothing else is given back: the next round starts from the same bytes.
    log.close();
    put(disk, wal, bytes);
    for (const name of ["head", "checkpoint", "state"]) disk.unlink(`/log/2026/${name}`);
  }
});

test("attack: the tail of a signed log is deleted; the start is refused with what to do", () => {
  const { disk, open } = closedLog();
  const bytes = contentOf(disk, wal);
  put(disk, wal, bytes.subarray(0, bytes.length - 700));
  assert.throws(() => open(), faultWith("log-rolled-back", /head says the log had 32 leaves, but it has 3\d.*restore/));
});

test("attack: a frame in the middle is torn; it is not silently cut with all that follows", () => {
  const { disk, open } = closedLog();
  const bytes = contentOf(disk, wal);
  bytes.fill(0, 3_000, 3_100);
  put(disk, wal, bytes);
  for (const name of ["head", "checkpoint", "state"]) disk.unlink(`/log/2026/${name}`);
  assert.throws(() => open(), faultWith("log-corrupt", /damaged at byte \d+.*whole frame follows.*nothing was cut/));
  assert.deepEqual(contentOf(disk, wal), bytes);
});

test("attack: a segment is removed from the middle or the end", () => {
  for (const which of [1, -1]) {
    const { disk, open } = closedLog(60, { segmentBytesMax: 3_000 });
    const segments = disk.list("/log/2026/wal").filter((name) => name.endsWith(".wal"));
    assert.ok(segments.length > 4);
    disk.unlink(`/log/2026/wal/${segments.at(which)}`);
    disk.unlink("/log/2026/state");
    assert.throws(() => open(), faultWith(which === 1 ? "log-corrupt" : "log-rolled-back"), String(which));
  }
});

test("attack: an older copy of the whole directory is put back; the copies outside give it away", () => {
  const { disk, open } = lossyLog({ checkpointCopies: "/copies" });
  const first = open();
  first.append([crossing(1)]);
  first.close();
  const old = disk.files();
  const second = open();
  second.append([crossing(2)]);
  second.close();
  for (const [path, bytes] of old) if (path !== "/copies") put(disk, path, Buffer.from(bytes));
  assert.throws(() => open(), faultWith("log-rolled-back", /\/copies says the log had/));
});

test("attack: the published checkpoint is replaced by an older one with its head", () => {
  const { disk, open } = lossyLog();
  const log = open();
  const older = log.checkpoint();
  log.append([crossing(1)]);
  log.close();
  put(disk, "/log/2026/head", Buffer.from(older));
  assert.throws(() => open(), faultWith("log-rolled-back", /checkpoint says the log had/));
});

test("attack: history is rewritten with correct checksums; the signed root gives it away, and no tile is overwritten", () => {
  const { disk, open } = closedLog();
  const tile = [...disk.files().keys()].find((path) => path.includes("/tile/0/")) ?? assert.fail();
  const before = contentOf(disk, tile);
  const forged = lossyLog();
  const log = forged.open();
  for (let i = 0; i < 30; i++) log.append([crossing(i === 4 ? 999 : i)]);
  log.close();
  put(disk, wal, contentOf(forged.disk, wal));
  disk.unlink("/log/2026/state");
  assert.throws(() => open(), faultWith("log-rolled-back", /rewritten or forked/));
  assert.deepEqual(contentOf(disk, tile), before);
});

test("attack: another key signs on; the start is refused", () => {
  const { open } = closedLog();
  assert.throws(() => open({ key: otherKey }), faultWith("log-key", /signed by another key.*restore the log.key/));
});

test("attack: the folder of the newest year is taken away; the copies give it away", () => {
  const { clock, disk, open } = lossyLog({ checkpointCopies: "/copies" });
  open().close();
  const old = [...disk.files().keys()];
  clock.now = nextYear;
  open().close();
  const left = new LossyDisk({ random: () => 0.1 });
  for (const directory of [
    "/log",
    "/log/2026",
    "/log/2026/wal",
    "/log/2026/tile",
    "/log/2026/tile/0",
    "/log/2026/tile/0/000.p",
    "/log/2026/tile/entries",
    "/log/2026/tile/entries/000.p",
  ])
    left.makeDirectory(directory);
  for (const path of [...old, "/copies"]) put(left, path, contentOf(disk, path));
  assert.throws(() => open({ disk: left }), faultWith("log-rolled-back", /2027 is missing/));
});

test("attack: two processes sign the same origin; the second to swap is refused", () => {
  const { disk, open } = lossyLog();
  const log = open();
  log.append([crossing(1)]);
  put(disk, "/log/2026/head", Buffer.from("what another process wrote"));
  assert.throws(() => log.checkpoint(), faultWith("log-rolled-back", /not the checkpoint this process signed last/));
  assert.throws(() => log.append([crossing(2)]), faultWith("log-rolled-back"));
});

test("tiles and bundles that are gone or damaged are made again from the write-ahead log", () => {
  const { disk, open } = closedLog(600);
  for (const path of disk.files().keys()) if (path.includes("/tile/")) put(disk, path, Buffer.from("rubbish"));
  open().close();
  const bundle = contentOf(disk, "/log/2026/tile/entries/000");
  assert.ok(bundle.includes(Buffer.from(sampleLeaf("crossing", 5))));
});

test("a crash between swapping and publishing publishes at the next start", () => {
  const { disk, open } = closedLog();
  disk.unlink("/log/2026/checkpoint");
  open();
  assert.ok(disk.files().has("/log/2026/checkpoint"));
});

test("no fault's public text says anything about this installation", () => {
  const fault = new LogFault("log-locked", "/var/lib/secret-name is in use");
  assert.ok(!fault.public.includes("secret"));
});
