// A second attempt beside a slow first: which is answered, what becomes of the other, and where none may be sent; over real sockets, against providers with
// their own count (docs/resilience.md "Hedging").
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import type { HedgeRule } from "@sallyport/protocol/snapshot/hedge-rule.ts";
import type { OperationObject, ResilienceObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { Exchange } from "../exchange.ts";
import type { CrossingObserver } from "../ports.ts";
import type { Ended } from "../record/recorder.ts";
import { referenceOf } from "../record/reference.ts";
import { type Behaviour, type FailingProvider, startFailingProvider } from "../testing/failing-provider.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "../testing/start-test-gateway.ts";
import { type Answer, type CallOptions, TestCaller } from "../testing/test-caller.ts";
import type { TestEstate, TestOperation } from "../testing/test-estate.ts";

const soon: HedgeRule = { after: { ms: 20 }, budget: 1 };
const retries = { attempts: 2, budget: 1, least: 100 };
const breaker = { failures: 2, requests: 20, openMs: 5_000, openMsMax: 60_000 };

let one: FailingProvider;
let two: FailingProvider;
let bed: TestGateway;
let orders: TestCaller;
let url: string;
let observed: { readonly exchange: Exchange; readonly ended: Ended } | null = null;
/** An endpoint with another time to connect is another endpoint, and a system of another name has a budget of its own. */
let turn = 0;

const operation = (name: string, method: string, more: Partial<TestOperation> = {}): TestOperation => ({
  name,
  method,
  path: `/v1/${name}`,
  ...more,
});
const json = { content: "json", contentType: "application/json" } as const;

function estate(providers: readonly FailingProvider[], resilience: ResilienceObject, hedge: HedgeRule): TestEstate {
  const [first] = providers;
  const key = { key: "optional", ttlMs: 3_600_000 } as const;
  // Longer than anybody waits here: what ends was ended.
  const changes: Partial<OperationObject> = { hedge, timeoutMs: 180_000 };
  const operations = [
    operation("read", "GET", { changes }),
    operation("create", "POST", { body: json, changes }),
    operation("own", "POST", { body: json, changes: { ...changes, idempotency: key } }),
    operation("pay", "POST", { body: json, changes: { ...changes, idempotency: { ...key, provider: "honours" } } }),
    operation("query", "GET", { body: { content: "opaque", contentType: "text/plain" }, changes }),
  ];
  const endpoints = providers.map((provider) => ({ url: provider.url, weight: 1 }));
  const upstream = { url: first?.url ?? "", allowPrivate: true, endpoints, resilience };
  const bank = `bank-${turn}`;
  return {
    systems: [
      { id: bank, url: first?.url ?? "", operations, changes: { upstream } },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: [
      { id: "orders-to-bank", from: "orders", to: bank, operations: operations.map(({ name }) => ({ name })) },
    ],
  };
}

before(async () => {
  one = await startFailingProvider("one");
  two = await startFailingProvider("two");
  const observer: CrossingObserver = {
    crossing(exchange, ended) {
      observed = { exchange, ended };
    },
  };
  const changes = { serverTiming: true, observers: [observer] };
  bed = await startTestGateway({ estate: estate([one], {}, soon), openLog: openTestLog, changes });
  orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
});
after(async () => {
  await bed?.close();
  await one?.close();
  await two?.close();
});
beforeEach(() => {
  for (const provider of [one, two]) {
    provider.behaviour = "hang";
    provider.fields = "";
    provider.seen.length = 0;
    provider.heads.length = 0;
  }
  turn++;
});
afterEach(async () => {
  for (const provider of [one, two]) {
    provider.behaviour = "ok";
    provider.release();
  }
  await until(() => bed.gateway.status().inFlight === 0, "the end of every crossing");
});

async function serve(
  providers: readonly FailingProvider[],
  resilience: ResilienceObject = {},
  hedge: HedgeRule = soon,
): Promise<void> {
  await bed.publish(estate(providers, { retries, ...resilience }, hedge));
  url = `${bed.addresses[0]?.url}/bank-${turn}/v1`;
  orders.nonce = undefined;
  await orders.learnNonce(`${url}/nowhere`);
}
const send = (name: string, options: CallOptions = {}): Promise<Answer> => orders.send(`${url}/${name}`, options);
const effect = (name: string, headers: Record<string, string> = {}): Promise<Answer> =>
  send(name, { method: "POST", body: "{}", headers: { "content-type": "application/json", ...headers } });
const seen = (): number => one.seen.length + two.seen.length;
/** The endpoint that gets the next request, and the other, which behaves like this from then on. */
function firstOf(behaviour: Behaviour): Promise<readonly [FailingProvider, FailingProvider]> {
  return new Promise((resolve) => {
    const reached = (first: FailingProvider, other: FailingProvider) => () => {
      one.reached = null;
      two.reached = null;
      other.behaviour = behaviour;
      resolve([first, other]);
    };
    one.reached = reached(one, two);
    two.reached = reached(two, one);
  });
}
const metric = async (name: string): Promise<number> => {
  const text = await bed.gateway.metricsText();
  return Number(new RegExp(`sallyport_upstream_${name}\\{system="bank-${turn}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
};
const ofEndpoint = async (name: string, { url: endpoint }: FailingProvider): Promise<number> => {
  const text = await bed.gateway.metricsText();
  const line = `sallyport_upstream_${name}{system="bank-${turn}",endpoint="${endpoint}"} `;
  return Number(text.slice(text.indexOf(line) + line.length).split("\n", 1)[0]);
};
const failuresOf = (provider: FailingProvider): Promise<number> => ofEndpoint("failures_total", provider);
const judged = (provider: FailingProvider): Promise<void> =>
  until(async () => (await ofEndpoint("in_flight", provider)) === 0, "the end of the attempt there");
const attempts = () => {
  assert.ok(observed !== null);
  const sealed: { attempts?: readonly { endpoint: string; ended: string; hedge?: true }[] } = referenceOf(
    observed.exchange,
    null,
  );
  return (sealed.attempts ?? []).map(({ endpoint, ended, hedge }) => [endpoint, ended, hedge === true]);
};

describe("a slow first attempt", () => {
  test("is overtaken by a second at the other endpoint: its caller has that answer, one record says which it was, and the first is cancelled", async () => {
    await serve([one, two]);
    const first = firstOf("ok");
    const began = send("read");
    const [slow, other] = await first;
    const answer = await began;
    assert.deepEqual([answer.status, answer.text], [200, `{"from":"${other === one ? "one" : "two"}"}`]);
    assert.deepEqual([slow.seen.length, other.seen.length], [1, 1]);
    await until(() => slow.connections() === 0, "the connection of the first closed");
    const leaves = await bed.leaves(answer.id);
    assert.equal(leaves.length, 1, "one record of one answer");
    assert.deepEqual(attempts(), [
      [other.url, "answered", true],
      [slow.url, "overtaken", false],
    ]);
    assert.match(String(answer.headers["server-timing"]), /attempt;dur=[0-9.]+, forward;dur=/);
    assert.deepEqual(
      [await metric("hedges_total"), await metric("hedges_won_total"), await metric("retries_total")],
      [1, 1, 0],
    );
  });

  test("may still be answered first, and then the second is cancelled", async () => {
    await serve([one, two]);
    const first = firstOf("hang");
    const began = send("read");
    const [slow, other] = await first;
    await until(() => other.seen.length === 1, "the second attempt");
    slow.release();
    assert.equal((await began).status, 200);
    assert.deepEqual(attempts(), [
      [slow.url, "answered", false],
      [other.url, "overtaken", true],
    ]);
    assert.deepEqual([await metric("hedges_total"), await metric("hedges_won_total")], [1, 0]);
  });

  test("of an only endpoint is overtaken over another connection", async () => {
    await serve([one]);
    const began = send("read");
    await until(() => one.seen.length === 1, "the first attempt");
    one.behaviour = "ok";
    assert.equal((await began).status, 200);
    assert.equal(one.seen.length, 2);
  });

  test("is not disturbed where it is answered in time", async () => {
    one.behaviour = "ok";
    await serve([one], {}, { after: { ms: 60_000 }, budget: 1 });
    assert.equal((await send("read")).status, 200);
    assert.equal(one.seen.length, 1);
    assert.equal(observed?.exchange.attempts, null);
  });

  test("is waited for when the second fails, which counts against its endpoint alone", async () => {
    await serve([one, two], { breaker });
    for (let i = 0; i < 2; i++) {
      const first = firstOf(503);
      const began = send("read");
      const [slow, other] = await first;
      await until(() => other.seen.length > 0, "the second attempt");
      await judged(other);
      slow.release();
      const answer = await began;
      assert.deepEqual([answer.status, answer.text], [200, `{"from":"${slow === one ? "one" : "two"}"}`]);
      slow.seen.length = 0;
      other.seen.length = 0;
      other.behaviour = "hang";
    }
    const failures = [await failuresOf(one), await failuresOf(two)];
    assert.equal(failures[0] ?? 0, 2 - (failures[1] ?? 0), "each time the one that failed");
  });

  test("that fails after the second failed leaves the caller what it said itself", async () => {
    await serve([one, two]);
    const first = firstOf("reset");
    const began = send("read");
    const [slow, other] = await first;
    await until(() => other.seen.length === 1, "the second attempt");
    await judged(other);
    slow.behaviour = "ok";
    slow.release();
    assert.equal((await began).status, 200);
    assert.deepEqual(attempts(), [
      [other.url, "connect-failed", true],
      [slow.url, "answered", false],
    ]);
  });

  test("with `after` as a share is given the time that share of them took, once a hundred have said", async () => {
    one.behaviour = "ok";
    await serve([one], {}, { after: { share: 0.9 }, budget: 1 });
    for (let i = 0; i < 100; i++) await send("read");
    const before = await metric("hedges_total");
    one.behaviour = "hang";
    const began = send("read");
    await until(() => one.seen.length >= 102 + before, "the second attempt");
    one.release();
    assert.equal((await began).status, 200);
  });
});

describe("attack", () => {
  test("attack: an upstream that answers both at once: one answer reaches the caller, one is recorded, and the connections stay usable", async () => {
    await serve([one, two]);
    for (let i = 0; i < 20; i++) {
      one.seen.length = 0;
      two.seen.length = 0;
      const began = send("read");
      await until(() => one.seen.length === 1 && two.seen.length === 1, "both attempts");
      one.release();
      two.release();
      const answer = await began;
      assert.match(answer.text, /^\{"from":"(one|two)"\}$/);
      const leaves = await bed.leaves(answer.id);
      assert.equal(leaves.length, 1);
      assert.deepEqual(
        attempts().map(([, ended]) => ended),
        ["answered", "overtaken"],
      );
    }
    assert.equal(await metric("hedges_total"), 20);
  });

  test("attack: an upstream that stalls after its fields, or in its content, is overtaken all the same", async () => {
    for (const text of ["", "ha"]) {
      turn++;
      await serve([one, two]);
      for (const provider of [one, two]) {
        provider.seen.length = 0;
        provider.behaviour = "stall";
        provider.cutText = `HTTP/1.1 200 x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n${text}`;
      }
      const first = firstOf("ok");
      const began = send("read");
      const [slow, other] = await first;
      const answer = await began;
      assert.equal(answer.text, `{"from":"${other === one ? "one" : "two"}"}`);
      await until(() => slow.connections() === 0, "the stalled connection closed");
    }
  });

  test("attack: a caller that goes away ends both attempts, and begins none", async () => {
    await serve([one, two]);
    const leaving = new AbortController();
    send("read", { signal: leaving.signal }).catch(() => {});
    await until(() => one.seen.length === 1 && two.seen.length === 1, "both attempts");
    leaving.abort();
    await until(() => one.connections() + two.connections() === 0, "both connections closed");
    await until(() => bed.gateway.status().inFlight === 0, "the end of the crossing");
    assert.equal(seen(), 2);
    assert.equal(observed?.ended.outcome, "aborted");
  });

  test("attack: a storm of slow answers gets no more second attempts than the budget has", async () => {
    await serve([one, two], {}, { after: { ms: 20 }, budget: 0.1 });
    const all = Array.from({ length: 40 }, () => send("read"));
    await until(() => seen() === 44, "40 first attempts and a tenth of them beside");
    await until(async () => (await metric("hedges_refused_total")) === 36, "the others refused");
    one.release();
    two.release();
    for (const answer of await Promise.all(all)) assert.equal(answer.status, 200);
    assert.equal(seen(), 44);
  });

  test("attack: the budget of retries, used up, has no second attempt either, and is not told that a provider fails", async () => {
    await serve([one, two], { retries: { attempts: 2, budget: 0, least: 0 } });
    const began = send("read");
    await until(async () => (await metric("hedges_refused_total")) === 1, "it refused");
    one.release();
    two.release();
    assert.equal((await began).status, 200);
    assert.deepEqual([seen(), await metric("retries_refused_total")], [1, 0]);
  });

  for (const [name, headers, why] of [
    ["create", {}, "an effect"],
    ["own", { "idempotency-key": '"k"' }, "an effect under a key that only the gateway knows"],
    ["pay", {}, "an effect without the key its provider honours"],
  ] as const)
    test(`attack: ${why} is never sent twice, whatever the snapshot says`, async () => {
      await serve([one, two]);
      const first = firstOf("hang");
      const began = effect(name, headers);
      await first;
      // What is begun later and hedged says that the time of this one is over.
      const later = send("read");
      await until(() => seen() === 3, "a read and its second attempt");
      for (const provider of [one, two]) provider.release();
      assert.equal((await began).status, 200);
      assert.equal((await later).status, 200);
      assert.equal([...one.seen, ...two.seen].filter((line) => line.startsWith("POST")).length, 1);
    });

  test("attack: a body that streams is never sent twice", async () => {
    await serve([one, two]);
    const began = send("query", {
      method: "GET",
      body: "x",
      headers: { "content-type": "text/plain", "content-length": "1" },
    });
    await until(() => seen() === 1, "the first attempt");
    const later = send("read");
    await until(() => seen() === 3, "a read and its second attempt");
    for (const provider of [one, two]) provider.release();
    assert.equal((await began).status, 200);
    await later;
    assert.equal([...one.seen, ...two.seen].filter((line) => line.includes("query")).length, 1);
    assert.equal(await metric("hedges_total"), 1, "that of the read");
  });

  test("attack: endpoints that are overtaken again and again are not left alone for it, and one that fails meanwhile is", async () => {
    await serve([one, two], { breaker });
    one.behaviour = "ok";
    // Which is asked first is drawn by chance.
    for (let i = 0; i < 12 || (i < 500 && two.seen.length <= breaker.failures); i++) await send("read");
    assert.ok(two.seen.length > breaker.failures, "two was asked first more than once");
    const text = await bed.gateway.metricsText();
    const open = [...text.matchAll(/left_alone\{system="bank-\d+",endpoint="([^"]+)"\} (\d)/g)].map(
      ([, , state]) => state,
    );
    assert.ok(open.length >= 2 && open.every((state) => state === "0"), text);
  });

  test("attack: where the provider has no room, or somebody waits for it, nothing is sent beside", async () => {
    await serve([one, two], { inFlight: { total: 1, waiting: 1, waitMs: 20_000 } });
    const first = send("read");
    await until(() => seen() === 1, "the first at the provider");
    await until(async () => (await metric("hedges_refused_total")) === 1, "its second refused");
    const waiting = send("read");
    await until(async () => (await metric("waiting")) === 1, "one in line");
    one.behaviour = "ok";
    two.behaviour = "ok";
    one.release();
    two.release();
    assert.deepEqual([(await first).status, (await waiting).status], [200, 200]);
    assert.deepEqual([seen(), await metric("hedges_total")], [2, 0]);
  });
});

describe("an effect under a key that its provider honours", () => {
  const key = { "idempotency-key": '"once"' };

  test("is sent twice under one key, and its repeat gets the answer that was used", async () => {
    await serve([one, two]);
    const first = firstOf("ok");
    const began = effect("pay", key);
    const [slow, other] = await first;
    const answer = await began;
    assert.equal(answer.text, `{"from":"${other === one ? "one" : "two"}"}`);
    const keys = [...slow.heads, ...other.heads].map((head) => /idempotency-key: (.*)\r\n/i.exec(head)?.[1]);
    assert.equal(keys.length, 2);
    assert.ok(keys[0] !== undefined && keys[0] === keys[1]);
    const repeat = await effect("pay", key);
    assert.deepEqual([repeat.text, repeat.headers["sallyport-replay-of"]], [answer.text, answer.id]);
    assert.equal(seen(), 2);
  });

  test("attack: a provider that says the first is still under way (409) does not make that the answer", async () => {
    await serve([one, two]);
    const first = firstOf(409);
    const began = effect("pay", key);
    const [slow, other] = await first;
    await until(() => other.seen.length === 1, "the second attempt");
    await judged(other);
    slow.release();
    const answer = await began;
    assert.deepEqual([answer.status, answer.text], [200, `{"from":"${slow === one ? "one" : "two"}"}`]);
  });
});
