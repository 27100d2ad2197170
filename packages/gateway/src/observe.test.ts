// Observe: decides and records as ever, and lets pass what it would deny; what protects the gateway, and what a human switched, holds all the same.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { encryptToken, makeEncryptionKey } from "@sallyport/kernel/nested-token.ts";
import { printApiKey } from "@sallyport/protocol/token/api-key.ts";
import { printHandle } from "@sallyport/protocol/token/handle.ts";
import { dayMs, decisionOf, type Exceptions, observe, observedEstate } from "./testing/observed-estate.ts";
import { problemsOf, sendRaw } from "./testing/raw-socket.ts";
import { until } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import { issuer } from "./testing/test-estate.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

let bench: Bench;
before(async () => {
  bench = await openBench({ estate: (url) => observedEstate(url, {}) });
  await bench.orders.learnNonce(bench.invoice);
  bench.portal.nonce = bench.orders.nonce;
  bench.analytics.nonce = bench.orders.nonce;
});
after(() => bench?.close());
afterEach(() => {
  bench.upstream.answer = null;
});

const now = () => bench.bed.clock.now();
const use = (exceptions: Exceptions) => bench.bed.publish(observedEstate(bench.upstream.url, exceptions));
const observeBilling = () => use({ billing: observe(now() + dayMs) });
const json = { "content-type": "application/json" };

/** It reached the provider once, the caller has the provider's answer and nothing of ours but the crossing's id, and the record says both. */
async function assertPassed(send: () => Promise<Answer>, expected: { code: string; stage: string; caller?: boolean }) {
  const reached = bench.upstream.seen.length;
  const answer = await send();
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.text, '{"ok":true}', "the provider's own answer");
  assert.equal(bench.upstream.seen.length, reached + 1, "the provider's own count");
  const ours = Object.keys(answer.headers).filter((name) => /^(sallyport|ratelimit|retry-after|www-auth)/.test(name));
  assert.deepEqual(ours, ["sallyport-crossing"]);
  const leaf = await decisionOf(bench, answer.id);
  assert.deepEqual(
    { mode: leaf.mode, verdict: leaf.verdict, code: leaf.code, stage: leaf.stage, known: leaf.caller !== null },
    { mode: "observe", verdict: "deny", code: expected.code, stage: expected.stage, known: expected.caller ?? true },
  );
  const end = (await bench.bed.leaves(answer.id)).at(-1);
  assert.ok(end !== undefined && "outcome" in end);
  assert.equal(end.outcome, "success");
  assert.equal(bench.upstream.seen.at(-1)?.headers["sallyport-identity"], undefined, "no word of ours about a caller");
  return { answer, leaf, seen: bench.upstream.seen.at(-1) };
}

async function assertEnforced(send: () => Promise<Answer>, code: string): Promise<Answer> {
  const reached = bench.upstream.seen.length;
  const answer = await send();
  assert.equal(bench.upstream.seen.length, reached, `reached the provider: ${answer.status} ${answer.text}`);
  const [leaf] = await bench.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing", JSON.stringify(leaf));
  assert.deepEqual([leaf.mode, leaf.verdict, leaf.code, leaf.outcome], ["enforce", "deny", code, "denied"]);
  return answer;
}

describe("under observe, what would be denied passes and is recorded as what it is", () => {
  before(observeBilling);

  test("a stranger without credentials", async () => {
    await assertPassed(() => call(bench.invoice), { code: "credentials-missing", stage: "identify", caller: false });
  });

  test("a caller without a grant", async () => {
    await assertPassed(() => bench.analytics.send(bench.invoice), { code: "not-granted", stage: "bind" });
  });

  test("an operation that the integration does not grant: its intent is durable before the effect", async () => {
    const send = () => bench.orders.send(bench.invoice, { method: "DELETE" });
    const { leaf, answer } = await assertPassed(send, { code: "not-granted", stage: "bind" });
    assert.equal(leaf.t, "intent");
    assert.deepEqual(
      (await bench.bed.leaves(answer.id)).map(({ t }) => t),
      ["intent", "outcome"],
    );
  });

  test("a request over the rate limit, without a word about limits", async () => {
    for (let i = 0; i < 3; i++) await bench.portal.send(bench.invoice);
    await assertPassed(() => bench.portal.send(bench.invoice), { code: "rate-limited", stage: "limit" });
  });

  test("a policy that forbids it", async () => {
    const send = () => bench.orders.send(`${bench.url}/billing/v1/regions/us`);
    await assertPassed(send, { code: "policy-denied", stage: "authorize" });
  });

  test("a body that breaks its schema goes on as the very bytes that came", async () => {
    const body = '{ "amount" :5,\n"customer":"c-1", "extra": [1,2 ] }';
    const send = () => bench.orders.send(`${bench.url}/billing/v1/invoices`, { method: "POST", headers: json, body });
    const { seen } = await assertPassed(send, { code: "schema-mismatch", stage: "inspect" });
    assert.equal(seen?.body, body);
  });

  test("a body that is not JSON at all, of a type that was not declared, on a read", async () => {
    const body = "<xml/>";
    const headers = { "content-type": "text/xml" };
    const create = `${bench.url}/billing/v1/invoices`;
    const posted = await assertPassed(() => bench.orders.send(create, { method: "POST", headers, body }), {
      code: "content-type",
      stage: "inspect",
    });
    assert.equal(posted.seen?.body, body);
    const malformed = await assertPassed(() => bench.orders.send(create, { method: "POST", headers: json, body }), {
      code: "body-malformed",
      stage: "inspect",
    });
    assert.equal(malformed.seen?.body, body);
    const read = await assertPassed(
      () => bench.orders.send(bench.invoice, { headers: { ...headers, "content-length": String(body.length) }, body }),
      { code: "content-type", stage: "inspect" },
    );
    assert.equal(read.seen?.body, body);
  });

  test("a body over its bound, sent in chunks: what was read before the bound was passed is not lost", async () => {
    const body = JSON.stringify({ amount: 5, customer: "c".repeat(300_000) });
    const send = () =>
      bench.orders.send(`${bench.url}/billing/v1/invoices`, {
        method: "POST",
        headers: { ...json, "transfer-encoding": "chunked" },
        body,
      });
    const { seen, answer } = await assertPassed(send, { code: "body-too-large", stage: "inspect" });
    assert.equal(seen?.body, body);
    const end = (await bench.bed.leaves(answer.id)).at(-1);
    assert.ok(end !== undefined && "bytesIn" in end);
    assert.equal(end.bytesIn, body.length);
  });

  test("what would be allowed is recorded as allowed under observe, and has its identity and its limits", async () => {
    const answer = await bench.orders.send(bench.invoice);
    assert.equal(answer.status, 200);
    const leaf = await decisionOf(bench, answer.id);
    assert.deepEqual([leaf.mode, leaf.verdict, leaf.code], ["observe", "allow", null]);
    assert.equal(String(bench.upstream.seen.at(-1)?.headers["sallyport-identity"]).split(".").length, 3);
  });

  test("a provider slower than its declaration is waited for, and the record says that it would have been too slow", async () => {
    bench.upstream.answer = (_request, response) =>
      void setTimeout(() => response.writeHead(200).end('{"ok":true}'), 1_700);
    const answer = await bench.orders.send(`${bench.url}/billing/v1/slow`);
    assert.equal(answer.status, 200);
    const leaf = await decisionOf(bench, answer.id);
    assert.deepEqual([leaf.mode, leaf.verdict, leaf.code], ["observe", "deny", "upstream-timeout"]);
  });

  test("a caller of ours without a nonce gets one with the provider's answer, so that it can do better", async () => {
    const fresh = new TestCaller(bench.bed.feed, "orders", now);
    const token = fresh.token("billing");
    const proof = fresh.proof("GET", bench.invoice, token);
    const answer = await call(bench.invoice, { headers: { authorization: `DPoP ${token}`, dpop: proof } });
    assert.equal(answer.status, 200);
    assert.equal((await decisionOf(bench, answer.id)).code, "dpop-nonce");
    fresh.nonce = String(answer.headers["dpop-nonce"]);
    const next = await fresh.send(bench.invoice);
    assert.equal((await decisionOf(bench, next.id)).verdict, "allow");
  });

  test("every one of a crowd of strangers that passes has a record of its own", async () => {
    const answers = await Promise.all(Array.from({ length: 24 }, () => call(bench.invoice)));
    for (const { id } of answers) assert.equal((await decisionOf(bench, id)).mode, "observe");
  });

  test("credentials of another scheme are no guesses: their network is not turned away", async () => {
    const open = await openBench({
      estate: (url) => observedEstate(url, { billing: observe(Date.now() + 2 * dayMs) }),
      changes: { admission: { badCredentialsPerPrefixMax: 3 } },
    });
    try {
      for (let i = 0; i < 8; i++) {
        const answer = await call(open.invoice, { headers: { authorization: "Basic bGVnYWN5OnB3" } });
        assert.equal(answer.status, 200, answer.text);
      }
      assert.equal(
        (await call(`${open.url}/vault/v1/items/1`, { headers: { authorization: "Basic eDp5" } })).status,
        401,
      );
    } finally {
      await open.close();
    }
  });

  test("metrics count what would have been denied by code and mode, and how much is not enforced", async () => {
    const text = await bench.bed.gateway.metricsText();
    assert.match(text, /^sallyport_would_deny_total\{code="credentials-missing",mode="observe"\} \d+$/m);
    assert.match(text, /^sallyport_unenforced_objects 1$/m);
  });
});

describe("credentials: the caller's own go on, ours never do", () => {
  before(observeBilling);
  const authorizationSeen = async (headers: Record<string, string>) => {
    const answer = await call(bench.invoice, { headers });
    assert.equal(answer.status, 200, answer.text);
    return bench.upstream.seen.at(-1)?.headers;
  };

  test("Basic, a foreign bearer token, a cookie and an API key reach the provider unchanged", async () => {
    const foreign = `Bearer ${[{ alg: "RS256" }, { iss: "https://old-idp.example/", sub: "x" }].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".")}.c2ln`;
    for (const authorization of ["Basic bGVnYWN5OnB3", foreign, "Bearer opaque-0123456789"]) {
      const seen = await authorizationSeen({ authorization, cookie: "session=1", "x-api-key": "k" });
      assert.deepEqual([seen?.authorization, seen?.cookie, seen?.["x-api-key"]], [authorization, "session=1", "k"]);
    }
  });

  test("a token of another issuer at the same origin is not ours, and goes on", async () => {
    const payload = Buffer.from(JSON.stringify({ iss: new URL("/legacy", issuer).href })).toString("base64url");
    const seen = await authorizationSeen({ authorization: `Bearer e30.${payload}.c2ln` });
    assert.equal(seen?.authorization, `Bearer e30.${payload}.c2ln`);
  });

  test("leaked token attack: an expired, a foreign-audience or a staging token of ours never reaches the provider, however it is wrapped", async () => {
    const iat = Math.floor(now() / 1000);
    const staging = issuer.replace("production", "staging");
    const tokens = [
      bench.orders.token("billing", { iat: iat - 900, exp: iat - 600 }),
      bench.orders.token("vault"),
      bench.orders.token("billing", { iss: staging, aud: `${staging}/systems/billing` }),
    ];
    for (const token of tokens) {
      const wrapped = [
        `DPoP ${token}`,
        `Bearer ${token}`,
        `bearer  ${token}`,
        `Token token="${token}"`,
        `Basic ${Buffer.from(`orders:${token}`).toString("base64")}`,
        `Bearer x.${token}`,
        token,
      ];
      for (const authorization of wrapped) {
        const seen = await authorizationSeen({ authorization, dpop: "a.b.c" });
        assert.deepEqual([seen?.authorization, seen?.dpop], [undefined, undefined], authorization.slice(0, 30));
        assert.ok(!JSON.stringify(bench.upstream.seen.at(-1)).includes(token.split(".")[1] ?? "?"));
      }
    }
  });

  test("leaked token attack: a handle, an encrypted token and an API key name nobody, and do not reach the provider either", async () => {
    const [handle, apiKey] = [printHandle(randomBytes(32)), printApiKey("0000000001", randomBytes(32))];
    const encrypted = encryptToken("a token", makeEncryptionKey(), { bytes: (length) => randomBytes(length) });
    for (const credential of [handle, encrypted, apiKey]) {
      const basic = `Basic ${Buffer.from(`orders:${credential}`).toString("base64")}`;
      for (const authorization of [
        `DPoP ${credential}`,
        `Bearer ${credential}`,
        `Token token="${credential}"`,
        basic,
      ]) {
        const seen = await authorizationSeen({ authorization, dpop: "a.b.c" });
        assert.deepEqual([seen?.authorization, seen?.dpop], [undefined, undefined], authorization.slice(0, 30));
      }
    }
    // Five parts that are nobody's encrypted token here.
    const foreign = `Bearer ${Buffer.from('{"alg":"RSA-OAEP","enc":"A256GCM"}').toString("base64url")}.a.b.c.d`;
    assert.equal((await authorizationSeen({ authorization: foreign }))?.authorization, foreign);
  });

  test("a caller that is identified and would be denied keeps its token here", async () => {
    await bench.analytics.send(bench.invoice);
    assert.equal(bench.upstream.seen.at(-1)?.headers.authorization, undefined);
  });

  test("spoofed identity attack: what a stranger says about who it is is cut off, and nothing of ours stands in its place", async () => {
    const seen = await authorizationSeen({
      "sallyport-identity": "a.b.c",
      "x-forwarded-user": "admin",
      "x-user-id": "1",
    });
    assert.deepEqual(
      [seen?.["sallyport-identity"], seen?.["x-forwarded-user"], seen?.["x-user-id"]],
      [undefined, undefined, undefined],
    );
  });
});

describe("where observe ends", () => {
  test("after `until` the gateway's own clock enforces, without a newer snapshot", async () => {
    await observeBilling();
    assert.equal((await call(bench.invoice)).status, 200);
    bench.bed.clock.shiftMs += dayMs - 120_000;
    bench.bed.feed.heartbeat();
    await bench.bed.publish(observedEstate(bench.upstream.url, { billing: observe(now() + 60_000) }));
    assert.equal(bench.bed.gateway.status().unenforced.length, 1);
    bench.bed.clock.shiftMs += 61_000;
    bench.bed.feed.heartbeat();
    assert.equal((await assertEnforced(() => call(bench.invoice), "credentials-missing")).status, 401);
    assert.deepEqual(bench.bed.gateway.status().unenforced, []);
  });

  test("attack: a clock set back behind `until` does not open again what control knew to be over", async () => {
    const untilMs = now() + 60_000;
    const exceptions = { billing: observe(untilMs), passthrough: { untilMs, reason: "a test" } };
    await use(exceptions);
    assert.equal((await call(bench.invoice)).status, 200);
    bench.bed.clock.shiftMs += 61_000;
    bench.bed.feed.heartbeat();
    await use(exceptions);
    bench.bed.clock.shiftMs -= 61_000;
    try {
      await assertEnforced(() => call(bench.invoice), "credentials-missing");
      await assertEnforced(() => call(`${bench.url}/billing/v1/nobody-declared-this`), "credentials-missing");
    } finally {
      // Into the next window of strangers' denials: only the first eight of one have a leaf of their own.
      bench.bed.clock.shiftMs += 12_000;
      bench.bed.feed.heartbeat();
    }
  });

  test("an `until` that has passed when the snapshot comes is enforced from the start", async () => {
    await use({ environment: observe(now() - 1), billing: observe(now() - 1) });
    await assertEnforced(() => call(bench.invoice), "credentials-missing");
  });

  test("observe of an integration opens what comes after its grant, and neither its provider nor another integration nor another system", async () => {
    bench.orders.nonce = undefined;
    await bench.orders.learnNonce(bench.invoice);
    bench.analytics.nonce = bench.orders.nonce;
    bench.portal.nonce = bench.orders.nonce;
    await use({ integrations: { "orders-to-billing": observe(now() + dayMs) } });
    await assertPassed(() => bench.orders.send(`${bench.url}/billing/v1/regions/us`), {
      code: "policy-denied",
      stage: "authorize",
    });
    await assertEnforced(() => call(bench.invoice), "credentials-missing");
    await assertEnforced(() => bench.portal.send(`${bench.url}/billing/v1/regions/eu`), "policy-denied");
    await assertEnforced(() => bench.analytics.send(bench.invoice), "not-granted");
    await assertEnforced(() => bench.orders.send(bench.invoice, { method: "DELETE" }), "not-granted");
    await assertEnforced(() => call(`${bench.url}/vault/v1/items/1`), "credentials-missing");
    await assertEnforced(() => bench.portal.send(`${bench.url}/vault/v1/items/1`), "not-granted");
  });

  test("observe of a system opens no other system", async () => {
    await observeBilling();
    await assertEnforced(() => call(`${bench.url}/vault/v1/items/1`), "credentials-missing");
  });

  test("the narrowest word decides: an integration and a system that say enforce are enforced in an observed environment", async () => {
    const environment = observe(now() + dayMs);
    await use({ environment, integrations: { "orders-to-billing": { mode: "enforce" } } });
    await assertEnforced(() => bench.orders.send(`${bench.url}/billing/v1/regions/us`), "policy-denied");
    await assertPassed(() => bench.portal.send(`${bench.url}/billing/v1/regions/eu`), {
      code: "policy-denied",
      stage: "authorize",
    });
    await use({ environment, billing: { mode: "enforce" } });
    await assertEnforced(() => call(bench.invoice), "credentials-missing");
  });

  test("a path that belongs to nobody, or to no operation, is not opened by observe alone", async () => {
    await observeBilling();
    await assertEnforced(() => bench.orders.send(`${bench.url}/billing/v9/none`), "no-route");
    await assertEnforced(() => call(`${bench.url}/nobody/v1`), "credentials-missing");
  });
});

describe("what holds under observe all the same", () => {
  test("ambiguous framing and paths are refused", async () => {
    await observeBilling();
    const reached = bench.upstream.seen.length;
    const { host } = new URL(bench.url);
    const smuggled = `POST /billing/v1/invoices HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    assert.deepEqual((await sendRaw(bench.url, smuggled, { quietMs: 40 })).statuses, [400]);
    for (const path of ["/billing/v1/invoices//1", "/billing/v1/invoices/%2e%2e/1", "/billing/v1/invoices/1/"]) {
      const answer = await sendRaw(bench.url, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`, { quietMs: 40 });
      assert.deepEqual(problemsOf(answer), ["400 ambiguous-path"]);
    }
    assert.equal(bench.upstream.seen.length, reached);
  });

  test("cut-off attack: a suspended integration stays cut off, also for what it never granted", async () => {
    const states = { "orders-to-billing": "suspended" } as const;
    await use({ billing: observe(now() + dayMs), states, passthrough: { untilMs: now() + dayMs, reason: "a test" } });
    await assertEnforced(() => bench.orders.send(bench.invoice), "not-active");
    await assertEnforced(() => bench.orders.send(bench.invoice, { method: "DELETE" }), "not-granted");
    await assertEnforced(() => bench.orders.send(`${bench.url}/billing/v9/none`), "no-route");
  });

  test("an integration that waits for its approval, or whose declared end has come, passes and is recorded", async () => {
    for (const state of ["proposed", "expired"] as const) {
      await use({ billing: observe(now() + dayMs), states: { "portal-to-billing": state } });
      await assertPassed(() => bench.portal.send(bench.invoice), { code: "not-active", stage: "bind" });
    }
  });

  test("attack: an integration that says enforce does not pass in a system that observes because it waits for its approval, or because it ended", async () => {
    for (const state of ["proposed", "expired"] as const) {
      const integrations = { "portal-to-billing": { mode: "enforce" } } as const;
      await use({ billing: observe(now() + dayMs), states: { "portal-to-billing": state }, integrations });
      await assertEnforced(() => bench.portal.send(bench.invoice), "not-active");
    }
  });

  test("a cut-off that came as a revocation holds, also after its integration was taken out of the configuration", async () => {
    await observeBilling();
    bench.bed.feed.revoke("integration", "analytics-to-billing");
    bench.bed.feed.revoke("integration", "orders-to-vault");
    await assertEnforced(() => bench.analytics.send(bench.invoice), "not-granted");
  });

  test("a revoked token is refused, not passed on as a stranger's", async () => {
    const token = bench.orders.token("billing", { jti: "observed-and-revoked" });
    bench.bed.feed.revoke("jti", "observed-and-revoked");
    await assertEnforced(() => bench.orders.send(bench.invoice, { token }), "token-revoked");
  });

  test("what cannot be recorded does not pass, neither an effect nor a read", async () => {
    const reached = bench.upstream.seen.length;
    bench.log.full = true;
    try {
      const effect = await call(bench.invoice, { method: "DELETE" });
      assert.deepEqual([effect.status, bench.upstream.seen.length], [503, reached]);
      const read = await call(bench.invoice);
      assert.equal(read.status, 503);
    } finally {
      bench.log.full = false;
    }
  });

  test("a gateway that has not heard from control for too long lets nothing pass, strangers included", async () => {
    await observeBilling();
    bench.bed.clock.shiftMs += 301_000;
    await assertEnforced(() => call(bench.invoice), "stale-snapshot");
    bench.bed.feed.heartbeat();
    await until(() => (bench.bed.gateway.status().stalenessMs ?? Number.POSITIVE_INFINITY) < 1_000, "a heartbeat");
    assert.equal((await call(bench.invoice)).status, 200);
  });

  test("a body over the last bound is refused, and the record of its effect ends as denied", async () => {
    const reached = bench.upstream.seen.length;
    const { host } = new URL(bench.url);
    const head = `PUT /billing/v1/invoices/1/scan HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1073741825\r\n\r\n`;
    const answer = await sendRaw(bench.url, head, { quietMs: 40 });
    assert.deepEqual(problemsOf(answer), ["413 body-too-large"]);
    assert.equal(bench.upstream.seen.length, reached);
    const [, id = ""] = /sallyport-crossing: (\S+)/i.exec(answer.text) ?? [];
    const leaves = await bench.bed.leaves(id);
    assert.deepEqual(
      leaves.map((leaf) => ("outcome" in leaf ? leaf.outcome : leaf.t)),
      ["intent", "denied"],
    );
  });

  test("the caps of a source network hold", async () => {
    const open = await openBench({
      estate: (url) => observedEstate(url, { environment: observe(Date.now() + 2 * dayMs) }),
      changes: { admission: { requestsPerPrefixMax: 5 } },
    });
    try {
      for (let i = 0; i < 5; i++) assert.equal((await call(open.invoice)).status, 200);
      assert.equal((await call(open.invoice)).code, "too-many-from-source");
    } finally {
      await open.close();
    }
  });

  test("every start and every snapshot says in a warning what is not enforced, until when and why", async () => {
    await observeBilling();
    const said = bench.bed.messages.filter((line) => line.startsWith("not enforced"));
    assert.match(said.at(-1) ?? "", /"object":"system\/billing","mode":"observe","until":"\d{4}-.*","reason":"a test"/);
  });

  test("a snapshot that needs a word this gateway does not know is refused, not obeyed in part", async () => {
    const base = observedEstate(bench.upstream.url, {});
    const before = bench.bed.gateway.status().snapshot?.version;
    bench.bed.publish({ ...base, estate: { needs: ["teleport"] } }).catch(() => undefined);
    await until(() => bench.bed.messages.some((line) => line.includes("teleport")), "the refusal");
    assert.equal(bench.bed.gateway.status().snapshot?.version, before);
  });
});
