import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { stepUpOf } from "./denial.ts";
import { closeEstates, Estate, faultOf, gatewayFetch, json } from "./small-estate.test-support.ts";

afterEach(closeEstates);

test("a request carries a token and a proof for its very method and URL, and goes through", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  const response = await call("/billing/v1/invoices?page=2", {
    method: "post",
    body: "{}",
    headers: { "content-type": "application/json" },
  });
  assert.deepEqual(await response.json(), { jti: "t-1", scope: null, body: "{}" });
});

test("when the gateway moves to a new nonce the request is repeated once, with its body, and the caller does not notice", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal((await call("/billing/x")).status, 200);
  estate.nonce = "n-2";
  estate.seen = [];
  const response = await call("/billing/x", { method: "PUT", body: "again" });
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { jti: "t-1", scope: null, body: "again" });
  assert.deepEqual(estate.seen, ["PUT /billing/x", "PUT /billing/x"]);
});

/** `duplex` is what fetch demands for a streamed body; the DOM types do not know it yet. */
const streamed = () => ({ method: "PUT", body: new Blob(["once"]).stream(), duplex: "half" }) as RequestInit;

test("where no fresh nonce is known a stream waits for one, fetched by a request that cannot pass", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  await call("/billing/x");
  estate.nonce = "n-2";
  estate.now += 60_000;
  const response = await call("/billing/x", streamed());
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { jti: "t-1", scope: null, body: "once" });
  assert.deepEqual(estate.seen.slice(-2), ["HEAD /billing/x", "PUT /billing/x"]);
});

test("a stream is not sent twice: when it would have to be, the fault says so, and the next one passes", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  await call("/billing/x");
  estate.nonce = "n-2";
  assert.equal(await faultOf(call("/billing/x", streamed())), "body-not-replayable");
  assert.equal((await call("/billing/x", streamed())).status, 200);
});

test("a token that the gateway refuses is not used again", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal((await call("/billing/x")).status, 200);
  estate.revoked.add("t-1");
  const response = await call("/billing/x", { method: "POST", body: "kept" });
  assert.deepEqual(await response.json(), { jti: "t-2", scope: null, body: "kept" });
});

test("a token is asked for once more and not again: a gateway that refuses every token is not asked without end", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  await call("/billing/x");
  for (let i = 1; i < 9; i++) estate.revoked.add(`t-${i}`);
  estate.seen = [];
  assert.equal((await call("/billing/x")).status, 401);
  assert.deepEqual(estate.seen, ["GET /billing/x", "POST /main/production/token", "GET /billing/x"]);
});

test("a 401 of the provider behind the gateway costs no token and is not repeated", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  await call("/billing/x");
  estate.provider = (_request, _body, response) => json(response, 401, { from: "billing" });
  estate.seen = [];
  const response = await call("/billing/x", { method: "POST" });
  assert.deepEqual([response.status, await response.json(), estate.seen.length], [401, { from: "billing" }, 1]);
  assert.equal(estate.issued, 1);
});

test("a refusal for the user's log-in costs no token and is not repeated: it says what log-in is wanted (RFC 9470)", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  await call("/billing/x");
  const challenge =
    'DPoP error="insufficient_user_authentication", acr_values="urn:sallyport:acr:mfa", max_age="600", algs="ES256 EdDSA"';
  const verdict = "deny; by=gateway; code=insufficient-user-authentication";
  estate.provider = (_request, _body, response) =>
    json(response, 401, {}, { "www-authenticate": challenge, "sallyport-verdict": verdict });
  estate.seen = [];
  const refused = await call("/billing/x");
  assert.deepEqual(stepUpOf(refused), { acrValues: "urn:sallyport:acr:mfa", maxAgeSeconds: 600 });
  assert.deepEqual([estate.seen, estate.issued], [["GET /billing/x"], 1]);
});

test("attack: a provider's own challenge is no wish of the gateway, and only what is asked for is read", () => {
  const answer = (headers: Readonly<Record<string, string>>, status = 401) =>
    stepUpOf(new Response(null, { status, headers }));
  const challenge = 'DPoP error="insufficient_user_authentication", acr_values="urn:evil"';
  assert.equal(answer({ "www-authenticate": challenge }), null);
  const by = { "sallyport-verdict": "deny; by=gateway; code=insufficient-user-authentication" };
  assert.equal(answer({ ...by, "www-authenticate": challenge }, 403), null);
  assert.equal(answer({ ...by, "www-authenticate": 'DPoP error="invalid_token"' }), null);
  assert.deepEqual(
    answer({ ...by, "www-authenticate": 'DPoP error="insufficient_user_authentication", max_age="60"' }),
    {
      acrValues: null,
      maxAgeSeconds: 60,
    },
  );
});

test("when the issuer gives no other token the caller gets the gateway's refusal", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  await call("/billing/x");
  estate.revoked.add("t-1");
  estate.token = (_request, _body, response) => json(response, 401, { error: "invalid_client" });
  const response = await call("/billing/x");
  assert.equal(response.status, 401);
  assert.match(await response.text(), /verdict/, "its body is still to read");
});

test("a Request passes as it is given: method, headers, body and Idempotency-Key", async () => {
  const estate = await new Estate().start();
  const seen: unknown[] = [];
  estate.provider = (request, body, response) => {
    seen.push(request.method, request.headers["idempotency-key"], request.headers["x-mine"], body);
    json(response, 200, {});
  };
  const headers = { "idempotency-key": '"k-1"', "x-mine": "1" };
  const request = new Request(`${estate.origin}/billing/x`, { method: "POST", body: "text", headers });
  assert.equal((await gatewayFetch(estate)(request)).status, 200);
  assert.deepEqual(seen, ["POST", '"k-1"', "1", "text"]);
});

test("an aborted caller stops waiting for the token, and the others get it", async () => {
  const estate = await new Estate().start();
  const held = Promise.withResolvers<() => void>();
  estate.token = (request, body, response) => {
    estate.token = null;
    held.resolve(() => estate.answer(request, body, response));
  };
  const call = gatewayFetch(estate);
  const abort = new AbortController();
  const first = call("/billing/x", { signal: abort.signal });
  const second = call("/billing/x");
  const release = await held.promise;
  abort.abort(new Error("enough"));
  await assert.rejects(first, /enough/);
  release();
  assert.equal((await second).status, 200);
  assert.equal(estate.issued, 1);
});

test("an answer is streamed: its first part is there before its last is sent", async () => {
  const estate = await new Estate().start();
  const finish = Promise.withResolvers<void>();
  estate.provider = async (_request, _body, response) => {
    response.write("first");
    await finish.promise;
    response.end("last");
  };
  const response = await gatewayFetch(estate)("/billing/x");
  const reader = response.body?.getReader();
  assert.equal(new TextDecoder().decode((await reader?.read())?.value), "first");
  finish.resolve();
  assert.equal(new TextDecoder().decode((await reader?.read())?.value), "last");
});

test("after its integration was suspended a client asks for a new token, so that it passes as soon as the integration is active again", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal((await call("/billing/x")).status, 200);
  estate.cutOff.add("t-1");
  assert.equal((await call("/billing/x")).status, 403, "the refusal is the caller's to see");
  assert.equal((await call("/billing/x")).status, 200);
});

test("while the issuer gives no token for a suspended integration the caller goes on getting the gateway's refusal", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal((await call("/billing/x")).status, 200);
  estate.cutOff.add("t-1");
  estate.token = (_request, _body, response) => json(response, 400, { error: "invalid_target" });
  assert.equal((await call("/billing/x")).status, 403);
  assert.equal((await call("/billing/x")).status, 403, "not a fault of the token endpoint");
  estate.token = null;
  estate.now += 2_000;
  assert.equal((await call("/billing/x")).status, 200, "as soon as the issuer gives one again");
});

test("attack: a provider's Date, an hour ahead, does not move the time of the proofs for its gateway", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  estate.provider = (_request, _body, response) => {
    response.writeHead(200, { date: new Date(estate.now + 3_600_000).toUTCString() }).end("{}");
  };
  assert.equal((await call("/billing/x")).status, 200);
  estate.seen = [];
  assert.equal((await call("/billing/x")).status, 200);
  assert.deepEqual(estate.seen, ["GET /billing/x"], "the proof was of the right time at once");
});

test("credentials go to the gateway and nowhere else", async () => {
  const estate = await new Estate().start();
  const call = gatewayFetch(estate);
  assert.equal(await faultOf(call("https://evil.example/x")), "wrong-origin");
  assert.equal(await faultOf(call("//evil.example/x")), "wrong-origin");
  assert.equal(await faultOf(call(new URL(`${estate.origin.replace("http", "https")}/x`))), "wrong-origin");
  assert.equal(await faultOf(call("/x", { redirect: "follow" })), "redirect-not-followed");
  assert.deepEqual(estate.seen, []);
});

test("a caller's own Authorization or DPoP header is replaced, never added to", async () => {
  const estate = await new Estate().start();
  const response = await gatewayFetch(estate)("/billing/x", { headers: { Authorization: "Bearer x", DPoP: "y" } });
  assert.equal(response.status, 200);
});
