// Several worker threads as one gateway, over real sockets that are known to lead to one of them each: docs/workers.md.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import type { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { Worker } from "node:worker_threads";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { marketplace } from "../testing/marketplace-estate.ts";
import { repeatEstate } from "../testing/repeat-estate.ts";
import { connectionsToEach, startTestCrew, type TestCrew } from "../testing/start-test-crew.ts";
import { until } from "../testing/start-test-gateway.ts";
import { call, TestCaller } from "../testing/test-caller.ts";
import type { TestEstate } from "../testing/test-estate.ts";

/** Requests that a client may begin at once in the tests of rates. */
const burst = 40;

function estate(url: string): TestEstate {
  const [shop, bank] = [marketplace(url), repeatEstate(url)];
  const limits = {
    "orders-to-billing": { limits: [], concurrency: [{ per: "client" as const, max: 2 }] },
    "portal-to-billing": { limits: [{ per: "client" as const, rate: 1, periodMs: 3_600_000, burst }] },
  };
  const changed = (id: string) => Object.entries(limits).find(([name]) => name === id)?.[1] ?? {};
  return {
    ...shop,
    systems: [...shop.systems, ...bank.systems.filter(({ id }) => id === "bank")],
    integrations: [...shop.integrations, ...bank.integrations].map((one) => ({ ...one, ...changed(one.id) })),
  };
}

describe("two worker threads as one gateway", () => {
  let upstream: CountingUpstream;
  let crew: TestCrew;
  let agents: readonly Agent[];
  let orders: TestCaller;
  let portal: TestCaller;
  const invoice = () => `${crew.url}/billing/v1/invoices/1`;

  before(async () => {
    upstream = await startCountingUpstream();
    crew = await startTestCrew({ estate: estate(upstream.url) });
    orders = new TestCaller(crew.bed.feed, "orders");
    portal = new TestCaller(crew.bed.feed, "portal");
    agents = await connectionsToEach(crew, { upstream, url: invoice() });
  });
  after(async () => {
    for (const agent of agents ?? []) agent.destroy();
    await crew?.close();
    await upstream?.close();
  });
  beforeEach(() => {
    upstream.answer = null;
  });

  test("each serves what comes to it, and the node says it once", async () => {
    for (const agent of agents) assert.equal((await orders.send(invoice(), { agent })).status, 200);
    const status = crew.crew.status();
    assert.equal(status.workers, 2);
    assert.equal(status.logLeaves, crew.log.size());
    assert.equal(crew.crew.readiness().ready, true);
    const text = await crew.crew.metricsText();
    const sum = [...text.matchAll(/^sallyport_crossings_total\{code="ok",outcome="success"\} (\d+)$/gm)];
    assert.equal(sum.length, 1, "one sample of all workers");
    assert.ok(Number(sum[0]?.[1]) >= 4);
    assert.match(text, new RegExp(`^sallyport_log_leaves ${crew.log.size()}$`, "m"));
  });

  test("attack: a DPoP proof that one worker has taken is refused by the other", async () => {
    const token = orders.token("billing");
    await orders.learnNonce(`${crew.url}/`);
    const headers = { authorization: `DPoP ${token}`, dpop: orders.proof("GET", invoice(), token) };
    const [first, second] = agents;
    assert.ok(first !== undefined && second !== undefined);
    const before = upstream.seen.length;
    assert.equal((await call(invoice(), { headers, agent: first })).status, 200);
    const replayed = await call(invoice(), { headers, agent: second });
    assert.equal(replayed.status, 401);
    assert.equal(upstream.seen.length, before + 1, "the provider's own count");
    const [leaf] = await crew.bed.leaves(replayed.id);
    assert.ok(leaf?.t === "crossing" && leaf.code === "dpop-replayed");
  });

  test("attack: of a proof sent to both workers in one moment exactly one passes, again and again", async () => {
    await orders.learnNonce(`${crew.url}/`);
    for (let round = 0; round < 20; round++) {
      const token = orders.token("billing");
      const headers = { authorization: `DPoP ${token}`, dpop: orders.proof("GET", invoice(), token) };
      const both = await Promise.all(agents.map((agent) => call(invoice(), { headers, agent })));
      assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401]);
    }
  });

  test("attack: a rate of a client lets through exactly its burst, however its connections are spread", async () => {
    await portal.learnNonce(`${crew.url}/`);
    const sent = Array.from({ length: burst * 2 }, (_, n) =>
      portal.send(invoice(), n % 4 < 2 ? { agent: agents[n % 4] as Agent } : {}),
    );
    const statuses = (await Promise.all(sent)).map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 200).length, burst);
    assert.equal(statuses.filter((status) => status === 429).length, burst);
  });

  test("attack: a limit of concurrency holds over both workers, and a place given back in one is free in the other", async () => {
    const held: (() => void)[] = [];
    upstream.answer = (_request, response) => void held.push(() => response.end("{}"));
    const [first, second] = agents;
    assert.ok(first !== undefined && second !== undefined);
    const under = [orders.send(invoice(), { agent: first }), orders.send(invoice(), { agent: second })];
    await until(() => held.length === 2, "both are at the provider");
    const refused = await Promise.all(Array.from({ length: 6 }, () => orders.send(invoice())));
    assert.deepEqual(new Set(refused.map(({ code }) => code)), new Set(["concurrency-limited"]));
    for (const release of held.splice(0)) release();
    assert.deepEqual(await Promise.all(under.map(async (one) => (await one).status)), [200, 200]);
    upstream.answer = null;
    await until(() => crew.crew.status().inFlight === 0, "both have ended");
    for (const agent of [first, second, first]) assert.equal((await orders.send(invoice(), { agent })).status, 200);
  });

  test("attack: one idempotency key at both workers in one moment is one effect, and either repeats its answer", async () => {
    const pay = (agent: Agent, key: string) =>
      orders.send(`${crew.url}/bank/v1/payments`, {
        agent,
        method: "POST",
        body: '{"amount":5}',
        headers: { "content-type": "application/json", "idempotency-key": key },
      });
    for (let round = 0; round < 5; round++) {
      const before = upstream.seen.length;
      const key = `"crew-${round}"`;
      const both = await Promise.all(agents.map((agent) => pay(agent, key)));
      assert.equal(upstream.seen.length, before + 1, "the provider's own count");
      assert.ok(both.some(({ status }) => status === 200));
      assert.ok(both.every(({ status, code }) => status === 200 || code === "idempotency-in-flight"));
      for (const agent of agents) assert.equal((await pay(agent, key)).status, 200);
      assert.equal(upstream.seen.length, before + 1);
    }
  });

  test("attack: a revoked token is refused by every worker once control has heard that it holds", async () => {
    const token = orders.token("billing", { jti: "revoked-in-both" });
    for (const agent of agents) assert.equal((await orders.send(invoice(), { agent, token })).status, 200);
    const seq = crew.crew.held().revocationSeq + 1;
    crew.bed.feed.revoke("jti", "revoked-in-both");
    const acks = () => crew.bed.feed.sent.flatMap((one) => (one.t === "ack" ? [one.revocationSeq] : []));
    await until(() => acks().includes(seq), "the acknowledgement");
    for (const agent of agents) {
      const refused = await orders.send(invoice(), { agent, token });
      assert.equal(refused.status, 401);
      const [leaf] = await crew.bed.leaves(refused.id);
      assert.ok(leaf?.t === "crossing" && leaf.code === "token-revoked");
    }
  });

  test("attack: an older snapshot is refused by every worker, and told to control once", async () => {
    const { signer, issuedAt } = { signer: crew.bed.feed.snapshotSigner, issuedAt: Date.now() };
    const before = crew.bed.feed.sent.filter(({ t }) => t === "refused-snapshot").length;
    const version = crew.crew.status().snapshot?.version ?? assert.fail();
    await crew.bed.publish(estate(upstream.url), { version: 0, signer, issuedAt });
    await until(() => crew.crew.perWorker().every(({ refused }) => refused?.refusal === "older"), "both refused it");
    assert.deepEqual(
      crew.crew.perWorker().map(({ snapshot }) => snapshot?.version),
      [version, version],
    );
    assert.equal(crew.bed.feed.sent.filter(({ t }) => t === "refused-snapshot").length, before + 1);
    for (const agent of agents) assert.equal((await orders.send(invoice(), { agent })).status, 200);
  });
});

test("the one log of several workers is whole: every crossing that was seen is in its tally, and nothing too many", async () => {
  const upstream = await startCountingUpstream();
  const crew = await startTestCrew({ estate: estate(upstream.url), workers: 3 });
  const copy = mkdtempSync(join(tmpdir(), "sallyport-crew-"));
  try {
    const orders = new TestCaller(crew.bed.feed, "orders");
    await orders.learnNonce(`${crew.url}/`);
    const url = `${crew.url}/billing/v1/regions/eu`;
    for (let round = 0; round < 5; round++)
      await Promise.all(Array.from({ length: 12 }, (_, n) => (n % 3 === 0 ? call(url) : orders.send(url))));
    await crew.crew.close();
    await crew.log.close();
    cpSync(join(crew.bed.directory, "log"), copy, { recursive: true });
    const report = verifyLogDirectory(copy, { verifierKey: crew.log.verifierKey });
    assert.deepEqual(report.problems, []);
    assert.equal(report.tallies.tallies > 0, true);
    assert.equal(report.tallies.seen >= 61, true);
    assert.equal(report.tallies.crashes, 0);
  } finally {
    await crew.close();
    await upstream.close();
    rmSync(copy, { recursive: true, force: true });
  }
});

test("attack: a worker that dies during an effect ends the node: it says so at once, and the effect stays an intent without an end", async () => {
  const threads: Worker[] = [];
  const seen = (thread: Worker): void => void threads.push(thread);
  process.on("worker", seen);
  const upstream = await startCountingUpstream();
  const crew = await startTestCrew({ estate: estate(upstream.url) });
  process.off("worker", seen);
  try {
    const orders = new TestCaller(crew.bed.feed, "orders");
    const agents = await connectionsToEach(crew, { upstream, url: `${crew.url}/billing/v1/invoices/1` });
    upstream.answer = () => {};
    const before = crew.log.size();
    const sent = orders
      .send(`${crew.url}/billing/v1/invoices`, {
        agent: agents[1] as Agent,
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"amount":5,"customer":"c"}',
      })
      .catch(() => null);
    await until(() => crew.log.size() > before && upstream.seen.at(-1)?.method === "POST", "the effect is under way");
    const second = threads.find(({ threadName }) => threadName === "sallyport-gateway-2") ?? assert.fail();
    await second.terminate();
    assert.match((await crew.ended).message, /worker thread 2 of this gateway ended by itself/);
    assert.equal(await sent, null, "nobody says that it succeeded");
  } finally {
    await crew.close();
    await upstream.close();
  }
});
