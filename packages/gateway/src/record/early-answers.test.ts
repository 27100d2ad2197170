// `record: buffered`: answers that go ahead of their records, over real sockets and a real log whose disk a test can make slow.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Log } from "@sallyport/kernel/log/log.ts";
import { loadLogKey, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { marketplace } from "../testing/marketplace-estate.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "../testing/start-test-gateway.ts";
import { TestCaller } from "../testing/test-caller.ts";
import { environment, region, type TestEstate, tenant } from "../testing/test-estate.ts";
import { EarlyAnswers, earlyAnswersMax } from "./early-answers.ts";

let upstream: CountingUpstream;
const root = mkdtempSync(join(tmpdir(), "sallyport-early-"));
before(async () => {
  upstream = await startCountingUpstream();
});
after(async () => {
  await upstream.close();
  rmSync(root, { recursive: true, force: true });
});

interface SlowLog extends LogHandle {
  /** While true no crossing reaches the log. */
  isSlow: boolean;
  /** The promise that answers may go ahead of their records is durable. */
  isPromised: boolean;
  /** Crossings that wait to reach it. */
  readonly waiting: number;
  /** Lets go of what waits; `refusal`: nothing of it can be appended. */
  release(refusal?: Error): void;
}

async function openSlowLog(directory: string): Promise<SlowLog> {
  const log = await openTestLog(directory);
  let held: ((refusal: Error | undefined) => void)[] = [];
  const slow: SlowLog = {
    ...log,
    isSlow: false,
    isPromised: false,
    get waiting() {
      return held.length;
    },
    release(refusal) {
      slow.isSlow = false;
      const all = held;
      held = [];
      for (const go of all) go(refusal);
    },
    gather: (prepare) =>
      log.gather((put) =>
        prepare((leaf, reference, told) => {
          if (!slow.isSlow) put(leaf, reference, told);
          else
            held.push((refusal) => {
              if (refusal !== undefined) told.reject(refusal);
              else void log.append(leaf, reference).then(told.resolve, told.reject);
            });
        }),
      ),
  };
  log.durable = (leaf) => {
    if (Buffer.from(leaf).includes('"t":"buffered"')) slow.isPromised = true;
  };
  return slow;
}

/** Reads of invoices, an effect and a restricted read say `record: buffered`; nothing else does. */
function estateOf(url: string): TestEstate {
  const says = new Set(["invoice.read", "invoice.delete", "secret.read"]);
  const estate = marketplace(url);
  return {
    ...estate,
    systems: estate.systems.map((system) => ({
      ...system,
      ...(system.operations === undefined
        ? {}
        : {
            operations: system.operations.map((operation) =>
              says.has(operation.name)
                ? { ...operation, changes: { ...operation.changes, record: "buffered" as const } }
                : operation,
            ),
          }),
    })),
  };
}

interface Bed {
  readonly bed: TestGateway;
  readonly log: SlowLog;
  readonly orders: TestCaller;
  readonly base: string;
  readonly directory: string;
}

let beds = 0;
async function withBed(use: (bed: Bed) => Promise<void>): Promise<string> {
  const directory = join(root, String(beds++));
  const bed = await startTestGateway({ estate: estateOf(upstream.url), openLog: openSlowLog, directory });
  // The bed was opened with it.
  const log = bed.log as SlowLog;
  try {
    const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    const base = `${bed.addresses[0]?.url}/billing/v1`;
    await orders.learnNonce(base);
    await use({ bed, log, orders, base, directory });
  } finally {
    log.release();
    await bed.close();
  }
  return directory;
}

function judge(directory: string) {
  const log = join(directory, "log");
  const origin = `sallyport.local/main/production/gw-test/gateway/${new Date().getUTCFullYear()}`;
  const verifierKey = printVerifierKey(sha256, origin, loadLogKey(realDisk(), log).publicKey);
  return verifyLogDirectory(log, { verifierKey, crew: { threads: 1 } });
}

/** Gives the promise: the first answer waits for its record, and so may the next ones until the promise is durable. */
async function promised({ log, orders, base }: Bed): Promise<void> {
  assert.equal((await orders.send(`${base}/invoices/1`)).status, 200);
  await until(() => log.isPromised, "the promise");
}

/** What is answered within the time of many that are. */
async function isAnswered(answer: Promise<unknown>, turns = 60): Promise<boolean> {
  let answered = false;
  void answer.then(() => {
    answered = true;
  });
  for (let i = 0; i < turns && !answered; i++) await new Promise((resolve) => setTimeout(resolve, 2));
  return answered;
}

describe("buffered records", () => {
  test("answers of a buffered read go ahead of their records, none of a durable one does, and at the end everything is there", async () => {
    const directory = await withBed(async (here) => {
      const { log, orders, base } = here;
      await promised(here);
      log.isSlow = true;
      for (let i = 0; i < 20; i++) assert.equal((await orders.send(`${base}/invoices/${i}`)).status, 200);
      await until(() => log.waiting === 20, "all records at the log");
      const durable = orders.send(`${base}/regions/eu`);
      assert.equal(await isAnswered(durable), false);
      log.release();
      await durable;
    });
    const { problems, tallies } = judge(directory);
    assert.deepEqual(problems, []);
    assert.deepEqual(tallies.early, { promises: 1, settled: 20, crashes: 0, mayMiss: [] });
  });

  test("a gateway that dies loses at most what it had promised, and its log says so", async () => {
    let image = "";
    await withBed(async (here) => {
      await promised(here);
      here.log.isSlow = true;
      for (let i = 0; i < 5; i++) assert.equal((await here.orders.send(`${here.base}/invoices/${i}`)).status, 200);
      // What a killed process leaves.
      image = join(root, "image");
      cpSync(join(here.directory, "log"), join(image, "log"), { recursive: true });
    });
    const identity = { tenant, environment, region, node: "gw-test", role: "gateway", version: "0.1.0" } as const;
    Log.open({ disk: realDisk(), directory: join(image, "log"), identity, now: Date.now, reserveBytes: 0 }).close();
    const { problems, counts, tallies } = judge(image);
    assert.deepEqual(problems, []);
    assert.equal(counts.crossings >= 1, true);
    assert.deepEqual([tallies.early.crashes, tallies.early.mayMiss[0]?.upTo], [1, earlyAnswersMax]);
  });

  test("attack: a snapshot that says buffered of an effect or of what is restricted: their answers wait all the same", async () => {
    await withBed(async (here) => {
      const { log, orders, base } = here;
      await promised(here);
      log.isSlow = true;
      const restricted = orders.send(`${base}/secrets/1`);
      assert.equal(await isAnswered(restricted), false);
      const effect = orders.send(`${base}/invoices/1`, { method: "DELETE" });
      assert.equal(await isAnswered(effect), false);
      log.release();
      await Promise.all([restricted, effect]);
    });
  });

  test("attack: a caller asks for it, by header or query, of a durable operation", async () => {
    await withBed(async (here) => {
      const { log, orders, base } = here;
      await promised(here);
      log.isSlow = true;
      const headers = { record: "buffered", prefer: "respond-async", "sallyport-record": "buffered" };
      const asked = orders.send(`${base}/regions/eu?record=buffered`, { headers });
      assert.equal(await isAnswered(asked), false);
      log.release();
      await asked;
    });
  });

  test("a record that is lost is never silent: nothing goes early any more, the promise stays open, and the count does not add up", async () => {
    const directory = await withBed(async (here) => {
      const { bed, log, orders, base } = here;
      await promised(here);
      log.isSlow = true;
      assert.equal((await orders.send(`${base}/invoices/1`)).status, 200);
      await until(() => log.waiting === 1, "the record at the log");
      log.release(new Error("the disk is full"));
      await until(() => bed.messages.some((line) => line.includes("whose record could not be appended")), "a word");
      assert.match(await bed.gateway.metricsText(), /^sallyport_log_early_answers_lost 1$/m);
      log.isSlow = true;
      const next = orders.send(`${base}/invoices/2`);
      assert.equal(await isAnswered(next), false);
      log.release();
      await next;
    });
    const { problems, tallies } = judge(directory);
    assert.match(problems.map(({ message }) => message).join(), /and 1 never recorded/);
    assert.deepEqual([tallies.early.crashes, tallies.early.mayMiss.length], [1, 1]);
  });
});

describe("how many answers may be early", () => {
  const operation = { effect: false, classification: "internal", record: "buffered" } as const;

  /** Counts what goes early while no record becomes durable. */
  function flood(promise: Promise<unknown>) {
    const said: string[] = [];
    const early = new EarlyAnswers({
      isAlone: true,
      append: (leaf) => {
        said.push(leaf.t);
        return promise;
      },
      lost: () => assert.fail("nothing is lost here"),
    });
    const records: PromiseWithResolvers<void>[] = [];
    const ask = (): boolean => {
      const isEarly = early.isAllowed(operation);
      if (isEarly) {
        const record = Promise.withResolvers<void>();
        records.push(record);
        early.follow(record.promise);
      }
      return isEarly;
    };
    return { early, ask, records, said };
  }

  test("attack: a flood: no more than were promised are ever under way, and each that is durable makes room for one", async () => {
    const { early, ask, records } = flood(Promise.resolve());
    assert.equal(ask(), false);
    await Promise.resolve();
    const answers = Array.from({ length: 3_000 }, ask);
    assert.equal(answers.filter(Boolean).length, earlyAnswersMax);
    assert.deepEqual([early.outstanding, answers.slice(0, earlyAnswersMax).every(Boolean)], [earlyAnswersMax, true]);
    records[0]?.resolve();
    await until(() => early.outstanding < earlyAnswersMax, "room");
    assert.deepEqual([ask(), ask()], [true, false]);
  });

  test("attack: a snapshot says buffered of an effect or of what is restricted: no promise is even given", () => {
    const { early, said } = flood(Promise.resolve());
    for (const change of [{ effect: true }, { classification: "restricted" as const }])
      assert.equal(early.isAllowed({ ...operation, ...change }), false);
    assert.deepEqual(said, []);
  });

  test("nothing goes early before the promise is durable, nor while it cannot be given", async () => {
    const promise = Promise.withResolvers<void>();
    const { ask, said } = flood(promise.promise);
    assert.deepEqual([ask(), ask()], [false, false]);
    promise.reject(new Error("the disk is full"));
    await promise.promise.catch(() => undefined);
    await Promise.resolve();
    assert.equal(ask(), false);
    assert.deepEqual(said, ["buffered", "buffered"]);
  });

  test("the end is said once every record is there, and not when nothing was promised", async () => {
    const { early, ask, records, said } = flood(Promise.resolve());
    await early.stop();
    assert.deepEqual(said, []);
    ask();
    await Promise.resolve();
    ask();
    const stopped = early.stop();
    await Promise.resolve();
    assert.deepEqual(said, ["buffered"]);
    records[0]?.resolve();
    await stopped;
    assert.deepEqual(said, ["buffered", "settled"]);
    assert.equal(ask(), false);
  });
});
