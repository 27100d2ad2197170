import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { LogFault, type LogFaultCode } from "./fault.ts";
import { queuedRecordsMax } from "./log-client.ts";
import { type OpenLogOptions, openLog } from "./log-thread.ts";
import { checkProof, prove } from "./prove.ts";
import { sampleId, sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { pkcs8 } from "./sample-log.test-support.ts";
import { readCheckpointFile, verifyLogDirectory } from "./verify.ts";

const root = mkdtempSync(join(tmpdir(), "sallyport-log-"));
after(() => rmSync(root, { recursive: true, force: true }));
const faultWith = (code: LogFaultCode) => (error: unknown) => error instanceof LogFault && error.code === code;

let made = 0;
const optionsFor = (more: Partial<OpenLogOptions> = {}): OpenLogOptions => ({
  directory: join(root, `log-${made++}`),
  identity: sampleIdentity,
  checkpointIntervalMs: 0,
  reserveBytes: 0,
  ...more,
});

test("what the thread acknowledged is there after close, in the order of the calls, and verifies with the key it named", async () => {
  const options = optionsFor({ checkpointCopies: join(root, "copies") });
  const log = await openLog(options);
  const receipts = await Promise.all(Array.from({ length: 5_000 }, (_, n) => log.append(sampleLeaf("crossing", n))));
  assert.deepEqual(
    receipts.map(({ index }) => index),
    Array.from({ length: 5_000 }, (_, n) => n + 2),
  );
  assert.equal(log.size(), 5_002);
  const [found] = await log.find(sampleId(4_321));
  assert.deepEqual(Buffer.from(found?.leaf ?? []), Buffer.from(sampleLeaf("crossing", 4_321)));
  assert.match(await log.checkpoint(), new RegExp(`^${log.origin}\n5002\n`));
  await log.close();
  const older = readCheckpointFile(join(root, "copies")) ?? assert.fail();
  const report = verifyLogDirectory(options.directory, { verifierKey: log.verifierKey, olderCheckpoints: [older] });
  assert.deepEqual(report.problems, []);
  const receipt = prove(options.directory, { id: sampleId(77) });
  assert.equal(checkProof(receipt.proof, log.verifierKey, receipt.leaf).kind, "ok");
});

test("the key is made at the first start, readable by its owner only, and the same at the next", async () => {
  const options = optionsFor();
  const first = await openLog(options);
  await first.close();
  assert.equal(statSync(join(options.directory, "log.key")).mode & 0o077, 0);
  assert.equal(statSync(options.directory).mode & 0o077, 0);
  const second = await openLog(options);
  await second.close();
  assert.equal(second.verifierKey, first.verifierKey);
  rmSync(join(options.directory, "log.key"));
  await assert.rejects(openLog(options), faultWith("log-key"));
  assert.ok(!existsSync(join(options.directory, "log.key")), "no new key is made in its place");
});

test("a given key is used and none is written", async () => {
  const options = optionsFor({ pkcs8 });
  const log = await openLog(options);
  await log.close();
  assert.ok(!existsSync(join(options.directory, "log.key")));
});

test("two openers of one directory: the second is refused, and the first goes on", async () => {
  const options = optionsFor();
  const log = await openLog(options);
  await assert.rejects(openLog(options), faultWith("log-locked"));
  assert.equal((await log.append(sampleLeaf("crossing", 1))).index, 2);
  await log.close();
  await (await openLog(options)).close();
});

test("a queue that is full refuses at once and loses nothing of what it took", async () => {
  const log = await openLog(optionsFor());
  const leaf = sampleLeaf("admin", 1);
  const taken = Array.from({ length: queuedRecordsMax }, () => log.append(leaf));
  await assert.rejects(log.append(leaf), faultWith("log-full"));
  await Promise.all(taken);
  assert.equal(log.size(), queuedRecordsMax + 2);
  await log.append(leaf);
  await log.close();
});

test("a refused leaf rejects alone, between two that are durable", async () => {
  const log = await openLog(optionsFor());
  const [a, b, c] = await Promise.allSettled([
    log.append(sampleLeaf("crossing", 1)),
    log.append(Buffer.from('{"v":2}')),
    log.append(sampleLeaf("crossing", 2)),
  ]);
  assert.deepEqual(
    [a, c].map((result) => result?.status === "fulfilled" && result.value.index),
    [2, 3],
  );
  assert.ok(b?.status === "rejected" && faultWith("leaf-refused")(b.reason));
  await assert.rejects(log.append(Buffer.alloc(70_000)), faultWith("leaf-refused"));
  await log.close();
});

test("close waits for what was accepted, then every call rejects with log-closed", async () => {
  const log = await openLog(optionsFor());
  const accepted = log.append(sampleLeaf("crossing", 1));
  await log.close();
  assert.equal((await accepted).index, 2);
  for (const call of [() => log.append(sampleLeaf("crossing", 2)), () => log.checkpoint(), () => log.find("x")]) {
    await assert.rejects(call(), faultWith("log-closed"));
  }
  await log.close();
});

test("checkpoints are published by the clock while records arrive", async () => {
  const options = optionsFor({ checkpointIntervalMs: 10 });
  const log = await openLog(options);
  const published = () =>
    readFileSync(join(options.directory, log.origin.slice(-4), "checkpoint"), "utf8").split("\n")[1];
  // Bounded by the number of appends, each of which waits for its own sync.
  for (let n = 0; n < 5_000 && published() === "2"; n++) await log.append(sampleLeaf("crossing", n));
  assert.notEqual(published(), "2");
  await log.close();
});

test("a checkpoint that cannot be copied outside is said aloud and the log goes on; at start it is refused", async () => {
  const alarm = Promise.withResolvers<LogFault>();
  const away = join(root, "away");
  const options = optionsFor({
    checkpointCopies: join(away, "copies"),
    checkpointIntervalMs: 5,
    onAlarm: alarm.resolve,
  });
  await assert.rejects(openLog(options), faultWith("copy-failed"));
  mkdirSync(away);
  const log = await openLog(options);
  rmSync(away, { recursive: true });
  await log.append(sampleLeaf("crossing", 1));
  assert.equal((await alarm.promise).code, "copy-failed");
  await assert.rejects(log.checkpoint(), faultWith("copy-failed"));
  await log.append(sampleLeaf("crossing", 2));
  mkdirSync(away);
  await log.close();
  assert.ok(readCheckpointFile(join(away, "copies"))?.startsWith(log.origin));
});
