// What limits of an integration count, over real sockets against a real gateway: docs/limits.md.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { IntegrationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { until } from "./testing/start-test-gateway.ts";
import { call } from "./testing/test-caller.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const opened: Bench[] = [];
after(() => Promise.all(opened.map((bench) => bench.close())));

async function benchWith(changes: Partial<IntegrationObject>): Promise<Bench> {
  const bench = await openBench({
    estate(url) {
      const base = marketplace(url);
      return { ...base, integrations: base.integrations.map((one) => ({ ...one, limits: [], ...changes })) };
    },
  });
  opened.push(bench);
  await until(() => bench.bed.gateway.readiness().ready, "readiness");
  return bench;
}

/** A provider that answers when it is told to, and how many wait for it. */
function held(bench: Bench) {
  const waiting: (() => void)[] = [];
  bench.upstream.answer = (_request, response) => void waiting.push(() => response.end("{}"));
  return {
    waits: (count: number) => until(() => waiting.length === count, `${count} at the provider`),
    release: () => {
      for (const answer of waiting.splice(0)) answer();
    },
  };
}

const tokenOf = (bench: Bench, subject: string): string => bench.orders.token("billing", { sub: subject });

describe("a limit of concurrency", () => {
  test("counts per client: one client's crossings take nothing from another's", async () => {
    const bench = await benchWith({ concurrency: [{ per: "client", max: 2 }] });
    const provider = held(bench);
    const mine = [bench.orders.send(bench.invoice), bench.orders.send(bench.invoice)];
    await provider.waits(2);
    assert.equal((await bench.orders.send(bench.invoice)).status, 429);
    const other = bench.portal.send(bench.invoice);
    await provider.waits(3);
    provider.release();
    assert.deepEqual(await Promise.all([...mine, other].map(async (one) => (await one).status)), [200, 200, 200]);
  });

  test("counts per user that is acted for", async () => {
    const bench = await benchWith({ concurrency: [{ per: "subject", max: 1 }] });
    const provider = held(bench);
    const anna = bench.orders.send(bench.invoice, { token: tokenOf(bench, "usr_anna") });
    await provider.waits(1);
    assert.equal((await bench.orders.send(bench.invoice, { token: tokenOf(bench, "usr_anna") })).status, 429);
    const bert = bench.orders.send(bench.invoice, { token: tokenOf(bench, "usr_bert") });
    await provider.waits(2);
    provider.release();
    assert.deepEqual([(await anna).status, (await bert).status], [200, 200]);
  });

  test("counts the operations it names and no others", async () => {
    const bench = await benchWith({
      operations: [{ name: "invoice.read" }, { name: "region.read" }],
      concurrency: [{ per: "integration", max: 1, operations: ["invoice.read"] }],
    });
    const provider = held(bench);
    const first = bench.orders.send(bench.invoice);
    await provider.waits(1);
    assert.equal((await bench.orders.send(bench.invoice)).status, 429);
    const region = bench.orders.send(`${bench.url}/billing/v1/regions/eu`);
    await provider.waits(2);
    provider.release();
    assert.deepEqual([(await first).status, (await region).status], [200, 200]);
  });

  test("is held over a change of the snapshot: who changes it does not double it", async () => {
    const bench = await benchWith({ concurrency: [{ per: "client", max: 1 }] });
    const provider = held(bench);
    const first = bench.orders.send(bench.invoice);
    await provider.waits(1);
    await bench.publish();
    assert.equal((await bench.orders.send(bench.invoice)).status, 429);
    provider.release();
    assert.equal((await first).status, 200);
  });

  test("attack: callers that hang up hold no place once they are gone", async () => {
    const bench = await benchWith({ concurrency: [{ per: "client", max: 1 }] });
    const provider = held(bench);
    for (let i = 0; i < 3; i++) {
      const gone = new AbortController();
      const sent = bench.orders.send(bench.invoice, { signal: gone.signal }).catch(() => null);
      await provider.waits(i + 1);
      gone.abort();
      await sent;
      await until(() => bench.bed.gateway.status().inFlight === 0, "the crossing has ended");
    }
    bench.upstream.answer = null;
    assert.equal((await bench.orders.send(bench.invoice)).status, 200);
  });

  test("attack: refusals of the rate hold no place, and refusals of concurrency cost no rate", async () => {
    const bench = await benchWith({
      limits: [{ per: "client", rate: 1, periodMs: 3_600_000, burst: 2 }],
      concurrency: [{ per: "client", max: 1 }],
    });
    const provider = held(bench);
    const first = bench.orders.send(bench.invoice);
    await provider.waits(1);
    for (let i = 0; i < 5; i++) {
      const refused = await bench.orders.send(bench.invoice);
      assert.equal(JSON.parse(refused.text).code, "concurrency-limited");
    }
    provider.release();
    assert.equal((await first).status, 200);
    bench.upstream.answer = null;
    assert.equal((await bench.orders.send(bench.invoice)).status, 200, "the second of the burst is still there");
    for (let i = 0; i < 3; i++)
      assert.equal(JSON.parse((await bench.orders.send(bench.invoice)).text).code, "rate-limited");
  });

  test("attack: strangers take no places of the integration", async () => {
    const bench = await benchWith({ concurrency: [{ per: "integration", max: 1 }] });
    for (let i = 0; i < 3; i++) assert.equal((await call(bench.invoice, {})).status, 401);
    assert.equal((await bench.orders.send(bench.invoice)).status, 200);
  });
});

describe("a rate", () => {
  test("of a user is his own, whatever the others do", async () => {
    const bench = await benchWith({ limits: [{ per: "subject", rate: 1, periodMs: 3_600_000, burst: 1 }] });
    const send = (subject: string) => bench.orders.send(bench.invoice, { token: tokenOf(bench, subject) });
    assert.deepEqual(
      [(await send("usr_anna")).status, (await send("usr_anna")).status, (await send("usr_bert")).status],
      [200, 429, 200],
    );
  });

  test("of some operations is shared by them, and costs the others nothing", async () => {
    const bench = await benchWith({
      operations: [{ name: "invoice.read" }, { name: "region.read" }],
      limits: [{ per: "client", rate: 1, periodMs: 3_600_000, burst: 1, operations: ["invoice.read"] }],
    });
    const region = `${bench.url}/billing/v1/regions/eu`;
    const statuses = [];
    for (const url of [bench.invoice, bench.invoice, region, region])
      statuses.push((await bench.orders.send(url)).status);
    assert.deepEqual(statuses, [200, 429, 200, 200]);
  });
});
