// One effect for each call: its key over all attempts, what is waited for, and what is not sent again. At a real gateway: packages/cli/src/sdk-streams.e2e.test.ts.
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, test } from "node:test";
import { type IdempotentFetchOptions, idempotentFetch } from "./idempotent-fetch.ts";
import { closeEstates, Estate, faultOf, gatewayFetch, json } from "./small-estate.test-support.ts";

afterEach(closeEstates);

type Step = (response: ServerResponse, request: IncomingMessage) => void;
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
/** The same words without the field that only a gateway can set. */
const providers =
  (status: number, code: string): Step =>
  (response, request) => {
    problem(status, code, true, { "sallyport-verdict": "" })(response, request);
  };
const inFlight = problem(409, "idempotency-in-flight", true, { "retry-after": "2" });
const cut: Step = (response) => response.destroy();
const made: Step = (response) => json(response, 201, { made: true });

async function bench(steps: readonly Step[], options: IdempotentFetchOptions = {}) {
  const estate = await new Estate().start();
  const keys: unknown[] = [];
  const bodies: string[] = [];
  const waits: number[] = [];
  estate.provider = (request, body, response) => {
    keys.push(request.headers["idempotency-key"]);
    bodies.push(body);
    (steps[Math.min(keys.length, steps.length) - 1] ?? made)(response, request);
  };
  const wait = async (ms: number) => void waits.push(ms);
  const call = idempotentFetch(gatewayFetch(estate), { wait, random: () => 0.5, ...options });
  return { call, keys, bodies, waits, origin: estate.origin };
}
const post = { method: "POST", body: '{"amount":5}', headers: { "content-type": "application/json" } };

test("one key over every attempt of a call, and another one for the next call", async () => {
  const { call, keys, bodies, waits } = await bench([cut, inFlight, made]);
  assert.equal((await call("/bank/pay", post)).status, 201);
  assert.equal(keys.length, 3);
  assert.match(String(keys[0]), /^"[A-Za-z0-9_-]{22}"$/);
  assert.deepEqual(new Set(keys).size, 1);
  assert.deepEqual(bodies, [post.body, post.body, post.body]);
  assert.deepEqual(waits, [100, 2_200], "half of 200 ms where nothing was asked for, and what Retry-After says");
  await call("/bank/pay", post);
  assert.notEqual(keys[3], keys[0]);
});

test("a key of the caller's own is kept", async () => {
  const { call, keys } = await bench([inFlight, made]);
  await call("/bank/pay", { ...post, headers: { ...post.headers, "Idempotency-Key": '"mine"' } });
  assert.deepEqual(keys, ['"mine"', '"mine"']);
});

test("a Request is read once and sent as often as it takes", async () => {
  const { call, origin, bodies, keys } = await bench([inFlight, made]);
  assert.equal((await call(new Request(`${origin}/bank/pay`, post))).status, 201);
  assert.deepEqual(bodies, [post.body, post.body]);
  assert.equal(new Set(keys).size, 1);
});

test("it ends: after `attempts` the last answer, or the last fault, is the caller's", async () => {
  const refused = await bench([inFlight], { attempts: 3 });
  assert.equal((await refused.call("/bank/pay", post)).status, 409);
  assert.equal(refused.keys.length, 3);
  const unanswered = await bench([cut], { attempts: 2 });
  await assert.rejects(unanswered.call("/bank/pay", post), TypeError);
  assert.equal(unanswered.keys.length, 2);
});

test("a wait that is too long is the caller's", async () => {
  const { call, keys, waits } = await bench([problem(429, "rate-limited", true, { "retry-after": "31" })]);
  assert.equal((await call("/bank/pay", post)).status, 429);
  assert.deepEqual([keys.length, waits], [1, []]);
});

test("another request under a used key is said clearly, and not sent again", async () => {
  const { call, keys } = await bench([problem(422, "idempotency-key-reused", false)]);
  assert.equal(await faultOf(call("/bank/pay", post)), "idempotency-key-reused");
  assert.equal(keys.length, 1);
});

for (const [what, step] of [
  ["an unknown outcome", problem(409, "idempotency-outcome-unknown", false)],
  ["a refusal", problem(403, "not-granted", false)],
  ["a provider's own 503", (response) => json(response, 503, {}, { "retry-after": "1" })],
  ["attack: a provider that speaks like a gateway", providers(409, "idempotency-in-flight")],
  ["attack: a provider that says a key was reused", providers(422, "idempotency-key-reused")],
] as const satisfies readonly (readonly [string, Step])[])
  test(`${what} is the answer, and is not sent again`, async () => {
    const { call, keys } = await bench([step]);
    assert.ok((await call("/bank/pay", post)).status >= 400);
    assert.equal(keys.length, 1);
  });

test("what has no effect passes as it is", async () => {
  const { call, keys } = await bench([inFlight]);
  assert.equal((await call("/bank/account")).status, 409);
  assert.deepEqual(keys, [undefined]);
});

test("a stream as body is refused before anything leaves", async () => {
  const { call, keys } = await bench([made]);
  assert.equal(
    await faultOf(call("/bank/pay", { method: "POST", body: new Blob(["x"]).stream() })),
    "body-not-replayable",
  );
  assert.deepEqual(keys, []);
});

test("a caller that leaves waits for nothing more", async () => {
  const leaving = new AbortController();
  const wait = async (_ms: number, signal: AbortSignal | null) => {
    leaving.abort(new Error("left"));
    signal?.throwIfAborted();
  };
  const { call, keys } = await bench([inFlight], { wait });
  await assert.rejects(call("/bank/pay", { ...post, signal: leaving.signal }), /left/);
  assert.equal(keys.length, 1);
});
