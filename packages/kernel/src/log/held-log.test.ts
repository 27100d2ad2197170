import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseNote, printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { LogFault, type LogFaultCode } from "./fault.ts";
import { openHeldLogs } from "./held-log.ts";
import type { HeldRecords } from "./held-records.ts";
import { Log, type LogOptions } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import { openLog } from "./log-thread.ts";
import { LossyDisk } from "./lossy-disk.ts";
import type { FoundRecord } from "./port.ts";
import { sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { key, lossyLog, nextYear, november, origin, otherKey } from "./sample-log.test-support.ts";

const root = mkdtempSync(join(tmpdir(), "sallyport-held-"));
after(() => rmSync(root, { recursive: true, force: true }));
const originOfNext = "sallyport.local/main/production/gw-1/gateway/2027";
const faultWith = (code: LogFaultCode, text: string) => (error: unknown) =>
  error instanceof LogFault && error.code === code && error.message.includes(text);

function makeLog(more: Partial<LogOptions> = {}) {
  const { disk, clock, open } = lossyLog(more);
  const log = open();
  writeFile(disk, "/log/log.vkey", printVerifierKey(sha256, log.origin, key.publicKey));
  return { disk, clock, log };
}

function writeFile(disk: LossyDisk, path: string, content: string | Uint8Array) {
  const file = disk.open(path, "write");
  file.truncate(0);
  file.write(0, Buffer.from(content));
}

const contentOf = (disk: LossyDisk, path: string) => Buffer.from(disk.files().get(path) ?? assert.fail(path));

/** Crossings in batches of many sizes, every third batch with a reference that its entries share. */
function appendCrossings(log: Log, count: number): { leaf: Uint8Array; reference: Uint8Array | null }[] {
  const made: { leaf: Uint8Array; reference: Uint8Array | null }[] = [];
  for (let batch = 0; made.length < count; batch++) {
    const reference = batch % 3 === 0 ? Buffer.from(`sealed inputs of batch ${batch}`) : undefined;
    const inputs = reference === undefined ? null : createHash("sha256").update(reference).digest("hex");
    const size = Math.min(count - made.length, 1 + ((batch * 7) % 23));
    const leaves = Array.from({ length: size }, (_, i) => sampleLeaf("crossing", made.length + i, inputs));
    log.append(leaves.map((leaf) => ({ leaf, reference })));
    made.push(...leaves.map((leaf) => ({ leaf, reference: reference ?? null })));
  }
  return made;
}

async function readAll(held: HeldRecords, name: string, step: number, from = 0): Promise<FoundRecord[]> {
  const records: FoundRecord[] = [];
  for (let next = from; ; next = from + records.length) {
    const read = await held.read(name, next, step);
    if (read.length === 0) return records;
    assert.ok(read.length <= step);
    records.push(...read);
  }
}

const textOf = (bytes: Uint8Array | null | undefined) => (bytes ? Buffer.from(bytes).toString("latin1") : null);

test("every record comes once, in order, with the reference it shares, over segments of any size and in steps of any size", async () => {
  for (const segmentBytesMax of [2_000, 60_000, 67_108_864]) {
    const { disk, log } = makeLog({ segmentBytesMax });
    const appended = appendCrossings(log, 900);
    log.checkpoint();
    const held = openHeldLogs({ directories: () => ["/log"], disk });
    assert.deepEqual(
      (await held.origins()).map(({ checkpoint, ...rest }) => ({
        ...rest,
        names: parseNote(checkpoint)?.text.split("\n")[0],
      })),
      [
        {
          origin,
          names: origin,
          tenant: "main",
          environment: "production",
          node: "gw-1",
          role: "gateway",
          year: 2026,
          size: 902,
          verifierKey: printVerifierKey(sha256, origin, key.publicKey),
        },
      ],
    );
    for (const step of [1, 7, 64, 5_000]) {
      const records = await readAll(held, origin, step);
      assert.deepEqual(
        records.map(({ index }) => index),
        Array.from({ length: 902 }, (_, i) => i),
      );
      assert.deepEqual(
        records.slice(2).map(({ leaf, reference }) => [textOf(leaf), textOf(reference)]),
        appended.map(({ leaf, reference }) => [textOf(leaf), textOf(reference)]),
      );
    }
  }
});

test("a read may begin anywhere: also in the middle of a frame, whose shared reference is found", async () => {
  const { disk, log } = makeLog({ segmentBytesMax: 9_000 });
  const appended = appendCrossings(log, 400);
  log.checkpoint();
  const held = openHeldLogs({ directories: () => ["/log"], disk });
  for (let n = 0; n < 400; n++) {
    const index = 2 + ((n * 167) % 400);
    const [record] = await held.read(origin, index, 1);
    assert.equal(record?.index, index);
    assert.equal(textOf(record?.leaf), textOf(appended[index - 2]?.leaf));
    assert.equal(textOf(record?.reference), textOf(appended[index - 2]?.reference));
  }
});

test("what no published checkpoint covers is not read, and is once one does", async () => {
  const { disk, log } = makeLog();
  appendCrossings(log, 10);
  log.checkpoint();
  const held = openHeldLogs({ directories: () => ["/log"], disk });
  appendCrossings(log, 5);
  assert.equal((await held.origins())[0]?.size, 12);
  assert.equal((await readAll(held, origin, 100)).length, 12);
  log.checkpoint();
  assert.equal((await readAll(held, origin, 100, 12)).length, 5);
});

test("the turn of the year: the origin that ended stays, to its last record", async () => {
  const { disk, log, clock } = makeLog();
  appendCrossings(log, 10);
  log.checkpoint();
  const held = openHeldLogs({ directories: () => ["/log"], disk });
  await held.origins();
  appendCrossings(log, 3);
  clock.now = nextYear;
  appendCrossings(log, 4);
  log.checkpoint();
  assert.deepEqual(
    (await held.origins()).map((one) => [one.origin, one.size]),
    [
      [origin, 15],
      [originOfNext, 5],
    ],
  );
  assert.equal((await readAll(held, origin, 100)).length, 15);
  assert.equal((await readAll(held, originOfNext, 100)).length, 5);
});

test("the log before a restore is read too, under its own key", async () => {
  const { disk, log } = makeLog({ directory: "/log" });
  appendCrossings(log, 6);
  log.close();
  const files = [...disk.files()].filter(([path]) => /^\/log\/(2026\/(wal\/.*|checkpoint)|log.vkey)$/.test(path));
  const after = new LossyDisk({ random: () => 0.1 });
  for (const folder of ["/new", "/new/before", "/new/before/2026", "/new/before/2026/wal"]) after.makeDirectory(folder);
  for (const [path, bytes] of files) writeFile(after, path.replace("/log/", "/new/before/"), bytes);
  const newer = { ...sampleIdentity, node: "gw-2" };
  const next = Log.open({
    disk: after,
    directory: "/new",
    identity: newer,
    now: () => november,
    key: otherKey,
    lowSpaceBytes: 0,
    reserveBytes: 0,
  });
  writeFile(after, "/new/log.vkey", printVerifierKey(sha256, next.origin, otherKey.publicKey));
  const held = openHeldLogs({ directories: () => ["/new", "/not-there"], disk: after });
  assert.deepEqual(
    (await held.origins()).map((one) => [one.node, one.size]),
    [
      ["gw-1", 8],
      ["gw-2", 2],
    ],
  );
  assert.equal((await readAll(held, origin, 100)).length, 8);
});

test("a damaged frame is named with its file and byte; what lies before it is read, and other logs are", async () => {
  const { disk, log } = makeLog({ segmentBytesMax: 2_000 });
  appendCrossings(log, 200);
  log.checkpoint();
  const [, path = ""] = [...disk.files().keys()].filter((name) => name.endsWith(".wal"));
  const first = Number(path.slice(-20, -4));
  const bytes = contentOf(disk, path);
  bytes.writeUInt8(bytes.readUInt8(300) ^ 1, 300);
  writeFile(disk, path, bytes);
  const held = openHeldLogs({ directories: () => ["/log"], disk });
  assert.equal((await held.read(origin, 0, first)).length, first);
  await assert.rejects(held.read(origin, first, 100), faultWith("log-corrupt", `${path}: the frame does not match`));
  await assert.rejects(held.read(origin, first, 100), faultWith("log-corrupt", path));
  assert.ok((await held.read(origin, 150, 10)).length > 0, "what lies behind is read by whoever asks for it");
});

test("a segment that is gone, cut or of another origin is an error, never a gap", async () => {
  const { disk, log } = makeLog({ segmentBytesMax: 2_000 });
  appendCrossings(log, 200);
  log.checkpoint();
  const walls = [...disk.files().keys()].filter((name) => name.endsWith(".wal"));
  const [, middle = "", third = ""] = walls;
  const whole = contentOf(disk, middle);
  const damage: readonly (() => void)[] = [
    () => disk.unlink(middle),
    () => writeFile(disk, middle, whole.subarray(0, 61)),
    () => writeFile(disk, middle, contentOf(disk, third)),
    () => writeFile(disk, middle, Buffer.concat([whole.subarray(0, 30), Buffer.alloc(1), whole.subarray(31)])),
  ];
  for (const act of damage) {
    act();
    const held = openHeldLogs({ directories: () => ["/log"], disk });
    await assert.rejects(
      readAll(held, origin, 50),
      (error) => error instanceof LogFault && error.code === "log-corrupt",
    );
    writeFile(disk, middle, whole);
  }
  assert.equal((await readAll(openHeldLogs({ directories: () => ["/log"], disk }), origin, 50)).length, 202);
});

test("a checkpoint that is put back is told once, and nothing more is read until the log is the newest again", async () => {
  const { disk, log } = makeLog();
  const old = log.checkpoint();
  appendCrossings(log, 20);
  const newest = log.checkpoint();
  const faults: string[] = [];
  const held = openHeldLogs({ directories: () => ["/log"], disk, fault: (fault) => faults.push(fault.code) });
  assert.equal((await held.origins())[0]?.size, 22);
  writeFile(disk, "/log/2026/checkpoint", old);
  assert.equal((await held.origins())[0]?.size, 22, "an origin stays as far as it was seen");
  await held.origins();
  assert.deepEqual(faults, ["log-rolled-back"]);
  await assert.rejects(held.read(origin, 0, 10), faultWith("log-rolled-back", "/log/2026/checkpoint"));
  writeFile(disk, "/log/2026/checkpoint", newest);
  await held.origins();
  assert.equal((await held.read(origin, 0, 10)).length, 10);
});

test("a checkpoint that another key signed, or none, is not believed", async () => {
  const { disk } = makeLog({ key: otherKey });
  const faults: LogFault[] = [];
  const held = openHeldLogs({ directories: () => ["/log"], disk, fault: (fault) => faults.push(fault) });
  assert.deepEqual(await held.origins(), []);
  assert.ok(faults.length === 1 && faults[0]?.message.includes("/log/2026/checkpoint"));
  await assert.rejects(held.read(origin, 0, 1), faultWith("not-found", origin));
  writeFile(disk, "/log/2026/checkpoint", "nonsense");
  assert.deepEqual(await held.origins(), []);
  assert.equal(faults.length, 2);
});

test("a log that runs in a thread of its own is followed to its last record while it is appended to", {
  timeout: 120_000,
}, async () => {
  const directory = join(root, "running");
  const log = await openLog({ directory, identity: sampleIdentity, checkpointIntervalMs: 20, reserveBytes: 0 });
  const held = openHeldLogs({ directories: () => [directory] });
  const total = 6_000;
  const appending = (async () => {
    for (let n = 0; n < total; n += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => log.append(sampleLeaf("crossing", n + i))));
    }
    await log.checkpoint();
  })();
  const stop = new AbortController();
  let next = 0;
  while (next < total + 2) {
    const before = (await held.origins()).find(({ origin: name }) => name === log.origin)?.size ?? 0;
    const records = await held.read(log.origin, next, 500);
    assert.ok(records.every(({ index }, i) => index === next + i));
    next += records.length;
    // `grown` compares with what `origins` showed.
    if (records.length === 0 && next >= before) await held.grown(stop.signal);
  }
  await appending;
  await log.close();
  assert.equal((await held.origins())[0]?.size, total + 2);
});

test("waiting for growth ends when it is given up, and when the reader is closed nothing is read", async () => {
  const { disk } = makeLog();
  const held = openHeldLogs({ directories: () => ["/log"], disk });
  await held.origins();
  const stop = new AbortController();
  const waiting = held.grown(stop.signal);
  stop.abort();
  await waiting;
  await held.close();
  await assert.rejects(held.read(origin, 0, 1), faultWith("log-closed", "closed"));
});

test("a look that stood still for a moment is not followed by a pause of fifty such moments", async () => {
  const { disk, log } = makeLog();
  const stillMs = 400;
  const still = new Int32Array(new SharedArrayBuffer(4));
  let looks = 0;
  const held = openHeldLogs({
    directories: () => {
      // The first is of `origins`, the second the first of `grown`.
      looks += 1;
      if (looks === 2) Atomics.wait(still, 0, 0, stillMs);
      return ["/log"];
    },
    disk,
  });
  await held.origins();
  const patience = new AbortController();
  const waiting = held.grown(patience.signal);
  log.append([{ leaf: sampleLeaf("crossing", 0, null) }]);
  log.checkpoint();
  const late = setTimeout(() => patience.abort(), (stillMs * 50) / 2);
  await waiting;
  clearTimeout(late);
  assert.equal(patience.signal.aborted, false, "growth was seen before half of fifty such moments were over");
  await held.close();
});
