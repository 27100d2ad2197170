// What callers and providers see when providers fail: over real sockets, against providers with their own count (docs/resilience.md).
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import type { ResilienceObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { Exchange } from "../exchange.ts";
import type { CrossingObserver } from "../ports.ts";
import type { Ended } from "../record/recorder.ts";
import { referenceOf } from "../record/reference.ts";
import { type Behaviour, type FailingProvider, startFailingProvider } from "../testing/failing-provider.ts";
import { billing, marketplace } from "../testing/marketplace-estate.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { standingClock, startTestGateway, type TestGateway, until } from "../testing/start-test-gateway.ts";
import { type Answer, TestCaller } from "../testing/test-caller.ts";
import type { TestEstate } from "../testing/test-estate.ts";

const retries = { attempts: 2, budget: 0.2, least: 10 };
const breaker = { failures: 3, requests: 20, openMs: 5_000, openMsMax: 60_000 };

let one: FailingProvider;
let two: FailingProvider;
let bed: TestGateway;
let orders: TestCaller;
let url: string;

function estate(providers: readonly FailingProvider[], resilience: ResilienceObject): TestEstate {
  const [first] = providers;
  const base = marketplace(first?.url ?? "");
  const endpoints = providers.map((provider) => ({ url: `${provider.url}/api`, weight: 1 }));
  const upstream = { url: `${first?.url}/api`, allowPrivate: true, endpoints, resilience };
  const [, ...others] = base.systems;
  const served = billing(first?.url ?? "");
  // No machine is so busy that a whole test takes as long.
  const operations =
    served.operations?.map((one) => ({ ...one, changes: { ...one.changes, timeoutMs: 180_000 } })) ?? [];
  return { ...base, systems: [{ ...served, operations, changes: { upstream } }, ...others] };
}

let observed: { readonly exchange: Exchange; readonly ended: Ended } | null = null;

before(async () => {
  one = await startFailingProvider("one");
  two = await startFailingProvider("two");
  const observer: CrossingObserver = {
    crossing(exchange, ended) {
      observed = { exchange, ended };
    },
  };
  const changes = { serverTiming: true, observers: [observer] };
  // Budgets, breakers and what is left of a time go by it, and a busy machine has no part in them.
  const clock = standingClock();
  bed = await startTestGateway({ estate: estate([one], {}), openLog: openTestLog, changes, clock });
  url = `${bed.addresses[0]?.url}/billing`;
  orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
});
after(async () => {
  await bed?.close();
  await one?.close();
  await two?.close();
});

/** An endpoint with another time to connect is another endpoint: nothing is known of it. */
let connectMs = 20_000;
beforeEach(async () => {
  for (const provider of [one, two]) {
    await provider.listen(true);
    provider.reached = null;
    provider.behaviour = "ok";
    provider.fields = "";
    provider.cutText = "HTTP/1.1 200 x\r\nContent-Length: 1000\r\n\r\nhalf";
    provider.seen.length = 0;
    provider.heads.length = 0;
  }
  connectMs++;
  // Budgets forget in ten seconds.
  bed.clock.shiftMs += 11_000;
  bed.feed.heartbeat();
  await orders.learnNonce(`${url}/v1/invoices/1`);
});
afterEach(async () => {
  for (const provider of [one, two]) provider.release();
  await until(() => bed.gateway.status().inFlight === 0, "the end of every crossing");
});

const serve = (providers: readonly FailingProvider[], resilience: ResilienceObject): Promise<void> =>
  bed.publish(estate(providers, { connectMs, ...resilience }));
const read = (headers: Record<string, string> = {}): Promise<Answer> =>
  orders.send(`${url}/v1/invoices/1`, { headers });
/** Both do the same to the first request; from its arrival on the other one is well. */
function firstMeets(behaviour: Behaviour): void {
  const meets = (other: FailingProvider) => (): void => {
    one.reached = null;
    two.reached = null;
    other.behaviour = "ok";
  };
  one.behaviour = behaviour;
  two.behaviour = behaviour;
  one.reached = meets(two);
  two.reached = meets(one);
}
/** The sweep that asks endpoints runs once a second. */
async function eventually(done: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2_000; i++) {
    if (await done()) return;
    bed.clock.shiftMs += 10;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail("it did not come");
}

/** A read whose caller goes away when told. */
const impatient = (): { abort(): void } => {
  const leaving = new AbortController();
  orders.send(`${url}/v1/invoices/1`, { signal: leaving.signal }).catch(() => {});
  return leaving;
};
const create = (): Promise<Answer> =>
  orders.send(`${url}/v1/invoices`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ amount: 5, customer: "c-1" }),
  });
const upload = (): Promise<Answer> =>
  orders.send(`${url}/v1/invoices/1/scan`, {
    method: "PUT",
    headers: { "content-type": "application/pdf" },
    body: "%PDF",
  });

describe("retries", () => {
  for (const behaviour of ["reset", "cut", 502, 503, 504] as const)
    test(`a read that one endpoint fails by ${behaviour} is answered by the other, and its trace says so`, async () => {
      await serve([one, two], { retries });
      firstMeets(behaviour);
      const answer = await read();
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual([one.seen.length, two.seen.length], [1, 1]);
      assert.match(String(answer.headers["server-timing"]), /attempt;dur=[0-9.]+, forward;dur=/);
    });

  test("an effect that was sent is never sent again, whatever became of it", async () => {
    await serve([one, two], { retries });
    for (const behaviour of ["reset", 503] as const) {
      one.behaviour = behaviour;
      two.behaviour = behaviour;
      const before = one.seen.length + two.seen.length;
      const answer = await create();
      assert.equal(answer.status, behaviour === "reset" ? 502 : 503);
      assert.equal(one.seen.length + two.seen.length - before, 1, "it reached a provider once");
    }
  });

  test("an effect that has not begun, because nobody listens, goes to the other endpoint once", async () => {
    await serve([one, two], { retries });
    await one.listen(false);
    for (let i = 0; i < 4; i++) assert.equal((await create()).status, 200);
    assert.equal(two.seen.length, 4);
    assert.ok(two.seen.every((line) => line === "POST /api/v1/invoices HTTP/1.1"));
  });

  test("a streamed body is not held, so it is not sent again", async () => {
    await serve([one, two], { retries });
    await one.listen(false);
    await two.listen(false);
    assert.equal((await upload()).code, "upstream-unreachable");
  });

  test("when every attempt fails the caller gets what the last one said, and the log every attempt", async () => {
    await serve([one], { retries: { ...retries, attempts: 3 } });
    one.behaviour = 503;
    const answer = await read();
    assert.equal(answer.status, 503);
    assert.equal(answer.code, undefined, "the provider's own answer");
    assert.equal(one.seen.length, 3);
    const [leaf] = await bed.leaves(answer.id);
    assert.ok(leaf?.t === "crossing");
    assert.deepEqual([leaf.outcome, leaf.upstreamStatus], ["system-error", 503]);
    assert.ok(observed !== null);
    const sealed: { attempts?: readonly { ended: string; endpoint: string }[] } = referenceOf(observed.exchange, null);
    assert.deepEqual(
      sealed.attempts?.map(({ ended, endpoint }) => `${ended} at ${endpoint}`),
      Array(3).fill(`status-503 at ${one.url}`),
    );
  });

  test("a status that means the provider's no is no failure", async () => {
    const base = estate([one], { retries, connectMs });
    const [system, ...others] = base.systems;
    const operations = system?.operations?.map((each) => ({ ...each, changes: { businessErrors: [503] } })) ?? [];
    await bed.publish({ ...base, systems: [{ ...billing(one.url), ...system, operations }, ...others] });
    one.behaviour = 503;
    assert.equal((await read()).status, 503);
    assert.equal(one.seen.length, 1);
  });

  test("Retry-After beyond the deadline ends it at once", async () => {
    await serve([one], { retries });
    one.behaviour = 503;
    one.fields = "Retry-After: 3600\r\n";
    const answer = await read();
    assert.equal(answer.headers["retry-after"], "3600");
    assert.equal(one.seen.length, 1);
  });

  test("the budget ends a storm: of 40 reads that all fail, ten are tried again", async () => {
    await serve([one], { retries });
    one.behaviour = 503;
    for (let i = 0; i < 40; i++) await read();
    assert.equal(one.seen.length, 50);
  });

  test("nothing is sent again once a byte of the answer could have left", async () => {
    await serve([one, two], { retries });
    for (const provider of [one, two]) {
      provider.behaviour = "cut";
      // An event stream is passed on from its first byte.
      provider.cutText = "HTTP/1.1 200 x\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\nhalf";
    }
    await assert.rejects(read());
    assert.equal(one.seen.length + two.seen.length, 1);
  });

  test("a 503 that is passed on as it comes is passed on, and nothing follows it", async () => {
    await serve([one], { retries });
    one.behaviour = 503;
    one.fields = "Content-Type: text/event-stream\r\n";
    assert.equal((await read()).status, 503);
    assert.equal(one.seen.length, 1);
  });

  test("what the last attempt mended is said by the sealed part of the record alone", async () => {
    await serve([one, two], { retries });
    await one.listen(false);
    for (let i = 0; i < 20 && (observed?.exchange.attempts ?? null) === null; i++)
      assert.equal((await read()).status, 200);
    assert.equal(observed?.exchange.attempts?.length, 1);
    assert.equal(observed.ended.outcome, "success");
  });

  test("a caller that goes away during the pause ends it", async () => {
    await serve([one], { retries });
    one.behaviour = 503;
    one.fields = "Retry-After: 1\r\n";
    const began = impatient();
    await until(() => one.seen.length === 1, "the first attempt");
    began.abort();
    await until(() => bed.gateway.status().inFlight === 0, "the end of the crossing");
    assert.equal(one.seen.length, 1);
  });
});

describe("breaker", () => {
  const fail = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) assert.ok((await read()).status >= 500);
  };

  test("after failures in a row nothing is dialled: 503 upstream-open at once, with Retry-After, until one trial succeeds", async () => {
    await serve([one], { breaker });
    one.behaviour = "reset";
    await fail(3);
    one.behaviour = "ok";
    const refused = await read();
    assert.deepEqual([refused.status, refused.code, refused.headers["retry-after"]], [503, "upstream-open", "5"]);
    assert.equal(one.seen.length, 3, "the provider is left alone");
    bed.clock.shiftMs += 5_001;
    bed.feed.heartbeat();
    assert.equal((await read()).status, 200, "the trial");
    assert.equal((await read()).status, 200);
  });

  test("an endpoint that fails is left out, and the others serve", async () => {
    await serve([one, two], { breaker, retries });
    one.behaviour = "reset";
    for (let i = 0; i < 40; i++) assert.equal((await read()).status, 200);
    assert.equal(one.seen.length, 3, "the provider that fails is asked three times and then left alone");
  });

  test("what it learnt outlives a new snapshot, and ends where the snapshot takes the breaker away", async () => {
    await serve([one], { breaker });
    one.behaviour = 503;
    await fail(3);
    await serve([one], { breaker: { ...breaker, failures: 4 } });
    assert.equal((await read()).code, "upstream-open");
    await serve([one], {});
    assert.equal((await read()).code, undefined);
  });

  test("attack: a caller that gives its requests a millisecond cannot shut the provider for others", async () => {
    await serve([one], { breaker });
    one.behaviour = "hang";
    for (let i = 0; i < 6; i++) assert.equal((await read({ "request-timeout-ms": "1" })).code, "upstream-timeout");
    one.behaviour = "ok";
    assert.equal((await read()).status, 200);
  });

  test("attack: answers of 500, which a request may provoke, and callers that go away do not open it", async () => {
    await serve([one], { breaker });
    one.behaviour = 500;
    await fail(6);
    one.behaviour = "hang";
    for (let i = 0; i < 6; i++) {
      const before = one.seen.length;
      const began = impatient();
      await until(() => one.seen.length > before, "the request at the provider");
      began.abort();
      await until(() => bed.gateway.status().inFlight === 0, "its end");
    }
    one.behaviour = "ok";
    assert.equal((await read()).status, 200);
  });
});

describe("time", () => {
  test("the provider is told what is left, and a caller may only shorten it", async () => {
    await serve([one], { attemptMs: 1_500 });
    const told = async (headers: Record<string, string>): Promise<number> => {
      await read(headers);
      return Number(/\r\nrequest-timeout-ms: (\d+)\r\n/i.exec(one.heads.at(-1) ?? "")?.[1]);
    };
    assert.equal(await told({}), 1_500);
    assert.equal(await told({ "request-timeout-ms": "1200" }), 1_200);
    assert.equal(await told({ "request-timeout-ms": "60000" }), 1_500);
    assert.equal(one.heads.at(-1)?.match(/request-timeout-ms/gi)?.length, 1, "the caller's own is replaced");
  });

  test("an attempt that takes too long makes way for another within the deadline", async () => {
    // So much that the second one is in time however busy the machine is.
    await serve([one, two], { retries, attemptMs: 3_000 });
    firstMeets("hang");
    assert.equal((await read()).status, 200);
    assert.deepEqual([one.seen.length, two.seen.length], [1, 1]);
  });
});

describe("in flight", () => {
  const inLine = (count: number): Promise<void> =>
    until(async () => {
      const text = await bed.gateway.metricsText();
      return text.includes(`sallyport_upstream_waiting{system="billing"} ${count}\n`);
    }, `${count} in line`);

  test("beyond the bound a crossing is refused at once, and the provider is not asked", async () => {
    await serve([one], { inFlight: { total: 1, waiting: 0, waitMs: 1_000 } });
    one.behaviour = "hang";
    const first = read();
    await until(() => one.seen.length === 1, "the first at the provider");
    const refused = await read();
    assert.deepEqual([refused.status, refused.code, refused.headers["retry-after"]], [503, "upstream-overloaded", "1"]);
    one.release();
    assert.equal((await first).status, 200);
    one.behaviour = "ok";
    assert.equal((await read()).status, 200);
    assert.equal(one.seen.length, 2);
  });

  test("a line of one: the second waits and is served, the third is refused", async () => {
    await serve([one], { inFlight: { each: 1, waiting: 1, waitMs: 20_000 } });
    one.behaviour = "hang";
    const first = read();
    await until(() => one.seen.length === 1, "the first at the provider");
    const second = read();
    await inLine(1);
    assert.equal((await read()).code, "upstream-overloaded");
    one.behaviour = "ok";
    one.release();
    assert.deepEqual([(await first).status, (await second).status], [200, 200]);
  });

  test("who waits too long is refused, and who goes away leaves the line", async () => {
    await serve([one], { inFlight: { each: 1, waiting: 1, waitMs: 50 } });
    one.behaviour = "hang";
    const first = read();
    await until(() => one.seen.length === 1, "the first at the provider");
    assert.equal((await read()).code, "upstream-overloaded");
    await serve([one], { inFlight: { each: 1, waiting: 1, waitMs: 60_000 } });
    const gone = impatient();
    await inLine(1);
    gone.abort();
    await inLine(0);
    one.behaviour = "ok";
    one.release();
    await first;
    assert.equal(one.seen.length, 1);
  });
});

describe("endpoints", () => {
  test("requests go to all of them, each under its base path", async () => {
    await serve([one, two], {});
    // Each is drawn by chance: of so many more than three go to either, but once in 10^13 times.
    for (let i = 0; i < 60; i++) await read();
    assert.ok(one.seen.length > 3 && two.seen.length > 3, `${one.seen.length} and ${two.seen.length}`);
    assert.equal(one.seen[0], "GET /api/v1/invoices/1 HTTP/1.1");
  });

  test("one whose health checks fail is passed by, and served again once they succeed; where all fail they are overruled", async () => {
    const health = { path: "/healthz", everyMs: 1, timeoutMs: 5_000, failures: 1, successes: 1 };
    one.behaviour = 500;
    await serve([one, two], { health });
    await read();
    const metric = async (): Promise<string> => bed.gateway.metricsText();
    await eventually(async () => (await metric()).includes(`unwell{system="billing",endpoint="${one.url}"} 1`));
    const asked = one.heads[one.seen.indexOf("GET /api/healthz HTTP/1.1")] ?? "sallyport-identity";
    assert.ok(!/sallyport-identity|authorization|sallyport-crossing/i.test(asked), "a check has no identity");
    for (let i = 0; i < 12; i++) assert.equal((await read()).text, '{"from":"two"}');
    two.behaviour = 500;
    await eventually(async () => (await metric()).includes(`unwell{system="billing",endpoint="${two.url}"} 1`));
    assert.equal((await read()).status, 500, "somebody is asked");
    one.behaviour = "ok";
    await eventually(async () => (await metric()).includes(`unwell{system="billing",endpoint="${one.url}"} 0`));
    assert.equal((await read()).text, '{"from":"one"}');
    await serve([one, two], {});
  });

  test("one that leaves the snapshot ends what it has begun, and is then let go", async () => {
    await serve([one], {});
    one.behaviour = "hang";
    const running = read();
    await until(() => one.seen.length === 1, "the request at the provider");
    await serve([two], {});
    assert.equal((await read()).status, 200);
    assert.equal(two.seen.length, 1);
    one.release();
    assert.equal((await running).text, '{"from":"one"}');
    await until(() => one.connections() === 0, "its connections closed");
  });
});
