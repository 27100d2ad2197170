// The end of a gateway under callers that never pause: nothing that was accepted fails.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { Crossings } from "./listen/crossings.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, until } from "./testing/start-test-gateway.ts";
import { call, TestCaller } from "./testing/test-caller.ts";
import { newTestCa, tlsListener } from "./testing/test-certificates.ts";

let upstream: CountingUpstream;
before(async () => {
  upstream = await startCountingUpstream();
});
after(() => upstream.close());

async function start() {
  const bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog });
  const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  const invoice = `${bed.addresses[0]?.url}/billing/v1/invoices/1`;
  await orders.learnNonce(invoice);
  return { bed, orders, invoice };
}

/** One crossing over a connection the agent keeps. */
function sendKept(url: string, orders: TestCaller, agent: Agent): Promise<IncomingMessage> {
  const token = orders.token("billing");
  const headers = { authorization: `DPoP ${token}`, dpop: orders.proof("GET", url, token) };
  return new Promise((resolve, reject) => {
    request(url, { agent, headers }, (response) => response.resume().on("end", () => resolve(response)))
      .on("error", reject)
      .end();
  });
}

const codeOf = (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : String(error));

describe("drain", () => {
  test("under callers that never pause, and with one slow crossing longer than the grace, no request that began fails", async () => {
    const { bed, orders, invoice } = await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let finish = (): void => {};
    try {
      upstream.answer = (incoming, response) => {
        if (incoming.url?.endsWith("/slow") === true) finish = () => response.end("late");
        else setTimeout(() => response.end("{}"), 5);
      };
      const before = upstream.seen.length;
      const slow = orders.send(invoice.replace("invoices/1", "invoices/slow"));
      await until(() => upstream.seen.length > before, "the slow crossing is with its provider");
      assert.equal((await sendKept(invoice, orders, agent)).headers.connection, "keep-alive");
      let isDraining = false;
      let [served, servedWhileDraining] = [0, 0];
      const failures: string[] = [];
      const worker = async (): Promise<void> => {
        for (;;) {
          const begunDraining = isDraining;
          try {
            const { status, headers } = await orders.send(invoice);
            served++;
            if (begunDraining) servedWhileDraining++;
            if (status !== 200 || (begunDraining && headers.connection !== "close"))
              failures.push(`${status} ${headers.connection}`);
          } catch (error) {
            // Listening has ended. Reset is what the system had queued and nobody took on a crowded machine: the provider's counter
            // below shows that nothing of it was begun.
            if (!["ECONNREFUSED", "ECONNRESET"].includes(codeOf(error))) failures.push(codeOf(error));
            return;
          }
        }
      };
      const workers = [worker(), worker(), worker(), worker()];
      let isDrained = false;
      const draining = bed.gateway.drain(2_000).then(() => {
        isDrained = true;
      });
      isDraining = true;
      const kept = await sendKept(invoice, orders, agent);
      assert.deepEqual([kept.statusCode, kept.headers.connection], [200, "close"], "a kept connection is served");
      await Promise.all(workers);
      assert.equal(isDrained, false, "the slow one is waited for, though the grace is over");
      finish();
      const { status, text } = await slow;
      assert.deepEqual([status, text], [200, "late"]);
      await draining;
      assert.deepEqual(failures, []);
      assert.ok(servedWhileDraining > 0);
      const [slowOne, keptTwice] = [1, 2];
      assert.equal(upstream.seen.length - before, served + slowOne + keptTwice, "each begun request was answered");
    } finally {
      finish();
      upstream.answer = null;
      agent.destroy();
      await bed.close();
    }
  });

  test("one caller that asks again after each answer is served in every gap, until it stops asking", async () => {
    const { bed, orders, invoice } = await start();
    try {
      const draining = bed.gateway.drain(600_000).then(() => "drained");
      for (let i = 0; i < 5; i++) assert.equal((await orders.send(invoice)).status, 200);
      assert.equal(await draining, "drained");
      await assert.rejects(orders.send(invoice), { code: "ECONNREFUSED" });
    } finally {
      await bed.close();
    }
  });

  test("silent-connection attack: a connection that never speaks does not hold the end up, and nothing coming ends the grace", async () => {
    const { bed, orders, invoice } = await start();
    const agent = new Agent({ keepAlive: true });
    try {
      const idle = await sendKept(invoice, orders, agent);
      assert.equal(idle.statusCode, 200);
      const { port = 0 } = bed.addresses[0] ?? {};
      const silent = connect(port, "127.0.0.1");
      silent.on("error", () => {});
      await new Promise((resolve) => silent.once("connect", resolve));
      // Far beyond the test's own patience: it ends because it is quiet.
      await bed.gateway.drain(600_000);
      assert.equal(bed.gateway.status().inFlight, 0);
      silent.destroy();
    } finally {
      agent.destroy();
      await bed.close();
    }
  });
});

test("attack: a handshake that is finished behind the end does not hold the end up, however long its caller stays", async () => {
  const workloads = newTestCa("workloads");
  const bed = await startTestGateway({
    estate: marketplace(upstream.url),
    openLog: openTestLog,
    listeners: [tlsListener(workloads)],
  });
  const { port = 0 } = bed.addresses[0] ?? {};
  const waiting = connect(port, "127.0.0.1");
  await once(waiting, "connect");
  // Served behind it, so the one that waits has been accepted.
  const tls = { ca: workloads.certificatePem };
  assert.equal((await call(`https://localhost:${port}/`, { tls })).status, 401);
  let isClosed = false;
  const closing = bed.close().then(() => {
    isClosed = true;
  });
  await assert.rejects(call(`https://localhost:${port}/`, { tls }), { code: "ECONNREFUSED" });
  const late = connectTls({ socket: waiting, servername: "localhost", ...tls });
  late.on("error", () => {});
  await until(() => isClosed, "the end, with its caller still there");
  await closing;
  late.destroy();
});

describe("quiet", () => {
  test("waits out what is under way, begins anew with each crossing, and never takes longer than it may", async () => {
    const crossings = new Crossings();
    crossings.begin();
    // Never ends: only the bound does.
    await keepAlive(crossings.quiet({ forMs: 0, atMostMs: 30 }));
    assert.equal(crossings.count, 1);
    let isQuiet = false;
    const quiet = crossings.quiet({ forMs: 0, atMostMs: 60_000 }).then(() => {
      isQuiet = true;
    });
    crossings.end();
    crossings.begin();
    await keepAlive(crossings.quiet({ forMs: 0, atMostMs: 10 }));
    assert.equal(isQuiet, false, "the second one began before the first gap was over");
    crossings.end();
    await keepAlive(quiet);
  });
});

/** The waits of a drain keep no process alive; a test has to. */
async function keepAlive(wait: Promise<void>): Promise<void> {
  const timer = setInterval(() => {}, 1_000);
  await wait.finally(() => clearInterval(timer));
}
