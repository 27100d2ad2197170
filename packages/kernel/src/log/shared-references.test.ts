// Promises of references that several leaves of a batch name: stored once, found for each, kept when the one that held it is refused, and never
// exchanged unseen. Trusts the lossy disk. Specified in docs/formats/leaf.md "On disk".
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { encodeEntries, type LogEntry, siftBatch } from "./batch.ts";
import { Log } from "./log.ts";
import { sha256 } from "./log-crypto.ts";
import { openLog } from "./log-thread.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { openIntentsMax } from "./open-intents.ts";
import { sampleId, sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { key, november } from "./sample-log.test-support.ts";
import { newSpan, printFrame, readEntrySpan, readFrame } from "./segment.ts";
import { verifyLogDirectory } from "./verify.ts";

const reference = Buffer.from("the sealed inputs of everybody in this batch");
const inputs = createHash("sha256").update(reference).digest("hex");
const sharing = (t: "crossing" | "intent", n: number): LogEntry => ({ leaf: sampleLeaf(t, n, inputs), reference });

function openOn(disk: LossyDisk) {
  const log = Log.open({
    disk,
    directory: "/log",
    identity: sampleIdentity,
    now: () => november,
    key,
    lowSpaceBytes: 0,
    reserveBytes: 0,
  });
  const verify = () =>
    verifyLogDirectory("/log", { disk, verifierKey: printVerifierKey(sha256, log.origin, key.publicKey) });
  return { log, verify };
}

const occurrences = (bytes: Buffer, text: Buffer): number =>
  bytes.toString("latin1").split(text.toString("latin1")).length - 1;

test("leaves of a batch that name the very same reference store it once, and each is found with it", () => {
  const disk = new LossyDisk({ random: () => 0.1 });
  const { log, verify } = openOn(disk);
  log.append([
    sharing("crossing", 1),
    { leaf: sampleLeaf("crossing", 2) },
    sharing("crossing", 3),
    sharing("crossing", 4),
  ]);
  for (const n of [1, 3, 4]) assert.deepEqual(Buffer.from(log.find(sampleId(n))[0]?.reference ?? []), reference);
  assert.equal(log.find(sampleId(2))[0]?.reference, null);
  log.close();
  const [wal] = [...disk.files()].filter(([path]) => path.endsWith(".wal"));
  assert.equal(occurrences(Buffer.from(wal?.[1] ?? []), reference), 1);
  assert.deepEqual(verify().problems, []);
});

test("attack: a leaf shares a reference it does not name", () => {
  const { log, verify } = openOn(new LossyDisk({ random: () => 0.1 }));
  log.append([sharing("crossing", 1), { leaf: sampleLeaf("crossing", 2, "5b".repeat(32)), reference }]);
  log.close();
  assert.deepEqual(
    verify().problems.map(({ kind, index }) => [kind, index]),
    [["reference", 3]],
  );
});

test("a frame whose entry shares what is not there, or not the nearest before it, is no frame", () => {
  const other = { leaf: sampleLeaf("crossing", 7), reference: Buffer.from("other") };
  const entries = encodeEntries([
    sharing("crossing", 1),
    sharing("crossing", 2),
    other,
    { leaf: sampleLeaf("crossing", 8) },
  ]);
  assert.equal(typeof readFrame(printFrame(5, 4, entries), 0, 5), "object");
  const spans = [0, 1, 2, 3].map(() => newSpan(0, entries.length));
  let at = 0;
  for (const span of spans) {
    readEntrySpan(entries, at, span);
    at = span.end;
  }
  const [first, second, , last] = spans;
  assert.ok(first && second && last);
  const flagged = (entry: { at: number }, back: number) => {
    const bytes = Buffer.from(entries);
    bytes.writeUInt32BE(0x8000_0000 + back, entry.at + 2);
    return readFrame(printFrame(5, 4, bytes), 0, 5);
  };
  for (const back of [0, 1, second.at - 1, second.at + 1, 0x7fff_ffff])
    assert.match(String(flagged(second, back)), /shares a reference that is not there/, String(back));
  assert.match(String(flagged(last, last.at - first.at)), /shares a reference that is not there/);
});

test("the reference moves to the next leaf that shares it when the one that held it is refused", () => {
  const batch = [sharing("intent", 1), sharing("crossing", 2), sharing("intent", 3), sharing("crossing", 4)];
  const sifted = siftBatch(encodeEntries(batch), batch.length, { urgentOnly: false, intentsOpen: openIntentsMax });
  assert.deepEqual(
    sifted.refused.map(({ place }) => place),
    [0, 2],
  );
  assert.deepEqual(sifted.bytes, encodeEntries([sharing("crossing", 2), sharing("crossing", 4)]));
  assert.equal(typeof readFrame(printFrame(0, 2, sifted.bytes), 0, 0), "object");
});

test("what is put while a batch leaves travels in it, shares its reference over the thread, and is told once it is durable", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-shared-"));
  try {
    const log = await openLog({ directory: join(directory, "log"), identity: sampleIdentity, checkpointIntervalMs: 0 });
    let calls = 0;
    const put = new Promise<number[]>((resolve, reject) => {
      const indexes: number[] = [];
      log.gather((record) => {
        calls += 1;
        for (const n of [1, 2, 3]) {
          const { leaf } = sharing("crossing", n);
          const told = ({ index }: { index: number }) => indexes.push(index) === 3 && resolve(indexes);
          record(leaf, reference, { resolve: told, reject });
        }
      });
    });
    assert.deepEqual(await put, [2, 3, 4]);
    assert.equal(log.size(), 5);
    for (const n of [1, 2, 3])
      assert.deepEqual(Buffer.from((await log.find(sampleId(n)))[0]?.reference ?? []), reference);
    await log.close();
    const refused = await new Promise<Error>((resolve) => {
      log.gather((record) => record(sharing("crossing", 4).leaf, reference, { resolve: () => {}, reject: resolve }));
    });
    assert.equal("code" in refused && refused.code, "log-closed");
    assert.equal(calls, 1);
    const report = verifyLogDirectory(join(directory, "log"), { verifierKey: log.verifierKey });
    assert.deepEqual(report.problems, []);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
