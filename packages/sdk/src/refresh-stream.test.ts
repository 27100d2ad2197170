// A stream that is kept beyond its token: when it is refreshed, what ends that, and what does not. At a real gateway: packages/cli/src/sdk-streams.e2e.test.ts.
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { afterEach, test } from "node:test";
import { type RefreshStreamOptions, refreshStream } from "./refresh-stream.ts";
import { closeEstates, Estate, gatewayFetch, json } from "./small-estate.test-support.ts";

afterEach(closeEstates);

const crossing = "gw-1-01KAMZZZZZ0000000000000000";
type Step = (response: ServerResponse) => void;
const refreshed =
  (expiresIn: unknown): Step =>
  (response) =>
    json(response, 200, { crossing, expiresIn });
const problem =
  (status: number, code: string, isRetryable: boolean, more: Readonly<Record<string, string>> = {}): Step =>
  (response) => {
    const body = JSON.stringify({ code, retryable: isRetryable });
    response.writeHead(status, {
      "sallyport-verdict": `deny; by=gateway; code=${code}`,
      "content-type": "application/problem+json",
      "content-length": body.length,
      ...more,
    });
    response.end(body);
  };
const over = problem(404, "stream-unknown", false);
const cut: Step = (response) => response.destroy();

async function bench(steps: readonly Step[], options: RefreshStreamOptions = {}) {
  const estate = await new Estate().start();
  const asked: string[] = [];
  const waits: number[] = [];
  const told: number[] = [];
  let shiftMs = 0;
  estate.provider = (request, _body, response) => {
    asked.push(`${request.method} ${request.url}`);
    (steps[Math.min(asked.length, steps.length) - 1] ?? over)(response);
  };
  const ports: RefreshStreamOptions = {
    now: () => shiftMs,
    random: () => 0.5,
    wait: async (ms) => {
      waits.push(ms);
      shiftMs += ms;
    },
    onRefreshed: (seconds) => void told.push(seconds),
    ...options,
  };
  const fetch = gatewayFetch(estate);
  return {
    estate,
    asked,
    waits,
    told,
    refresh: (stream: Response | string = crossing) => refreshStream(fetch, stream, ports),
  };
}

test("it is refreshed at once, and again when three quarters of its time have passed, until it is over", async () => {
  const { refresh, asked, waits, told } = await bench([refreshed(300), refreshed(75), refreshed(1), over]);
  const stream = new Response("", { headers: { "sallyport-crossing": crossing } });
  const ended = await refresh(stream);
  assert.deepEqual([ended?.code, ended?.by], ["stream-unknown", "gateway"]);
  assert.deepEqual(asked, Array(4).fill(`POST /.well-known/sallyport/streams/${crossing}`));
  assert.deepEqual(
    [waits, told],
    [
      [225_000, 56_250, 1_000],
      [300, 75, 1],
    ],
  );
});

test("what may pass is tried again, as the gateway asks or after pauses that double", async () => {
  const { refresh, waits } = await bench([
    problem(429, "rate-limited", true, { "retry-after": "3" }),
    cut,
    (response) => response.writeHead(502).end("<html>"),
    refreshed(100),
    over,
  ]);
  assert.equal((await refresh())?.code, "stream-unknown");
  assert.deepEqual(waits, [3_100, 200, 400, 75_000]);
});

test("nothing is tried for longer than the token lasts: the last denial is the end, or the last fault", async () => {
  const busy = await bench([refreshed(10), problem(503, "overloaded", true, { "retry-after": "4" })]);
  assert.equal((await busy.refresh())?.code, "overloaded");
  assert.equal(busy.asked.length, 3);
  const away = await bench([refreshed(4), cut]);
  await assert.rejects(away.refresh(), TypeError);
});

for (const [status, code] of [
  [403, "not-granted"],
  [401, "unauthenticated"],
] as const)
  test(`${status} ${code} ends it`, async () => {
    const { refresh, waits } = await bench([problem(status, code, false)]);
    assert.equal((await refresh())?.code, code);
    assert.deepEqual(waits, []);
  });

test("an answer without a time is none", async () => {
  for (const expiresIn of [undefined, "300", -1, null]) {
    const { refresh, told } = await bench([refreshed(expiresIn), over]);
    assert.equal((await refresh())?.code, "stream-unknown");
    assert.deepEqual(told, []);
  }
});

test("its signal ends the refreshing, also while it waits", async () => {
  const leaving = new AbortController();
  const wait = async () => leaving.abort();
  const { refresh, asked } = await bench([refreshed(300)], { signal: leaving.signal, wait });
  assert.equal(await refresh(), null);
  assert.equal(asked.length, 1);
  assert.equal(await refresh(), null, "before it begins, too");
});

test("attack: what is no id of a crossing leads nowhere", async () => {
  const { refresh, asked } = await bench([refreshed(300)]);
  for (const id of ["", "../../admin", "gw-1?x", "gw-1/other", `gw${"-1".repeat(100)}`])
    await assert.rejects(refresh(id), TypeError);
  await assert.rejects(refresh(new Response("")), TypeError);
  assert.deepEqual(asked, []);
});
