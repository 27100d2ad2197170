// One effect for each key of a principal, at a real gateway over real sockets with a provider that counts for itself (docs/idempotency.md).
import assert from "node:assert/strict";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog, type TestLog } from "./testing/open-test-log.ts";
import { repeatEstate } from "./testing/repeat-estate.ts";
import { movableClock, startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { type Answer, type CallOptions, TestCaller } from "./testing/test-caller.ts";

const hourMs = 3_600_000;

describe("idempotency at a gateway", () => {
  let upstream: CountingUpstream;
  let bed: TestGateway;
  let log: TestLog;
  let orders: TestCaller;
  let portal: TestCaller;
  let url = "";
  let serial = 0;
  const clock = movableClock();

  before(async () => {
    upstream = await startCountingUpstream();
    const openLog = async (directory: string) => {
      log = await openTestLog(directory);
      return log;
    };
    bed = await startTestGateway({ estate: repeatEstate(upstream.url), openLog, clock });
    url = bed.addresses[0]?.url ?? "";
    orders = new TestCaller(bed.feed, "orders", () => clock.now());
    portal = new TestCaller(bed.feed, "portal", () => clock.now());
  });
  after(async () => {
    await bed?.close();
    await upstream?.close();
  });
  beforeEach(() => {
    upstream.answer = (_request, response, body) =>
      response
        .writeHead(201, { "content-type": "application/json", location: `/v1/made/${upstream.seen.length}` })
        .end(JSON.stringify({ made: upstream.seen.length, of: body }));
    orders.nonce = undefined;
    portal.nonce = undefined;
  });

  const freshKey = () => `"key-${serial++}"`;
  const send = (
    path: string,
    {
      key,
      by = orders,
      method = "POST",
      body = '{"amount":5}',
      headers = {},
      token,
    }: {
      key?: string;
      by?: TestCaller;
      method?: string;
      body?: string;
      headers?: CallOptions["headers"];
      token?: string;
    } = {},
  ): Promise<Answer> =>
    by.send(`${url}/bank/v1/${path}`, {
      method,
      body,
      headers: {
        "content-type": "application/json",
        ...(key === undefined ? {} : { "idempotency-key": key }),
        ...headers,
      },
      ...(token === undefined ? {} : { token }),
    });
  /** Runs `act` and says how many requests reached the provider meanwhile. */
  const reached = async (act: () => Promise<unknown>): Promise<number> => {
    const before = upstream.seen.length;
    await act();
    return upstream.seen.length - before;
  };
  const reply = (status: number, headers: Readonly<Record<string, string | string[]>> = {}, body = "{}") => {
    upstream.answer = (_request: IncomingMessage, response: ServerResponse) =>
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
  };

  test("a repeat gets the answer of the first time, as a crossing of its own, and never reaches the provider", async () => {
    const key = freshKey();
    const first = await send("payments", { key });
    assert.equal(first.status, 201);
    assert.equal(first.headers["sallyport-replay-of"], undefined);
    let second: Answer | undefined;
    assert.equal(
      await reached(async () => {
        second = await send("payments", { key });
      }),
      0,
    );
    assert.ok(second !== undefined);
    assert.equal(second.headers["sallyport-replay-of"], first.id);
    assert.notEqual(second.id, first.id);
    for (const name of ["content-type", "location", "content-length"])
      assert.equal(second.headers[name], first.headers[name]);
    assert.deepEqual([second.status, second.text], [201, first.text]);
    const [leaf, ...more] = await bed.leaves(second.id);
    assert.ok(leaf?.t === "crossing" && more.length === 0, "no intent: nothing was about to happen");
    assert.deepEqual(
      [leaf.verdict, leaf.outcome, leaf.status, leaf.upstreamStatus, leaf.upstreamUs],
      ["allow", "success", 201, 0, 0],
    );
  });

  test("without a key where one is required, nothing passes; where it is optional, each request is an effect of its own", async () => {
    assert.equal(
      await reached(async () => {
        const refused = await send("payments");
        assert.deepEqual([refused.status, refused.code], [400, "idempotency-key-missing"]);
        assert.match(refused.text, /Idempotency-Key/);
      }),
      0,
    );
    assert.equal(
      await reached(async () => {
        for (const _ of [1, 2]) assert.equal((await send("orders")).status, 201);
        const key = freshKey();
        for (const _ of [1, 2]) assert.equal((await send("orders", { key })).status, 201);
      }),
      3,
    );
  });

  test("another body, query or type under the same key is refused and named", async () => {
    const key = freshKey();
    const first = await send("payments", { key });
    for (const act of [
      () => send("payments", { key, body: '{"amount":6}' }),
      () => send("payments?x=1", { key }),
      () => send("payments", { key, headers: { "content-type": "application/json; charset=utf-8" } }),
    ]) {
      let answer: Answer | undefined;
      assert.equal(
        await reached(async () => {
          answer = await act();
        }),
        0,
      );
      assert.deepEqual([answer?.status, answer?.code], [422, "idempotency-key-reused"]);
      assert.match(answer?.text ?? "", new RegExp(first.id));
    }
  });

  test("while the first is under way a repeat is told so and when to come again, and then gets its answer", async () => {
    const key = freshKey();
    let release: () => void = () => {};
    upstream.answer = (_request, response) => {
      release = () => response.writeHead(200, { "content-type": "application/json" }).end('{"late":true}');
    };
    const before = upstream.seen.length;
    const first = send("payments", { key });
    await until(() => upstream.seen.length > before, "the first at its provider");
    const repeat = await send("payments", { key });
    assert.deepEqual([repeat.status, repeat.code], [409, "idempotency-in-flight"]);
    assert.equal(repeat.headers["retry-after"], "1");
    release();
    assert.equal((await first).text, '{"late":true}');
    const third = await send("payments", { key });
    assert.deepEqual([third.status, third.text], [200, '{"late":true}']);
    assert.equal(upstream.seen.length, before + 1);
  });

  test("of thirty at once with one key exactly one reaches the provider, and each of the others gets its answer or a 409", async () => {
    const key = freshKey();
    await orders.learnNonce(`${url}/`);
    let answers: readonly Answer[] = [];
    assert.equal(
      await reached(async () => {
        answers = await Promise.all(Array.from({ length: 30 }, () => send("payments", { key })));
      }),
      1,
    );
    const texts = new Set(answers.filter(({ status }) => status === 201).map(({ text }) => text));
    assert.equal(texts.size, 1);
    for (const { status, code } of answers)
      if (status !== 201) assert.deepEqual([status, code], [409, "idempotency-in-flight"]);
  });

  test("what the provider refuses is an answer like any other; 429 means it did nothing, so the key is free again", async () => {
    const key = freshKey();
    reply(422, {}, '{"no":1}');
    assert.equal((await send("payments", { key })).status, 422);
    reply(201);
    assert.deepEqual((await send("payments", { key })).text, '{"no":1}');
    const other = freshKey();
    reply(429);
    assert.equal((await send("payments", { key: other })).status, 429);
    reply(201, {}, '{"yes":1}');
    assert.equal((await send("payments", { key: other })).text, '{"yes":1}');
  });

  test("after a 500, a broken answer or a timeout nobody can say what happened: repeats are refused, and told which crossing to look at", async () => {
    for (const [fail, headers] of [
      [() => reply(500), {}],
      [
        () => {
          upstream.answer = (request) => request.socket.destroy();
        },
        {},
      ],
      [
        () => {
          upstream.answer = () => {};
        },
        { "request-timeout-ms": "1000" },
      ],
    ] as const) {
      const key = freshKey();
      fail();
      const first = await send("payments", { key, headers });
      assert.ok(first.status >= 500, first.text);
      reply(201);
      assert.equal(
        await reached(async () => {
          const repeat = await send("payments", { key });
          assert.deepEqual([repeat.status, repeat.code], [409, "idempotency-outcome-unknown"]);
          assert.match(repeat.text, new RegExp(first.id));
        }),
        0,
      );
    }
  });

  test("a provider that honours keys is told one of ours, and asked again with the same one where nobody knows what happened", async () => {
    const key = freshKey();
    const keysSeen = () => upstream.seen.slice(-2).map(({ headers }) => String(headers["idempotency-key"]));
    reply(500);
    assert.equal((await send("transfers", { key })).status, 500);
    reply(201, {}, '{"done":1}');
    assert.equal((await send("transfers", { key })).status, 201);
    const [one, two] = keysSeen();
    assert.ok(one === two && /^"[A-Za-z0-9_-]{43}"$/.test(String(one)));
    assert.equal(await reached(async () => assert.equal((await send("transfers", { key })).text, '{"done":1}')), 0);
    await send("transfers", { key, by: portal });
    assert.notEqual(upstream.seen.at(-1)?.headers["idempotency-key"], one, "each principal has keys of its own there");
  });

  test("a provider that does not is told no key, and one whose operation knows no keys gets what the caller sent", async () => {
    await send("payments", { key: freshKey() });
    assert.equal(upstream.seen.at(-1)?.headers["idempotency-key"], undefined);
    const key = freshKey();
    await send("notes", { key });
    await send("notes", { key });
    assert.equal(upstream.seen.at(-1)?.headers["idempotency-key"], key);
  });

  test("a provider that was never asked leaves the key free", async () => {
    const key = freshKey();
    bed.feed.certifiesHopKeys = true;
    log.full = true;
    const refused = await send("payments", { key });
    log.full = false;
    assert.equal(refused.code, "record-unavailable");
    assert.equal((await send("payments", { key })).status, 201);
    assert.equal((await send("payments", { key })).headers["sallyport-replay-of"] === undefined, false);
  });

  test("an answer too long to keep is told from one that is not there: the effect happened, and the resource can be read", async () => {
    const key = freshKey();
    reply(200, {}, JSON.stringify("x".repeat(70_000)));
    const first = await send("payments", { key });
    assert.deepEqual([first.status, first.text.length], [200, 70_002]);
    assert.equal(
      await reached(async () => {
        const repeat = await send("payments", { key });
        assert.deepEqual([repeat.status, repeat.code], [409, "idempotency-answer-not-kept"]);
        assert.match(repeat.text, new RegExp(first.id));
      }),
      0,
    );
  });

  test("content that is not looked at has to be the same, too", async () => {
    const key = freshKey();
    const headers = { "content-type": "text/plain" };
    assert.equal((await send("files", { key, headers, body: "one" })).status, 201);
    assert.equal(upstream.seen.at(-1)?.body, "one");
    assert.equal((await send("files", { key, headers, body: "two" })).code, "idempotency-key-reused");
    assert.notEqual((await send("files", { key, headers, body: "one" })).headers["sallyport-replay-of"], undefined);
  });

  test("a key ends with its time, by the clock that went steadily", async () => {
    const key = freshKey();
    assert.equal((await send("orders", { key })).status, 201);
    clock.shiftMs += hourMs + 1_000;
    bed.feed.heartbeat();
    orders.nonce = undefined;
    assert.equal(await reached(async () => assert.equal((await send("orders", { key })).status, 201)), 1);
  });

  test("a caller that goes away finds the answer when it comes back: its effect went on", async () => {
    const key = freshKey();
    let release: () => void = () => {};
    upstream.answer = (_request, response) => {
      release = () => response.writeHead(201, { "content-type": "application/json" }).end('{"kept":true}');
    };
    await orders.learnNonce(`${url}/`);
    const target = `${url}/bank/v1/payments`;
    const token = orders.token("bank");
    const before = upstream.seen.length;
    const gone = request(target, {
      method: "POST",
      agent: false,
      headers: {
        "content-type": "application/json",
        "idempotency-key": key,
        authorization: `DPoP ${token}`,
        dpop: orders.proof("POST", target, token),
      },
    });
    gone.on("error", () => undefined);
    gone.end('{"amount":5}');
    await until(() => upstream.seen.length > before, "the effect under way");
    const ended = new Promise((resolve) => gone.once("close", resolve));
    gone.destroy();
    await ended;
    // A later crossing has been served: the gateway has seen the end of that connection, too.
    assert.equal((await send("nothing")).code, "no-route");
    assert.ok(bed.gateway.status().inFlight > 0, "still under way");
    release();
    await until(() => bed.gateway.status().inFlight === 0, "its end");
    const repeat = await send("payments", { key });
    assert.deepEqual([repeat.status, repeat.text], [201, '{"kept":true}']);
    assert.equal(upstream.seen.length, before + 1);
    const first = String(repeat.headers["sallyport-replay-of"]);
    const outcome = (await bed.leaves(first)).find(({ t }) => t === "outcome");
    assert.ok(outcome?.t === "outcome");
    assert.deepEqual([outcome.outcome, outcome.status, outcome.upstreamStatus], ["aborted", 0, 201]);
  });
});
