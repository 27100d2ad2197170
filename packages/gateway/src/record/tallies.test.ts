// What a gateway's listeners saw, held against its log: by the verifier that anyone runs, over the directory the gateway left.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loadLogKey, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import type { LogHandle, PutRecord } from "@sallyport/kernel/log/port.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import type { TallyFields } from "@sallyport/protocol/audit/leaf.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { marketplace } from "../testing/marketplace-estate.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { sendRaw } from "../testing/raw-socket.ts";
import { startTestGateway, type TestGateway } from "../testing/start-test-gateway.ts";
import { call, TestCaller } from "../testing/test-caller.ts";
import { Tallies, waitWindows } from "./tallies.ts";

let upstream: CountingUpstream;
const folders: string[] = [];
before(async () => {
  upstream = await startCountingUpstream();
});
after(async () => {
  await upstream.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

let runs = 0;
type OpenLog = (directory: string) => Promise<LogHandle>;
const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-tallies-"));
  folders.push(folder);
  return folder;
};

async function run(
  directory: string,
  traffic: (bed: TestGateway, orders: TestCaller) => Promise<void>,
  openLog: OpenLog = openTestLog,
): Promise<void> {
  const stateDirectory = join(directory, `state-${runs++}`);
  const bed = await startTestGateway({
    estate: marketplace(upstream.url),
    openLog,
    directory,
    changes: { stateDirectory },
  });
  try {
    const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
    await orders.learnNonce(`${bed.addresses[0]?.url}/`);
    await traffic(bed, orders);
  } finally {
    await bed.close();
  }
}

const invoiceOf = (bed: TestGateway) => `${bed.addresses[0]?.url}/billing/v1/invoices/1`;

/** Reads, an effect, refusals of all kinds, strangers in a row, and what never became a request. */
async function everything(bed: TestGateway, orders: TestCaller): Promise<void> {
  const base = bed.addresses[0]?.url ?? "";
  assert.equal((await orders.send(invoiceOf(bed))).status, 200);
  const made = await orders.send(`${base}/billing/v1/invoices`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ customerId: "c-1", amount: 5 }),
  });
  assert.ok(made.status < 500, made.text);
  assert.equal((await orders.send(`${base}/billing/nowhere`)).status, 404);
  for (let i = 0; i < 20; i++) assert.equal((await call(invoiceOf(bed))).status, 401);
  await sendRaw(base, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  await sendRaw(base, "GET / HTTP/1.1\r\nHost: a\r\n\r\nNOT HTTP\r\n\r\n");
  await new Promise<void>((resolve) => {
    const socket = connect(Number(new URL(base).port), "127.0.0.1", () =>
      socket.write("GET /half", () => socket.destroy()),
    );
    socket.on("close", () => resolve());
  });
}

function judge(directory: string) {
  const log = join(directory, "log");
  const origin = `sallyport.local/main/production/gw-test/gateway/${new Date().getUTCFullYear()}`;
  const verifierKey = printVerifierKey(sha256, origin, loadLogKey(realDisk(), log).publicKey);
  return verifyLogDirectory(log, { verifierKey, crew: { threads: 1 } });
}

describe("what the listeners saw and what the log holds", () => {
  test("agree: reads, effects, denials of their own and counted ones, over two runs of a gateway", async () => {
    const directory = newFolder();
    await run(directory, everything);
    await run(directory, everything);
    const { ok, problems, tallies } = judge(directory);
    assert.deepEqual(problems, []);
    assert.ok(ok);
    assert.ok(tallies.seen >= 2 * 25, String(tallies.seen));
    assert.ok(tallies.unread >= 2, String(tallies.unread));
    assert.equal(tallies.refused, 0);
    assert.deepEqual([tallies.crashes, tallies.uncounted], [0, 0]);
  });

  test("attack: a gateway build that skips the record of one crossing is caught", async () => {
    const directory = newFolder();
    await run(
      directory,
      async (bed, orders) => {
        for (let i = 0; i < 5; i++) assert.equal((await orders.send(invoiceOf(bed))).status, 200);
      },
      async (folder) => skipping(await openTestLog(folder), 3),
    );
    const { ok, problems } = judge(directory);
    assert.ok(!ok);
    assert.equal(problems.length, 1);
    assert.equal(problems[0]?.kind, "missing");
    assert.match(problems[0]?.message ?? "", /crossings .* 1 are missing/);
  });

  test("with a full log each refusal is counted, and the log is still complete", async () => {
    const directory = newFolder();
    await run(directory, async (bed, orders) => {
      const log = bed.log as Awaited<ReturnType<typeof openTestLog>>;
      log.full = true;
      for (let i = 0; i < 3; i++) assert.equal((await orders.send(invoiceOf(bed))).status, 503);
      log.full = false;
    });
    const { problems, tallies } = judge(directory);
    assert.deepEqual(problems, []);
    assert.equal(tallies.refused, 3);
  });

  test("a process that died leaves a crash window, which the next start makes known", async () => {
    const directory = newFolder();
    await run(directory, everything);
    // What is left of a run that was killed: its log, without the last tally.
    await run(directory, everything, async (folder) => withoutLastTally(await openTestLog(folder)));
    await run(directory, everything);
    const { ok, tallies } = judge(directory);
    assert.ok(ok);
    assert.deepEqual([tallies.crashes, tallies.uncounted], [1, 0]);
    assert.ok((tallies.crashWindows[0]?.leaves ?? 0) > 0);
  });
});

/** Says of the n-th crossing that it is durable and appends nothing. */
function skipping<L extends LogHandle>(log: L, n: number): L {
  let seen = 0;
  const { gather } = log;
  log.gather = (prepare) =>
    gather((put) => {
      const but: PutRecord = (leaf, reference, told) => {
        if (String(leaf).includes('"t":"crossing"') && ++seen === n) told.resolve({ index: 0 });
        else put(leaf, reference, told);
      };
      prepare(but);
    });
  return log;
}

function withoutLastTally<L extends LogHandle>(log: L): L {
  const { append } = log;
  log.append = (leaf, reference) =>
    String(leaf).includes('"closed":"stop"') ? Promise.reject(new Error("killed")) : append(leaf, reference);
  return log;
}

describe("windows", () => {
  const begin = 1_795_305_600_000;
  const open = () => {
    const clock = { nowMs: begin + 3_000, monotonicMs: 0, now: () => clock.nowMs, monotonic: () => clock.monotonicMs };
    const said: TallyFields[] = [];
    const state = { clock, said, isFull: false };
    const tallies = new Tallies({
      clock,
      flushDenials: () => {},
      append: (fields) => (state.isFull ? Promise.reject(new Error("full")) : Promise.resolve(said.push(fields))),
    });
    const pass = async (ms: number) => {
      clock.nowMs += ms;
      clock.monotonicMs += Math.max(ms, 0);
      tallies.sweep();
      await new Promise((resolve) => setImmediate(resolve));
    };
    return { ...state, tallies, pass, state };
  };

  test("a window is said once it is over and each crossing in it has ended; later ones wait for it and are said with it", async () => {
    const { tallies, pass, said } = open();
    const slow = tallies.begin();
    tallies.told(tallies.begin(), "crossings");
    await pass(10_000);
    tallies.told(tallies.begin(), "intents");
    await pass(10_000);
    assert.deepEqual(said, []);
    tallies.told(slow, "refused");
    await pass(1_000);
    const counts = { seen: 3, crossings: 1, intents: 1, counted: 0, refused: 1, unread: 0 };
    assert.deepEqual(said, [{ from: begin, to: begin + 20_000, ...counts, closed: "time" }]);
  });

  test("a crossing that never ends is not waited for longer than ten minutes, and shows as one that was never recorded", async () => {
    const { tallies, pass, said } = open();
    tallies.begin();
    await pass(waitWindows * 10_000);
    assert.deepEqual(said, []);
    await pass(10_000);
    assert.deepEqual(
      said.map(({ seen, crossings }) => [seen, crossings]),
      [[1, 0]],
    );
  });

  test("an idle gateway writes one tally an hour, and one when it stops", async () => {
    const { tallies, pass, said } = open();
    for (let i = 0; i < 120; i++) await pass(60_000);
    assert.equal(said.length, 2);
    await tallies.stop();
    assert.equal(said.at(-1)?.closed, "stop");
    assert.equal(said[1]?.from, said[0]?.to);
    assert.equal(said[2]?.from, said[1]?.to);
  });

  test("a tally that could not be appended is said with the next one", async () => {
    const { tallies, pass, said, state } = open();
    tallies.told(tallies.begin(), "crossings");
    tallies.unread();
    state.isFull = true;
    await pass(10_000);
    state.isFull = false;
    tallies.told(tallies.begin(), "crossings");
    await pass(10_000);
    assert.deepEqual(
      [said.length, said[0]?.from, said[0]?.seen, said[0]?.crossings, said[0]?.unread],
      [1, begin, 2, 2, 1],
    );
  });

  test("attack: with the clock put back, ids and windows go on forwards", async () => {
    const { tallies, pass, clock } = open();
    const before = tallies.idMs();
    await pass(-3_600_000);
    assert.equal(tallies.idMs(), before);
    clock.monotonicMs += 20_000;
    await pass(0);
    assert.equal(tallies.idMs(), begin + 10_000);
  });
});
