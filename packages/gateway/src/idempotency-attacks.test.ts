// Attacks on keys and kept answers, and races for one key over two gateways that share a data-plane store on PostgreSQL (docs/idempotency.md).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { testServer } from "@sallyport/kernel/store/for-each-dialect.ts";
import { dataStoreAt } from "./idempotency/open-data-store.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { repeatEstate } from "./testing/repeat-estate.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, TestCaller } from "./testing/test-caller.ts";

const random = { bytes: (length: number) => randomBytes(length) };
const clock = { now: () => Date.now(), monotonic: () => performance.now() };

interface Sent {
  readonly path?: string;
  readonly body?: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function pay(at: TestGateway, by: TestCaller, key: string, sent: Sent = {}) {
  const { path = "payments", body = "{}", token, headers } = sent;
  return by.send(`${at.addresses[0]?.url ?? ""}/bank/v1/${path}`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", "idempotency-key": key, ...headers },
    ...(token === undefined ? {} : { token }),
  });
}

describe("attacks on idempotency", () => {
  let upstream: CountingUpstream;
  let bed: TestGateway;
  let orders: TestCaller;
  let portal: TestCaller;
  let serial = 0;

  before(async () => {
    upstream = await startCountingUpstream();
    bed = await startTestGateway({ estate: repeatEstate(upstream.url), openLog: openTestLog });
    orders = new TestCaller(bed.feed, "orders");
    portal = new TestCaller(bed.feed, "portal");
  });
  after(async () => {
    await bed?.close();
    await upstream?.close();
  });
  beforeEach(() => {
    upstream.answer = (_request, response) =>
      response
        .writeHead(201, { "content-type": "application/json", etag: '"1"', "set-cookie": "sid=canary-cookie" })
        .end('{"secret":"canary-4929420573595709"}');
  });
  const fresh = () => `"attack-${serial++}"`;
  const isReplay = ({ headers }: Answer) => headers["sallyport-replay-of"] !== undefined;

  test("attack: the key of another principal, system or user, is a key like any other and tells nothing", async () => {
    const key = fresh();
    await pay(bed, orders, key);
    for (const [by, sub] of [
      [portal, "portal"],
      [orders, "alice"],
      [orders, "bob"],
    ] as const) {
      const before = upstream.seen.length;
      const answer = await pay(bed, by, key, { body: '{"other":1}', token: by.token("bank", { sub }) });
      assert.deepEqual([answer.status, isReplay(answer), upstream.seen.length - before], [201, false, 1], sub);
    }
  });

  test("attack: the same key for another operation is another key", async () => {
    const key = fresh();
    await pay(bed, orders, key);
    const answer = await pay(bed, orders, key, { path: "refunds" });
    assert.deepEqual([answer.status, isReplay(answer)], [201, false]);
  });

  test("attack: a key in other encodings, twice, huge or empty never becomes a second key", async () => {
    for (const value of [
      "abc",
      '"abc',
      '"a" x',
      '"a";x=1',
      '"a", "b"',
      '""',
      '"\\x"',
      '"ä"',
      `"${"k".repeat(256)}"`,
      ":YWJj:",
    ]) {
      const before = upstream.seen.length;
      const answer = await pay(bed, orders, value).catch(() => null);
      if (answer !== null) assert.equal(answer.status, 400, value);
      assert.equal(upstream.seen.length, before, value);
    }
    const key = fresh();
    await pay(bed, orders, key);
    assert.ok(isReplay(await pay(bed, orders, key)));
    assert.equal((await pay(bed, orders, `"${"k".repeat(255)}"`)).status, 201, "the longest one");
  });

  test("attack: a replay hands nobody the session of the first answer", async () => {
    const key = fresh();
    const first = await pay(bed, orders, key);
    assert.ok(first.headers["set-cookie"] !== undefined);
    const repeat = await pay(bed, orders, key);
    assert.deepEqual(
      [isReplay(repeat), repeat.headers["set-cookie"], repeat.headers["etag"]],
      [true, undefined, '"1"'],
    );
  });

  test("attack: whoever may not do it any more gets no answer of before", async () => {
    const key = fresh();
    await pay(bed, orders, key);
    await bed.publish(
      repeatEstate(upstream.url, { "payment.make": { cedar: '@id("stop") forbid (principal, action, resource);' } }),
    );
    assert.equal((await pay(bed, orders, key)).code, "policy-denied");
    await bed.publish(repeatEstate(upstream.url));
    assert.ok(isReplay(await pay(bed, orders, key)));
  });

  test("attack: what was answered about an account that is closed to the caller now is fetched under the name of one that is open", async () => {
    const attributes = { account: { from: "header", name: "X-Account", type: "string" } } as const;
    const closed = (account: string) =>
      `@id("closed") forbid (principal, action, resource) when { resource.account == "${account}" };`;
    const of = (account: string) =>
      bed.publish(repeatEstate(upstream.url, { "payment.make": { attributes, cedar: closed(account) } }));
    const key = fresh();
    const payFrom = (account: string) => pay(bed, orders, key, { headers: { "x-account": account } });
    await of("none");
    const first = await payFrom("a");
    assert.equal(first.status, 201);
    assert.equal(isReplay(await payFrom("a")), true);
    await of("a");
    assert.equal((await payFrom("a")).code, "policy-denied");
    const before = upstream.seen.length;
    const other = await payFrom("b");
    assert.deepEqual([other.code, isReplay(other), upstream.seen.length], ["idempotency-key-reused", false, before]);
    assert.ok(!other.text.includes("canary"));
    await bed.publish(repeatEstate(upstream.url));
  });

  test("attack: an answer from before a rule took something out of it is not released after", async () => {
    const key = fresh();
    await pay(bed, orders, key);
    await bed.publish(
      repeatEstate(upstream.url, {
        "payment.make": {
          changes: { idempotency: { key: "required", ttlMs: 3_600_000 }, classification: "confidential" },
        },
      }),
    );
    const before = upstream.seen.length;
    assert.equal((await pay(bed, orders, key)).code, "idempotency-answer-not-kept");
    assert.equal(upstream.seen.length, before);
    await bed.publish(repeatEstate(upstream.url));
  });

  test("attack: a stolen store shows no answer, no key, no caller and no body", async () => {
    const key = '"canary-key-77"';
    await pay(bed, orders, key, { body: '{"card":"canary-body-88"}' });
    const folder = join(bed.directory, "data-plane");
    const files = readdirSync(folder).map((name) => readFileSync(join(folder, name)));
    assert.ok(files.length > 0);
    for (const canary of [
      "canary-4929420573595709",
      "canary-key-77",
      "canary-body-88",
      "canary-cookie",
      "payment.make",
    ])
      assert.ok(
        files.every((bytes) => !bytes.includes(canary)),
        canary,
      );
  });
});

describe("two gateways on one data-plane store", () => {
  let server: Awaited<ReturnType<typeof testServer>> | undefined;
  let upstream: CountingUpstream;
  let beds: readonly TestGateway[] = [];
  let callers: readonly TestCaller[] = [];

  before(async () => {
    server = await testServer();
    upstream = await startCountingUpstream();
    const schema = `test_${randomBytes(8).toString("hex")}`;
    const dataKey = new Uint8Array(randomBytes(32));
    const open = () =>
      startTestGateway({
        estate: repeatEstate(upstream.url),
        openLog: openTestLog,
        dataKey,
        changes: { dataStore: dataStoreAt({ url: server?.url ?? "", schema }, { clock, random }) },
      });
    beds = [await open(), await open()];
    callers = beds.map(({ feed }) => new TestCaller(feed, "orders"));
  });
  after(async () => {
    for (const bed of beds) await bed.close();
    await upstream?.close();
    await server?.stop();
  });

  test("of twenty with one key at two gateways exactly one reaches the provider; all get its answer or a 409, and later all its answer", async () => {
    for (let i = 0; i < beds.length; i++) await callers[i]?.learnNonce(`${beds[i]?.addresses[0]?.url}/`);
    for (let round = 0; round < 5; round++) {
      const before = upstream.seen.length;
      const one = (i: number) => {
        const [bed, caller] = [beds[i % 2], callers[i % 2]];
        assert.ok(bed !== undefined && caller !== undefined);
        return pay(bed, caller, `"race-${round}"`);
      };
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => one(i)));
      assert.equal(upstream.seen.length - before, 1);
      for (const { status, code } of answers)
        if (status !== 200) assert.deepEqual([status, code], [409, "idempotency-in-flight"]);
      for (const i of [0, 1]) assert.notEqual((await one(i)).headers["sallyport-replay-of"], undefined);
    }
  });

  test("effects on one resource never meet at the provider, over both gateways; each has its turn", async () => {
    let [under, most] = [0, 0];
    upstream.answer = (_request, response) => {
      under += 1;
      most = Math.max(most, under);
      // Two turns of the loop: whoever did not wait would be here by then.
      setImmediate(() =>
        setImmediate(() => {
          under -= 1;
          response.writeHead(200).end("{}");
        }),
      );
    };
    const change = (i: number) => {
      const [bed, caller] = [beds[i % 2], callers[i % 2]];
      assert.ok(bed !== undefined && caller !== undefined);
      return caller.send(`${bed.addresses[0]?.url}/bank/v1/accounts/7`, {
        method: "PUT",
        body: "{}",
        headers: { "content-type": "application/json", "if-match": '"v1"' },
      });
    };
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => change(i)));
    for (const { status, code } of answers)
      if (status !== 200) assert.deepEqual([status, code], [409, "resource-busy"]);
    assert.ok(answers.some(({ status }) => status === 200));
    assert.equal(most, 1);
  });
});
