import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CheckpointClock, lateMs } from "./checkpoint-clock.ts";
import { LogFault } from "./fault.ts";
import { Log } from "./log.ts";
import { importLogKey } from "./log-crypto.ts";
import { type OpenLogOptions, openLog } from "./log-thread.ts";
import { LossyDisk } from "./lossy-disk.ts";
import { sampleIdentity, sampleLeaf } from "./sample-leaves.ts";
import { november } from "./sample-log.test-support.ts";
import { verifyLogDirectory } from "./verify.ts";

const root = mkdtempSync(join(tmpdir(), "sallyport-signer-"));
after(() => rmSync(root, { recursive: true, force: true }));

let made = 0;
function setup(mood: string, more: Partial<OpenLogOptions> = {}) {
  const number = made++;
  const file = join(root, `mood-${number}`);
  const say = (word: string) => writeFileSync(file, word);
  say(mood);
  const options: OpenLogOptions = {
    directory: join(root, `log-${number}`),
    identity: sampleIdentity,
    checkpointIntervalMs: 0,
    reserveBytes: 0,
    signer: { module: new URL("./slow-signer.test-support.ts", import.meta.url).href, options: { mood: file } },
    ...more,
  };
  const published = () => readFileSync(join(options.directory, "2026", "checkpoint"), "utf8");
  return { options, say, published };
}

const isSigners = (error: unknown) => error instanceof LogFault && error.code === "signer-failed";

test("a signer that answers later signs checkpoints that verify under its key, and none is written to the directory", async () => {
  const { options } = setup("right");
  const log = await openLog(options);
  await Promise.all(Array.from({ length: 700 }, (_, n) => log.append(sampleLeaf("crossing", n))));
  assert.match(await log.checkpoint(), /\n702\n/);
  await log.close();
  const report = verifyLogDirectory(options.directory, { verifierKey: log.verifierKey });
  assert.deepEqual(report.problems, []);
});

for (const [mood, saying] of [
  ["fails", /the key service is busy/],
  ["throws", /no route to the key service/],
  ["wrong-key", /does not verify under the key of this log/],
  ["other-bytes", /does not verify under the key of this log/],
  ["short", /does not verify under the key of this log/],
] as const) {
  test(`attack and accident: a signer that says "${mood}" gets nothing published; the log goes on, and the next right signature covers it all`, async () => {
    const { options, say, published } = setup("right");
    const log = await openLog(options);
    const before = published();
    say(mood);
    const appended = await Promise.all(Array.from({ length: 600 }, (_, n) => log.append(sampleLeaf("crossing", n))));
    assert.equal(appended.at(-1)?.index, 601);
    await assert.rejects(log.checkpoint(), (error) => isSigners(error) && saying.test(String(error)));
    assert.equal(published(), before);
    assert.equal((await log.append(sampleLeaf("crossing", 601))).index, 602);
    say("right");
    assert.match(await log.checkpoint(), /\n603\n/);
    await log.close();
    assert.deepEqual(verifyLogDirectory(options.directory, { verifierKey: log.verifierKey }).problems, []);
  });
}

test("without a signer a log starts, says so, records, closes, and the next start signs for what is there", async () => {
  const { options, say } = setup("fails");
  const alarm = Promise.withResolvers<LogFault>();
  const log = await openLog({ ...options, onAlarm: alarm.resolve });
  assert.ok(isSigners(await alarm.promise));
  await log.append(sampleLeaf("crossing", 1));
  await log.close();
  say("right");
  const again = await openLog(options);
  assert.equal((await again.find("gw-1-00000000000000000000000001")).length, 1);
  await again.close();
  assert.deepEqual(verifyLogDirectory(options.directory, { verifierKey: again.verifierKey }).problems, []);
});

test("while a signer does not answer, checkpoints by the clock are late and an alarm says how many records they do not cover", async () => {
  const { options, say } = setup("right", { checkpointIntervalMs: 10 });
  const alarm = Promise.withResolvers<LogFault>();
  const log = await openLog({ ...options, onAlarm: alarm.resolve });
  say("fails");
  await log.append(sampleLeaf("crossing", 1));
  const said = await alarm.promise;
  assert.ok(isSigners(said));
  assert.match(said.internal, /the log goes on; 1 of its 3 records are not covered.*tried again in 10 ms/i);
  say("right");
  await log.close();
});

/** A log on a disk in memory whose signer is asked by hand. */
function byHand() {
  const disk = new LossyDisk({ random: () => 0.1 });
  const clock = { now: november };
  const key = importLogKey(
    Buffer.from(
      "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842",
      "hex",
    ),
  );
  const log = Log.recover({
    ...{ disk, directory: "/log", identity: sampleIdentity, lowSpaceBytes: 0, reserveBytes: 0 },
    now: () => clock.now,
    key: { publicKey: key.publicKey, sign: () => new Promise<Uint8Array>(() => {}) },
  });
  return { disk, clock, log };
}

test("a signer that never answers is late after five seconds, once, and does not hold up an append", () => {
  const { log } = byHand();
  const alarms: LogFault[] = [];
  let now = 0;
  const checkpoints = new CheckpointClock({
    ...{ log, intervalMs: 1_000 },
    monotonic: () => now,
    alarm: (fault) => alarms.push(fault),
  });
  for (; now <= 3 * lateMs; now += 1_000) {
    checkpoints.tick();
    log.append([{ leaf: sampleLeaf("crossing", now) }]);
  }
  assert.deepEqual(
    alarms.map(({ code }) => code),
    ["signer-failed"],
  );
  assert.match(alarms[0]?.internal ?? "", /under way for 6 s\. The log goes on; 8 of its 8 records/);
  log.abandon();
});

test("failing tries become rarer, up to half a minute, and a checkpoint that holds ends the waiting", () => {
  const tries: number[] = [];
  let now = 0;
  let answer: "failed" | "done" = "failed";
  const log = { isSigning: false, signed: 0, size: 5, ended: null };
  const checkpoints = new CheckpointClock({
    log: {
      ...log,
      checkpointLater: (told) => {
        tries.push(now);
        told(
          answer === "done"
            ? { kind: "done", value: "" }
            : { kind: "failed", error: new LogFault("signer-failed", "no") },
        );
      },
    },
    intervalMs: 1_000,
    monotonic: () => now,
    alarm: () => undefined,
  });
  for (; now < 100_000; now += 1_000) checkpoints.tick();
  assert.deepEqual(tries, [0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000, 91_000]);
  answer = "done";
  for (now = 121_000; now < 124_000; now += 1_000) checkpoints.tick();
  assert.deepEqual(tries.slice(-3), [121_000, 122_000, 123_000]);
});

test("the year turns only behind a signed end of the old one: without a signer records go on into the old origin", () => {
  const { clock, log, disk } = byHand();
  clock.now = 1_800_000_000_000;
  assert.ok(log.isYearDue);
  log.append([{ leaf: sampleLeaf("crossing", 1) }]);
  assert.match(log.origin, /2026$/);
  assert.ok(!log.isYearDue, "tried again a minute later");
  clock.now += 60_000;
  assert.ok(log.isYearDue);
  assert.deepEqual(disk.list("/log/2027"), []);
  log.abandon();
});

test("no answer within ten seconds is a failure, and one that comes afterwards is not taken", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { log } = byHand();
  const ends: string[] = [];
  log.checkpointLater((end) => ends.push(end.kind === "failed" ? String(end.error) : end.kind));
  t.mock.timers.tick(9_999);
  assert.deepEqual(ends, []);
  t.mock.timers.tick(1);
  assert.match(ends.join(), /^LogFault: the signer of checkpoints failed: no answer within 10000 ms$/);
  assert.ok(!log.isSigning);
  log.abandon();
});
