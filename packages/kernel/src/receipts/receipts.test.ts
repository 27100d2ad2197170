// Receipts out of logs that grow, with many segments, over the turn of a year, cosigned, damaged; and the thread that makes them.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { addSignatureLines, printWitnessKey, signCosignature } from "@sallyport/protocol/audit/cosignature.ts";
import { parseVerifierKey, printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type ReceiptVerdict, verifyReceipt } from "@sallyport/protocol/audit/receipt.ts";
import { parsePolicy } from "@sallyport/protocol/audit/tlog-policy.ts";
import { LogFault, type LogFaultCode } from "../log/fault.ts";
import { Log, type LogOptions } from "../log/log.ts";
import { noteCrypto, sha256 } from "../log/log-crypto.ts";
import { openLog } from "../log/log-thread.ts";
import { LossyDisk } from "../log/lossy-disk.ts";
import { ReceiptFinder } from "./finder.ts";
import { makeReceipt } from "./make-receipt.ts";
import { openReceipts, waitingMax, waitingOfAskerMax } from "./thread.ts";
import {
  crossingId,
  crossingLeaf,
  gatewayIdentity as identity,
  intentLeaf,
  logKey as key,
  newYear,
  november,
  outcomeLeaf,
  otherLogKey as witness,
} from "./timed-leaves.test-support.ts";

const vkey = printVerifierKey(sha256, "sallyport.local/main/production/gw-1/gateway/2026", key.publicKey);
const faultWith = (code: LogFaultCode) => (error: unknown) => error instanceof LogFault && error.code === code;

function makeLog(more: Partial<LogOptions> = {}) {
  const disk = new LossyDisk({ random: () => 0.1 });
  const clock = { now: november };
  const log = Log.open({
    disk,
    directory: "/log",
    identity,
    now: () => clock.now,
    key,
    lowSpaceBytes: 0,
    reserveBytes: 0,
    ...more,
  });
  const append = (...leaves: readonly Uint8Array[]) => log.append(leaves.map((leaf) => ({ leaf })));
  return { disk, clock, log, append };
}

/** From now on every file of the log that is opened, and the bytes read of it, are noted. */
function noted(disk: LossyDisk) {
  const seen = { opened: 0, bytes: 0 };
  const open = disk.open.bind(disk);
  disk.open = (path, mode) => {
    const file = open(path, mode);
    if (!path.includes("/wal/")) return file;
    seen.opened += 1;
    const read = file.read.bind(file);
    return Object.assign(file, {
      read: (at: number, length: number, memory?: Buffer) => {
        const found = read(at, length, memory);
        seen.bytes += found.length;
        return found;
      },
    });
  };
  return seen;
}

function judge(receipt: string | null, crossing: string, policy: string | null = null): ReceiptVerdict {
  assert.ok(receipt !== null, `there is a receipt of ${crossing}`);
  const parsed = parsePolicy(sha256, Buffer.from(policy ?? "quorum none\n"));
  assert.ok(parsed.kind === "ok");
  const keys = [parseVerifierKey(sha256, vkey) ?? assert.fail()];
  return verifyReceipt(noteCrypto, receipt, { trust: { keys, policy: parsed.policy }, crossing, now: Date.now() });
}

const times = Array.from({ length: 600 }, (_, n) => november + n * 60_000);

test("every crossing of a log of many segments has its receipt, and few of the segments are read for one", () => {
  const { disk, clock, log, append } = makeLog({ segmentBytesMax: 10_000 });
  for (const at of times) {
    clock.now = at;
    append(crossingLeaf(at));
  }
  log.checkpoint();
  const seen = noted(disk);
  const finder = new ReceiptFinder(disk, "/log");
  const segments = disk.list("/log/2026/wal").filter((name) => name.endsWith(".wal")).length;
  assert.ok(segments > 20, `${segments}`);
  finder.find(crossingId(times[0] ?? 0));
  for (const at of times) {
    seen.opened = 0;
    const verdict = judge(finder.find(crossingId(at)).receipt, crossingId(at));
    assert.ok(verdict.kind === "ok" && verdict.decided.at === at, JSON.stringify(verdict));
    assert.ok(seen.opened < 20, `${seen.opened} segments opened`);
    assert.equal(finder.find(crossingId(at, 1)).decided, null, "another id of the same moment");
  }
});

test("a crossing that a checkpoint does not cover yet is found, and has no receipt before it does", () => {
  const { disk, log, append } = makeLog();
  append(crossingLeaf(november));
  log.checkpoint();
  append(crossingLeaf(november, 1));
  const finder = new ReceiptFinder(disk, "/log");
  const { decided, receipt } = finder.find(crossingId(november, 1));
  assert.deepEqual([decided, receipt], [Buffer.from(crossingLeaf(november, 1)).toString("latin1"), null]);
  assert.throws(() => makeReceipt("/log", crossingId(november, 1), disk), faultWith("not-found"));
  log.checkpoint();
  assert.equal(judge(finder.find(crossingId(november, 1)).receipt, crossingId(november, 1)).kind, "ok");
  assert.equal(finder.find(crossingId(november, 1)).receipt, makeReceipt("/log", crossingId(november, 1), disk));
});

test("a segment that grows is read on from where it was left", () => {
  const { disk, log, append } = makeLog();
  const finder = new ReceiptFinder(disk, "/log");
  const seen = noted(disk);
  for (let n = 0; n < 400; n++) append(crossingLeaf(november, n));
  log.checkpoint();
  finder.find(crossingId(november, 0));
  assert.ok(seen.bytes > 100_000, `${seen.bytes}`);
  seen.bytes = 0;
  append(crossingLeaf(november, 400));
  log.checkpoint();
  assert.notEqual(finder.find(crossingId(november, 400)).receipt, null);
  assert.ok(seen.bytes < 10_000, `${seen.bytes} bytes read`);
});

test("an effect has no receipt before its end, and one of both leaves behind it, segments and hours later", () => {
  const { disk, clock, log, append } = makeLog({ segmentBytesMax: 5_000 });
  const finder = new ReceiptFinder(disk, "/log");
  const crossing = crossingId(november);
  append(intentLeaf(november));
  for (const at of times.slice(1, 300)) {
    clock.now = at;
    append(crossingLeaf(at));
  }
  log.checkpoint();
  assert.deepEqual(finder.find(crossing), {
    decided: Buffer.from(intentLeaf(november)).toString("latin1"),
    receipt: null,
  });
  append(outcomeLeaf(november, clock.now));
  log.checkpoint();
  const verdict = judge(finder.find(crossing).receipt, crossing);
  assert.ok(verdict.kind === "ok");
  assert.deepEqual([verdict.decided.at, verdict.ended.at], [november, clock.now]);
});

test("a crossing over the turn of the year is proven in both years", () => {
  const { disk, clock, log, append } = makeLog();
  const begun = newYear - 5_000;
  clock.now = begun;
  append(intentLeaf(begun));
  clock.now = newYear + 5_000;
  append(outcomeLeaf(begun, clock.now), crossingLeaf(clock.now));
  log.checkpoint();
  for (const receipt of [
    new ReceiptFinder(disk, "/log").find(crossingId(begun)).receipt,
    makeReceipt("/log", crossingId(begun), disk),
  ]) {
    const verdict = judge(receipt, crossingId(begun));
    assert.ok(verdict.kind === "ok", JSON.stringify(verdict));
    assert.deepEqual(
      verdict.proven.map(({ origin }) => origin.slice(-4)),
      ["2026", "2027"],
    );
  }
  assert.equal(judge(makeReceipt("/log", crossingId(clock.now), disk), crossingId(clock.now)).kind, "ok");
});

/** Seconds; behind every clock that judges it. */
const cosignedAt = 1_780_000_000;

test("the checkpoint that most have cosigned is the one a receipt is made under, where it covers the crossing", () => {
  const { disk, log, append } = makeLog();
  append(crossingLeaf(november));
  const note = log.checkpoint();
  const body = note.slice(0, note.lastIndexOf("\n\n") + 1);
  const signer = { name: "witness.example/w", ...witness };
  const cosigned = addSignatureLines(note, signCosignature(sha256, body, cosignedAt, signer)) ?? assert.fail();
  const file = disk.open("/log/2026/cosigned", "write");
  file.write(0, Buffer.from(`${cosigned}\n`));
  for (let n = 1; n < 700; n++) append(crossingLeaf(november, n));
  log.checkpoint();
  const policy = `witness w ${printWitnessKey(sha256, signer.name, witness.publicKey)}\nquorum w\n`;
  const finder = new ReceiptFinder(disk, "/log");
  const early = judge(finder.find(crossingId(november)).receipt, crossingId(november), policy);
  assert.ok(early.kind === "ok", JSON.stringify(early));
  assert.deepEqual(early.proven[0]?.cosigned, { w: cosignedAt });
  const late = finder.find(crossingId(november, 5)).receipt;
  assert.equal(judge(late, crossingId(november, 5)).kind, "ok");
  assert.deepEqual(judge(late, crossingId(november, 5), policy), { kind: "refused", why: "no-quorum" });
});

test("no receipt is made where the tiles do not lead to the signed root", () => {
  const { disk, log, append } = makeLog();
  for (let n = 0; n < 300; n++) append(crossingLeaf(november, n));
  log.checkpoint();
  const file = disk.open("/log/2026/tile/0/000", "write");
  file.write(40, Buffer.from([(file.read(40, 1)[0] ?? 0) ^ 1]));
  assert.throws(() => new ReceiptFinder(disk, "/log").find(crossingId(november, 7)), faultWith("log-corrupt"));
});

test("what is no id, and what the log does not hold, is not found", () => {
  const { disk, log, append } = makeLog();
  append(crossingLeaf(november));
  log.checkpoint();
  const finder = new ReceiptFinder(disk, "/log");
  for (const id of [
    "",
    "x",
    "../../log.key",
    crossingId(november, 9),
    crossingId(0),
    crossingId(november + 86_400_000),
  ])
    assert.deepEqual(finder.find(id), { decided: null, receipt: null }, id);
  assert.deepEqual(new ReceiptFinder(disk, "/nowhere").find(crossingId(november)), { decided: null, receipt: null });
});

const root = mkdtempSync(join(tmpdir(), "sallyport-receipts-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** A log with one crossing of `now`, and the thread that reads it. */
async function withThread(
  name: string,
  run: (bed: {
    readonly log: Awaited<ReturnType<typeof openLog>>;
    readonly receipts: ReturnType<typeof openReceipts>;
    readonly now: number;
  }) => Promise<void>,
): Promise<void> {
  const directory = join(root, name);
  const log = await openLog({ directory, identity, checkpointIntervalMs: 0, reserveBytes: 0 });
  const receipts = openReceipts(directory);
  try {
    const now = Date.now();
    await log.append(crossingLeaf(now));
    await log.checkpoint();
    await run({ log, receipts, now });
  } finally {
    await receipts.close();
    await log.close();
  }
}

test("the thread answers beside a log that is written, refuses more than may wait, and answers nobody once closed", async () => {
  await withThread("log", async ({ log, receipts, now }) => {
    const { receipt } = await receipts.find(crossingId(now), "orders");
    const trust = { keys: [parseVerifierKey(sha256, log.verifierKey) ?? assert.fail()], policy: null };
    const verdict = verifyReceipt(noteCrypto, receipt ?? "", { trust, crossing: crossingId(now), now: Date.now() });
    assert.equal(verdict.kind, "ok");
    // One of them is with the thread and waits no more.
    const flood = Array.from({ length: waitingMax + 11 }, (_, at) => receipts.find(crossingId(now), `asker-${at % 3}`));
    const ends = await Promise.allSettled(flood);
    assert.equal(ends.filter(({ status }) => status === "fulfilled").length, waitingMax + 1);
    await assert.rejects(flood.at(-1) ?? assert.fail(), faultWith("log-full"));
    const waiting = receipts.find(crossingId(now), "orders");
    await Promise.all([assert.rejects(waiting, faultWith("log-closed")), receipts.close()]);
    await assert.rejects(receipts.find(crossingId(now), "orders"), faultWith("log-closed"));
  });
});

test("attack: one asker's flood of long questions takes neither the places nor the turns of others", async () => {
  await withThread("turns", async ({ receipts, now }) => {
    const answered: string[] = [];
    const ask = (asker: string) =>
      receipts.find(crossingId(now), asker).then(
        () => answered.push(asker),
        () => answered.push(`${asker} refused`),
      );
    const all = Array.from({ length: waitingOfAskerMax + 20 }, () => ask("flooder"));
    all.push(ask("billing"), ask("orders"), ask("billing"));
    await Promise.all(all);
    const served = answered.filter((asker) => asker !== "flooder refused");
    assert.equal(answered.length - served.length, 19);
    // Its first question was with the thread before the others came, its second stood first in turn.
    assert.deepEqual(served.slice(0, 6), ["flooder", "flooder", "billing", "orders", "flooder", "billing"]);
  });
});
