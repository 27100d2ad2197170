// One notifier as a fold: told of every finding once it is raised and never of the past, again until it is taken, no more often than it may, and its place
// outlives the process.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { SinkFault } from "../../audit/export/sink.ts";
import type { Finding } from "../finding.ts";
import type { Alert } from "./alert.ts";
import { AlertFold, type AlertFoldOptions, type AlertStanding, refusalsMax } from "./alert-fold.ts";
import type { AlertFilter } from "./alert-settings.ts";
import { deadAlertsMax } from "./dead-alerts.ts";
import { type Notifier, Refusal, refusedAgainMs } from "./notifier.ts";
import { findingId, newFinding, ownLog, ownOrigin, record, startAt } from "./testing/findings.ts";

const everything: AlertFilter = { environments: null, rules: null, severity: "informational" };
let folder = "";
let now = startAt;
let origins: HeldOrigin[] = [];
let findings: Finding[] = [];
let alerts: Alert[] = [];
let failures: Error[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-alerts-"));
  now = startAt;
  [origins, findings, alerts, failures] = [[], [], [], []];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const notifier: Notifier = {
  tell: async (alert) => {
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    alerts.push(alert);
    return { shortfall: null };
  },
  close: async () => undefined,
};

function newFold(more: Partial<AlertFoldOptions> = {}): AlertFold {
  const paths = { placePath: join(folder, "place.json"), deadLetterPath: join(folder, "dead-letters.json") };
  return new AlertFold(
    { ...{ id: "alert-soc", name: "soc", filter: everything, perMinute: 10, notifier }, ...paths, ...more },
    {
      ...{ disk: realDisk(), now: () => now, random: () => 0 },
      host: {
        call: async (_service, ids) => findings.filter(({ id }) => (ids as readonly string[]).includes(id)),
        records: { origins: async () => origins, read: async () => [] },
      },
    },
  );
}

/** Records of control's log from an index on; a number is the finding that was raised. */
const batch = (from: number, ...raised: readonly (number | null)[]) => ({
  origin: ownLog(from + raised.length),
  records: raised.map((n, at): FoundRecord => record(from + at, n)),
});
const raise = (...ns: readonly number[]) => findings.push(...ns.map((n) => newFinding(n)));
const told = () => alerts.map(({ findings: of }) => of.map(({ id }) => Number(id.slice(-16))));
const standing = async (fold: AlertFold) => (await fold.answer({ kind: "standing" })) as AlertStanding;

test("each finding that is raised is one message, in order; every other record is none", async () => {
  const fold = newFold();
  assert.deepEqual(await fold.places(), new Map());
  raise(1, 2);
  await fold.take(batch(0, null, 1, null, 2, null));
  assert.deepEqual(told(), [[1], [2]]);
  const { messages, findings: count, takenAtMs, fault } = await standing(fold);
  assert.deepEqual([messages, count, takenAtMs, fault], [2, 2, startAt, null]);
});

test("a notifier that is new begins at the present of the logs there are, and at the beginning of one that comes", async () => {
  origins = [ownLog(1_000), { ...ownLog(50, "sallyport.local/main/production/gw-1/gateway/2026"), role: "gateway" }];
  const fold = newFold();
  assert.deepEqual(await fold.places(), new Map([[ownOrigin, 1_000]]));
  origins = [];
  assert.deepEqual(await newFold().places(), new Map([[ownOrigin, 1_000]]), "and again after a restart");
  assert.ok(fold.wants({ role: "control" }) && !fold.wants({ role: "gateway" }));
});

test("what is not taken comes again until it is, and only what was not; a restart between is none the wiser", async () => {
  raise(1, 2, 3);
  const fold = newFold();
  await fold.places();
  failures = [new SinkFault("the receiver answered 503")];
  const due = batch(0, 1, 2, 3);
  await assert.rejects(fold.take(due), /503/);
  assert.equal((await standing(fold)).fault, "the receiver answered 503");
  failures = [];
  const second: Notifier = {
    ...notifier,
    tell: (alert) => (told().length === 1 ? Promise.reject(new Error("gone")) : notifier.tell(alert)),
  };
  const restarted = newFold({ notifier: second });
  assert.deepEqual(await restarted.places(), new Map());
  await assert.rejects(restarted.take(due), /gone/);
  assert.deepEqual(told(), [[1]]);
  const again = newFold();
  assert.deepEqual(await again.places(), new Map([[ownOrigin, 1]]));
  await again.take(due);
  assert.deepEqual(told(), [[1], [2], [3]]);
  await again.close();
  assert.deepEqual(await newFold().places(), new Map([[ownOrigin, 3]]));
});

test("a receiver that asks to be left alone is; one that failed is asked again after a growing pause", async () => {
  raise(1);
  const fold = newFold();
  await fold.places();
  failures = [new SinkFault("busy", 60_000)];
  await assert.rejects(fold.take(batch(0, 1)), /busy/);
  now += 59_999;
  await assert.rejects(fold.take(batch(0, 1)), /busy/);
  assert.deepEqual(told(), []);
  now += 1;
  await fold.take(batch(0, 1));
  assert.deepEqual(told(), [[1]]);
  assert.equal((await standing(fold)).fault, null);
});

test("attack: a flood of findings is a bounded number of messages a minute: the first one by one, the rest in one, and none is lost", async () => {
  const fold = newFold({ perMinute: 4 });
  await fold.places();
  const numbers = Array.from({ length: 500 }, (_none, n) => n);
  raise(...numbers);
  await fold.take(batch(0, ...numbers.slice(0, 300)));
  assert.deepEqual(told().slice(0, 3), [[0], [1], [2]]);
  assert.deepEqual([alerts.length, alerts[3]?.total, told()[3]?.length], [4, 297, 20]);
  await assert.rejects(fold.take(batch(300, ...numbers.slice(300))), /4 messages were sent in a minute/);
  assert.equal(alerts.length, 4);
  now += 59_999;
  await assert.rejects(fold.take(batch(300, ...numbers.slice(300))), /in a minute/);
  now += 1;
  await fold.take(batch(300, ...numbers.slice(300)));
  assert.equal(alerts.length, 8);
  assert.equal(
    alerts.reduce((sum, { total }) => sum + total, 0),
    500,
  );
});

test("with one message a minute, one finding is told by itself and many are told together", async () => {
  const fold = newFold({ perMinute: 1 });
  await fold.places();
  raise(1, 2, 3);
  await fold.take(batch(0, 1));
  now += 60_000;
  await fold.take(batch(1, 2, 3));
  assert.deepEqual(told(), [[1], [2, 3]]);
});

test("only what passes its filter is told: environment, rule, severity; nothing of a rule on trial", async () => {
  findings = [
    newFinding(1, { severity: "medium" }),
    newFinding(2, { environment: "staging" }),
    newFinding(3, { rule: "replay" }),
    newFinding(4),
    newFinding(5, { tells: false }),
  ];
  for (const [filter, expected] of [
    [{ ...everything, severity: "high" }, [[2], [3], [4]]],
    [{ ...everything, environments: ["staging"] }, [[2]]],
    [{ ...everything, rules: ["replay"] }, [[3]]],
  ] as const) {
    alerts = [];
    rmSync(join(folder, "place.json"), { force: true });
    const fold = newFold({ filter });
    await fold.places();
    await fold.take(batch(0, 1, 2, 3, 4, 5));
    assert.deepEqual(told(), expected);
  }
});

test("a finding that control no longer has is no message, and no obstacle", async () => {
  const fold = newFold();
  await fold.places();
  raise(2);
  await fold.take(batch(0, 1, 2));
  assert.deepEqual(told(), [[2]]);
});

test("attack: a record that speaks of a finding and cannot be read silences no notifier: what is raised behind it is told", async () => {
  const fold = newFold();
  await fold.places();
  raise(1, 2);
  const { origin, records } = batch(0, 1, null, 2);
  const unreadable = { index: 1, leaf: Buffer.from('{"v":9,"t":"admin","action":"finding.raise"}'), reference: null };
  await fold.take({ origin, records: records.toSpliced(1, 1, unreadable) });
  assert.deepEqual(told(), [[1], [2]]);
});

test("a place that cannot be read stops the notifier, and says what to do", async () => {
  writeFileSync(join(folder, "place.json"), "{");
  await assert.rejects(newFold().places(), /put it back from a backup, or remove it and findings from now on are told/);
});

test("the place is written down behind each message, now and then between, and at the end", async () => {
  const fold = newFold();
  await fold.places();
  const written = () => JSON.parse(readFileSync(join(folder, "place.json"), "utf8")).origins[ownOrigin]?.next ?? 0;
  raise(1);
  await fold.take(batch(0, ...Array.from({ length: 6 }, () => null)));
  assert.equal(written(), 0);
  await fold.take(batch(6, 1, null));
  assert.equal(written(), 7);
  await fold.take(batch(8, ...Array.from({ length: 10_000 }, () => null)));
  assert.equal(written(), 10_008);
  await fold.take(batch(10_008, null));
  await fold.close();
  assert.equal(written(), 10_009);
});

/** Asks again as soon as the receiver may be, until the batch is through; how often it was asked. */
async function takeAll(fold: AlertFold, due: ReturnType<typeof batch>): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    try {
      await fold.take(due);
      return tries;
    } catch {
      assert.ok(tries < 100, "it comes to an end");
      now += refusedAgainMs;
    }
  }
}
const refuse = (count: number) => {
  failures = Array.from({ length: count }, () => new Refusal("the receiver answered 404"));
};

test("a finding that is refused for good twenty times, a minute apart, is put aside with the reason and holds up no other; a restart forgets none", async () => {
  raise(1, 2, 3);
  const fold = newFold();
  await fold.places();
  const due = batch(0, 1, 2, 3);
  refuse(refusalsMax + 1);
  await assert.rejects(fold.take(due), /404/);
  now += refusedAgainMs - 1;
  await assert.rejects(fold.take(due), /404/);
  assert.equal(failures.length, refusalsMax, "within the minute it was not asked");
  now += 1;
  // The second finding has one try, the third is taken.
  assert.equal(refusalsMax, 20);
  assert.equal(await takeAll(fold, due), refusalsMax + 1);
  assert.deepEqual(told(), [[3]]);
  const { fault, deadLetters, deadLetterReason } = await standing(fold);
  assert.deepEqual([fault, deadLetters, deadLetterReason], [null, 2, "the receiver answered 404"]);
  const again = newFold();
  await again.places();
  assert.equal((await standing(again)).deadLetters, 2);
});

test("what fails in any other way is never put aside, and a message that is taken begins the count anew", async () => {
  raise(1, 2);
  const fold = newFold();
  await fold.places();
  failures = Array.from({ length: 60 }, () => new SinkFault("the receiver answered 503"));
  await takeAll(fold, batch(0, 1));
  refuse(refusalsMax - 1);
  assert.equal(await takeAll(fold, batch(1, 2)), refusalsMax);
  assert.deepEqual([told(), (await standing(fold)).deadLetters], [[[1], [2]], 0]);
  raise(3);
  refuse(refusalsMax - 1);
  await takeAll(fold, batch(2, 3));
  assert.equal((await standing(fold)).deadLetters, 0, "nineteen, and before them nineteen, are not twenty in a row");
});

test("what was given up is told again when an operator says so: each once, without what is gone; what is refused again stays", async () => {
  const numbers = Array.from({ length: 45 }, (_none, n) => n + 1);
  raise(...numbers);
  const fold = newFold({ perMinute: 60 });
  await fold.places();
  refuse(refusalsMax - 1 + numbers.length);
  await takeAll(fold, batch(0, ...numbers));
  assert.equal((await standing(fold)).deadLetters, 45);
  assert.deepEqual(await fold.answer({ kind: "replay" }), { told: 45, gone: 0, left: 0, why: null });
  assert.deepEqual(
    alerts.map(({ total }) => total),
    [20, 20, 5],
  );
  assert.deepEqual(await fold.answer({ kind: "replay" }), { told: 0, gone: 0, left: 0, why: null });
  raise(46, 47);
  refuse(refusalsMax + 1);
  await takeAll(fold, batch(45, 46, 47));
  findings = findings.filter(({ id }) => id !== findingId(46));
  refuse(1);
  const refused = await fold.answer({ kind: "replay" });
  assert.deepEqual(refused, { told: 0, gone: 1, left: 1, why: "the receiver answered 404" });
  assert.equal((await standing(newFold())).deadLetters, 1);
});

test("a replay sends no more messages than a minute has, and says how many findings are left", async () => {
  const numbers = Array.from({ length: 45 }, (_none, n) => n + 1);
  const letters = numbers.map((n) => ({ finding: findingId(n), at: now, reason: "x" }));
  writeFileSync(join(folder, "dead-letters.json"), JSON.stringify({ v: 1, letters }));
  raise(...numbers);
  const fold = newFold({ perMinute: 2 });
  await fold.places();
  assert.deepEqual(await fold.answer({ kind: "replay" }), { told: 40, gone: 0, left: 5, why: null });
  assert.deepEqual(await fold.answer({ kind: "replay" }), { told: 0, gone: 0, left: 5, why: null });
  now += 60_000;
  assert.deepEqual(await fold.answer({ kind: "replay" }), { told: 5, gone: 0, left: 0, why: null });
});

test("attack: a receiver that refuses everything for ever fills no disk: at a thousand the notifier stops, and forgets none", async () => {
  const letters = Array.from({ length: deadAlertsMax }, (_none, n) => ({
    finding: findingId(n),
    at: now,
    reason: "x",
  }));
  writeFileSync(join(folder, "dead-letters.json"), JSON.stringify({ v: 1, letters }));
  raise(deadAlertsMax + 1);
  const fold = newFold();
  await fold.places();
  refuse(refusalsMax + 5);
  const due = batch(0, deadAlertsMax + 1);
  for (let n = 0; n < refusalsMax + 2; n += 1) {
    await assert.rejects(fold.take(due));
    now += refusedAgainMs;
  }
  const { fault, deadLetters } = await standing(fold);
  assert.match(fault ?? "", /refused 1000 findings.*sallyport alert replay/);
  assert.equal(deadLetters, deadAlertsMax);
  writeFileSync(join(folder, "dead-letters.json"), "{");
  await assert.rejects(newFold().places(), /does not hold the dead letters of a notifier: put it back/);
});

test("a test tells of nothing, moves no place, and says what became of it", async () => {
  const fold = newFold();
  await fold.places();
  assert.deepEqual(await fold.answer({ kind: "test" }), { taken: true, why: null });
  failures = [new SinkFault("the mail server answered 535 to AUTH")];
  assert.deepEqual(await fold.answer({ kind: "test" }), { taken: false, why: "the mail server answered 535 to AUTH" });
  assert.deepEqual(
    alerts.map(({ kind, total }) => [kind, total]),
    [["test", 0]],
  );
  assert.match(findingId(1), /^fnd-/);
});
