import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog, type TestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";

let upstream: CountingUpstream;
let bed: TestGateway;
let url: string;
let orders: TestCaller;
let portal: TestCaller;
let log: TestLog;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: marketplace(upstream.url),
    openLog: async (directory) => {
      log = await openTestLog(directory);
      return log;
    },
  });
  url = bed.addresses[0]?.url ?? "";
  orders = new TestCaller(bed.feed, "orders");
  portal = new TestCaller(bed.feed, "portal");
  await orders.learnNonce(`${url}/`);
  portal.nonce = orders.nonce;
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

/** A denial is believed three times: by what the caller got, by the provider's own count, and by the record. */
async function denied(code: ProblemCode, status: number, act: () => Promise<Answer>): Promise<Answer> {
  const reached = upstream.seen.length;
  const answer = await act();
  assert.equal(answer.status, status, `${code}: ${answer.text}`);
  assert.equal(upstream.seen.length, reached, "the provider was not reached");
  const leaves = await bed.leaves(answer.id);
  assert.equal(leaves.length, 1, "one leaf");
  const [leaf] = leaves;
  assert.ok(leaf?.t === "crossing");
  assert.equal(leaf.code, code);
  assert.equal(leaf.verdict, "deny");
  assert.equal(leaf.outcome, "denied");
  return answer;
}

async function allowed(act: () => Promise<Answer>): Promise<Answer> {
  const reached = upstream.seen.length;
  const answer = await act();
  assert.equal(answer.status, 200, answer.text);
  assert.equal(upstream.seen.length, reached + 1, "the provider was reached once");
  const leaves = await bed.leaves(answer.id);
  const first = leaves[0];
  assert.ok(first?.t === "crossing" || first?.t === "intent");
  assert.equal(first.verdict, "allow");
  const last = leaves.at(-1);
  assert.ok(last?.t === "crossing" || last?.t === "outcome");
  assert.equal(last.outcome, "success");
  return answer;
}

const invoices = (id = "1") => `${url}/billing/v1/invoices/${id}`;
const json = { "content-type": "application/json" };
const body = JSON.stringify({ amount: 5, customer: "c-1" });

describe("identify: one 401 for everything, with the reason on the record", () => {
  const withToken = (changes: Parameters<TestCaller["token"]>[1]) => () =>
    orders.send(invoices(), { token: orders.token("billing", changes) });
  const now = () => Math.floor(Date.now() / 1000);
  const cases: readonly [ProblemCode, () => Promise<Answer>][] = [
    ["credentials-missing", () => call(invoices())],
    ["credentials-malformed", () => call(invoices(), { headers: { authorization: "Basic b3JkZXJz" } })],
    ["token-malformed", () => call(invoices(), { headers: { authorization: "Bearer not.a" } })],
    ["token-audience", withToken({ aud: "https://id.example/main/production/systems/ledger" })],
    ["token-issuer", withToken({ iss: "https://id.example/main/staging" })],
    ["token-expired", () => withToken({ iat: now() - 400, exp: now() - 100 })()],
    ["token-not-yet-valid", () => withToken({ iat: now() + 100, exp: now() + 200 })()],
    ["token-key-unknown", withToken({ signer: generateSigner("ES256").signer })],
    ["token-claims", () => withToken({ exp: now() + 3_600 })()],
    ["client-unknown", withToken({ client_id: "nobody", sub: "nobody" })],
    ["dpop-key-mismatch", withToken({ cnf: { jkt: generateSigner("ES256").signer.kid } })],
    ["token-unbound", () => orders.send(invoices(), { token: orders.token("billing", { cnf: undefined as never }) })],
    [
      "token-bound-as-bearer",
      () => call(invoices(), { headers: { authorization: `Bearer ${orders.token("billing")}` } }),
    ],
    ["dpop-missing", () => call(invoices(), { headers: { authorization: `DPoP ${orders.token("billing")}` } })],
    [
      "dpop-malformed",
      () => call(invoices(), { headers: { authorization: `DPoP ${orders.token("billing")}`, dpop: "x.y.z" } }),
    ],
  ];
  for (const [code, act] of cases) {
    test(code, async () => {
      const answer = await denied(code, 401, act);
      assert.equal(answer.code, "unauthenticated", "the answer does not say which check failed");
      assert.match(String(answer.headers["www-authenticate"]), /^DPoP /);
    });
  }

  const proofCases: readonly [ProblemCode, (token: string) => string][] = [
    ["dpop-method", (token) => orders.proof("POST", invoices(), token)],
    ["dpop-url", (token) => orders.proof("GET", `${url}/billing/v1/invoices/2`, token)],
    ["dpop-token-hash", (token) => orders.proof("GET", invoices(), token, { ath: "A".repeat(43) })],
    ["dpop-expired", (token) => orders.proof("GET", invoices(), token, { iat: now() - 120 })],
    ["dpop-nonce", (token) => orders.proof("GET", invoices(), token, { nonce: "stale" })],
  ];
  for (const [code, proof] of proofCases) {
    test(code, async () => {
      await denied(code, 401, () => {
        const token = orders.token("billing");
        return call(invoices(), { headers: { authorization: `DPoP ${token}`, dpop: proof(token) } });
      });
    });
  }

  test("their nearest allow passes, with the very same builder", async () => {
    await allowed(() => orders.send(invoices()));
  });

  test("a caller without a nonce is told one and passes at the second try (RFC 9449 §8)", async () => {
    const fresh = new TestCaller(bed.feed, "orders");
    const token = fresh.token("billing");
    const first = await denied("dpop-nonce", 401, () =>
      call(invoices(), { headers: { authorization: `DPoP ${token}`, dpop: fresh.proof("GET", invoices(), token) } }),
    );
    assert.match(String(first.headers["www-authenticate"]), /error="use_dpop_nonce"/);
    fresh.nonce = String(first.headers["dpop-nonce"]);
    await allowed(() =>
      call(invoices(), { headers: { authorization: `DPoP ${token}`, dpop: fresh.proof("GET", invoices(), token) } }),
    );
  });

  test("a stranger gets the same bytes whether or not the route exists", async () => {
    const strip = (answer: Answer) => [
      answer.status,
      answer.text.replaceAll(answer.id, "ID"),
      { ...answer.headers, date: "", "sallyport-crossing": "" },
    ];
    const known = await call(invoices());
    const unknown = await call(`${url}/nothing/here`);
    assert.deepEqual(strip(known), strip(unknown));
  });
});

describe("bind, limit, authorize, inspect: a caller we know is told how to mend it", () => {
  test("no-route, for a path under no system and for one under billing", async () => {
    const token = orders.token("billing");
    const send = (path: string) => () => orders.send(`${url}${path}`, { token });
    await denied("no-route", 404, send("/nowhere/x"));
    await denied("no-route", 404, send("/billing/v9/x"));
  });

  test("not-granted names the nearest integration and the operation to add", async () => {
    const answer = await denied("not-granted", 403, () => orders.send(invoices(), { method: "DELETE" }));
    assert.match(answer.text, /orders-to-billing does not grant invoice\.delete/);
  });

  test("not-granted without any integration says that one has to be declared", async () => {
    const analytics = new TestCaller(bed.feed, "analytics");
    const answer = await denied("not-granted", 403, () => analytics.send(invoices()));
    assert.match(answer.text, /No integration leads from analytics to billing/);
  });

  test("not-served for a broken system", async () => {
    await denied("not-served", 503, () => orders.send(`${url}/ledger/v1/x`));
  });

  test("rate-limited says when to come back, and other callers are not touched", async () => {
    for (let i = 0; i < 3; i++) await allowed(() => portal.send(invoices()));
    const answer = await denied("rate-limited", 429, () => portal.send(invoices()));
    assert.ok(Number(answer.headers["retry-after"]) > 0);
    assert.match(String(answer.headers["ratelimit"]), /r=0/);
    await allowed(() => orders.send(invoices()));
  });

  test("scope-missing names the scope; the right scope passes", async () => {
    const answer = await denied("scope-missing", 403, () =>
      orders.send(invoices(), { token: orders.token("billing", { scope: "billing:invoice.create" }) }),
    );
    assert.match(answer.text, /billing:invoice\.read/);
    await allowed(() =>
      orders.send(invoices(), {
        token: orders.token("billing", { scope: "billing:invoice.create billing:invoice.read" }),
      }),
    );
  });

  test("step-up: what is missing is said (RFC 9470), a log-in that is enough passes, and no user is none", async () => {
    const now = Math.floor(Date.now() / 1_000);
    const signedIn = (claims: object) => ({ token: orders.token("billing", { sub: "usr_anna", ...claims }) });
    const payouts = `${url}/billing/v1/payouts`;
    const enough = { acr: "urn:sallyport:acr:mfa", auth_time: now - 30 };
    for (const claims of [
      { ...enough, acr: "urn:sallyport:acr:password" },
      { ...enough, acr: "urn:sallyport:acr:mfa2" },
      { auth_time: now },
      { acr: enough.acr },
      { ...enough, auth_time: now - 700 },
      { ...enough, auth_time: now + 700 },
      { ...enough, sub: "orders" },
    ]) {
      const answer = await denied("insufficient-user-authentication", 401, () =>
        orders.send(payouts, signedIn(claims)),
      );
      assert.equal(
        answer.headers["www-authenticate"],
        'DPoP error="insufficient_user_authentication", acr_values="urn:sallyport:acr:mfa", max_age="600", algs="ES256 EdDSA"',
      );
    }
    await allowed(() => orders.send(payouts, signedIn(enough)));
    await allowed(() => orders.send(payouts, signedIn({ ...enough, acr: "urn:sallyport:acr:phishing-resistant" })));
  });

  test("proof-not-accepted for a bearer token where the integration wants dpop or mtls", async () => {
    const token = orders.token("billing", { cnf: undefined as never });
    await denied("proof-not-accepted", 403, () => call(invoices(), { headers: { authorization: `Bearer ${token}` } }));
  });

  test("policy-denied by a path attribute against the caller's region; its own region passes", async () => {
    const answer = await denied("policy-denied", 403, () => orders.send(`${url}/billing/v1/regions/us`));
    assert.equal(answer.code, "policy-denied");
    await allowed(() => orders.send(`${url}/billing/v1/regions/eu`));
  });

  test("policy-error: a forbid that overflows denies instead of being skipped", async () => {
    await denied("policy-error", 403, () => orders.send(`${url}/billing/v1/overflow?n=9007199254740991`));
  });

  test("attribute-missing for an absent, a doubled and an ill-typed value", async () => {
    for (const query of ["", "?n=1&n=2", "?n=1.5", "?n=01", "?n="]) {
      await denied("attribute-missing", 403, () => orders.send(`${url}/billing/v1/overflow${query}`));
    }
  });

  test("a policy over the body reads the checked body: 101 is denied, 100 passes", async () => {
    const refund = (amount: unknown) => () =>
      orders.send(`${url}/billing/v1/refunds`, { method: "POST", headers: json, body: JSON.stringify({ amount }) });
    await denied("policy-denied", 403, refund(101));
    await denied("attribute-missing", 403, refund("100"));
    await allowed(refund(100));
  });

  const create =
    (text: string | Buffer, headers: Record<string, string> = json) =>
    () =>
      orders.send(`${url}/billing/v1/invoices`, { method: "POST", headers, body: text });
  test("body-malformed for what two readers could understand differently", async () => {
    const texts = [
      "{",
      '{"amount":1,"amount":2,"customer":"c"}',
      '{"__proto__":{},"amount":1}',
      `${"[".repeat(70)}${"]".repeat(70)}`,
      Buffer.from([0x22, 0xff, 0x22]),
      '"\\ud800"',
    ];
    for (const text of texts) await denied("body-malformed", 400, create(text));
  });

  test("schema-mismatch names the place and not the value", async () => {
    const answer = await denied("schema-mismatch", 422, create(JSON.stringify({ amount: 0, customer: "canary-7" })));
    assert.match(answer.text, /properties\/amount\/minimum/);
    assert.ok(!answer.text.includes("canary-7"));
  });

  test("content-type for another type, an encoding, or content where none is taken", async () => {
    await denied("content-type", 415, create(body, { "content-type": "text/plain" }));
    await denied("content-type", 415, create(body, { ...json, "content-encoding": "gzip" }));
    await denied("content-type", 415, () =>
      orders.send(invoices(), { headers: { ...json, "content-length": "2" }, body: "{}" }),
    );
  });

  test("body-too-large by declared length and by chunks", async () => {
    const large = JSON.stringify({ amount: 1, customer: "x".repeat(70_000) });
    await denied("body-too-large", 413, create(large, { ...json, "content-length": String(large.length) }));
    await denied("body-too-large", 413, create(large, { ...json, "transfer-encoding": "chunked" }));
  });

  test("their nearest allow: the effect has an intent and one outcome, and the provider got the bytes that were checked", async () => {
    const answer = await allowed(create(body));
    assert.deepEqual(
      (await bed.leaves(answer.id)).map((leaf) => leaf.t),
      ["intent", "outcome"],
    );
    assert.equal(upstream.seen.at(-1)?.body, body);
  });
});

describe("receive: what has two readings is refused", () => {
  const cases: readonly [ProblemCode, number, string, Record<string, string | string[]>][] = [
    ["ambiguous-path", 400, "/billing/v1%2fx", {}],
    ["ambiguous-path", 400, "/billing//v1", {}],
    ["upgrade-not-supported", 400, "/billing/v1/invoices/1", { connection: "upgrade", upgrade: "websocket" }],
    ["duplicate-header", 400, "/billing/v1/invoices/1", { authorization: ["DPoP a", "DPoP b"] as string[] }],
    ["bad-header", 400, "/billing/v1/invoices/1", { X_Forwarded_User: "admin" }],
    ["bad-host", 400, "/billing/v1/invoices/1", { host: "a b" }],
    ["bad-header", 400, "/billing/v1/invoices/1", { expect: "200-ok" }],
    ["uri-too-long", 414, `/${"x".repeat(9_000)}`, {}],
  ];
  for (const [code, status, path, headers] of cases) {
    test(`${code}: ${path.slice(0, 30)} ${Object.keys(headers).join(" ")}`, async () => {
      const answer = await denied(code, status, () => call(`${url}${path}`, { headers }));
      assert.equal(answer.code, code);
    });
  }
});

describe("record: cannot record, cannot pass", () => {
  test("record-unavailable for effects, reads and denials while the log is full; nothing is forwarded for an effect", async () => {
    const reached = upstream.seen.length;
    log.full = true;
    try {
      const effect = await orders.send(`${url}/billing/v1/invoices`, { method: "POST", headers: json, body });
      assert.equal(effect.status, 503);
      assert.equal(effect.code, "record-unavailable");
      assert.equal(upstream.seen.length, reached);
      const read = await orders.send(invoices());
      assert.equal(read.status, 503);
      assert.ok(!read.text.includes('"ok":true'), "nothing of the answer came through");
      assert.equal((await orders.send(invoices(), { method: "DELETE" })).status, 503);
    } finally {
      log.full = false;
    }
    await allowed(() => orders.send(invoices()));
  });
});

describe("the record itself", () => {
  test("holds no token, no address and no text a caller chose", async () => {
    const token = orders.token("billing");
    const answer = await orders.send(`${invoices("canary-path-8")}?canary-query=9`, { token });
    const found = await bed.log.find(answer.id);
    const text = Buffer.from(found[0]?.leaf ?? []).toString("latin1");
    for (const secret of ["canary", token, "127.0.0.1", 'orders"']) assert.ok(!text.includes(secret), secret);
    const reference = Buffer.from(found[0]?.reference ?? []).toString("latin1");
    assert.ok(reference.length > 0 && !reference.includes("canary"), "decision inputs are sealed");
  });

  test("of a flood of strangers eight have a leaf each and the rest are one counted leaf", async () => {
    // To the beginning of a window.
    bed.clock.shiftMs += 20_000 - (bed.clock.now() % 10_000);
    const answers: Answer[] = [];
    for (let i = 0; i < 20; i++) answers.push(await call(`${url}/billing/v1/x%00`));
    const found = await Promise.all(answers.map(({ id }) => bed.leaves(id)));
    assert.equal(found.flat().filter((leaf) => leaf.t === "crossing").length, 8);
    assert.equal(new Set(answers.slice(0, 8).map((answer) => answer.id)).size, 8);
    const counted = new Set(answers.slice(8).map((answer) => answer.id));
    assert.equal(counted.size, 1);
    bed.clock.shiftMs += 11_000;
    const [id = ""] = counted;
    await call(`${url}/billing/v1/x%00`);
    const [leaf] = await bed.leaves(id);
    assert.ok(leaf?.t === "denials");
    assert.equal(leaf.count, 12);
  });
});
