// Signatures of requests that arrive in one turn of the event loop are verified one behind the other: each gets its own verdict all the same.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { call, TestCaller } from "./testing/test-caller.ts";

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let url: string;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog });
  url = `${bed.addresses[0]?.url ?? ""}/billing/v1/invoices`;
  orders = new TestCaller(bed.feed, "orders");
  await orders.learnNonce(`${url}/1`);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

/** Headers of good credentials, and of credentials that are wrong in one thing. */
function presentations(n: number) {
  const path = `${url}/${n}`;
  const token = orders.token("billing");
  const other = orders.token("billing");
  const good = { authorization: `DPoP ${token}`, dpop: orders.proof("GET", path, token) };
  const altered = `${token.slice(0, -8)}${token.endsWith("AAAAAAAA") ? "BBBBBBBB" : "AAAAAAAA"}`;
  return [
    { path, headers: good, code: null },
    { path, headers: good, code: "dpop-replayed" },
    { path, headers: { ...good, authorization: `DPoP ${altered}` }, code: "token-signature" },
    { path, headers: { ...good, dpop: orders.proof("GET", path, other) }, code: "dpop-token-hash" },
    { path, headers: { ...good, dpop: orders.proof("POST", path, token) }, code: "dpop-method" },
    { path, headers: { authorization: "DPoP not.a.token", dpop: good.dpop }, code: "token-malformed" },
  ];
}

test("attack: good and bad credentials of many callers at once; each answer is of its own credentials, and only good ones reach the provider", async () => {
  const all = Array.from({ length: 20 }, (_, n) => presentations(n)).flat();
  const reached = upstream.seen.length;
  const answers = await Promise.all(
    all.map(async ({ path, headers, code }) => ({ code, answer: await call(path, { headers }) })),
  );
  assert.equal(answers.filter(({ answer }) => answer.status === 200).length, 20);
  assert.equal(upstream.seen.length, reached + 20);
  for (const { code, answer } of answers) {
    const leaf = (await bed.leaves(answer.id)).at(-1);
    // Which of two equal requests came first is nobody's to say, and of strangers only the first few denials have a leaf of their own.
    if (leaf?.t !== "crossing" || code === null || code === "dpop-replayed") continue;
    assert.equal(leaf.code, code);
    assert.equal(answer.status, 401);
  }
});

test("attack: a revoked token opens nothing, however many present it at once", async () => {
  const token = orders.token("billing", { jti: "revoked-in-between" });
  const headers = () => ({ authorization: `DPoP ${token}`, dpop: orders.proof("GET", `${url}/1`, token) });
  assert.equal((await call(`${url}/1`, { headers: headers() })).status, 200);
  const reached = upstream.seen.length;
  bed.feed.revoke("jti", "revoked-in-between");
  const answers = await Promise.all([1, 2, 3].map(() => call(`${url}/1`, { headers: headers() })));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [401, 401, 401],
  );
  assert.equal(upstream.seen.length, reached);
});

test("effects at once carry a signed identity each, of their own crossing", async () => {
  const reached = upstream.seen.length;
  const [body, headers] = ['{"amount":1,"customer":"c-1"}', { "content-type": "application/json" }];
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => orders.send(url, { method: "POST", body, headers })),
  );
  assert.ok(answers.every(({ status }) => status < 300));
  const named = upstream.seen.slice(reached).map((seen) => {
    const [, claims = ""] = (seen.headers["sallyport-identity"] ?? "").toString().split(".");
    return JSON.parse(Buffer.from(claims, "base64url").toString()).jti;
  });
  assert.deepEqual(named.toSorted(), answers.map(({ id }) => id).toSorted());
});
