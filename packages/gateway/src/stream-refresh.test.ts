// A stream that is given another token while it goes on: by whom, with what, and what everybody else learns from trying.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { until } from "./testing/start-test-gateway.ts";
import { ended, type Followed, openStreamBench, type StreamBench } from "./testing/stream-bench.ts";
import { type Answer, call, TestCaller, type TokenChanges } from "./testing/test-caller.ts";

let bench: StreamBench;
before(async () => {
  bench = await openStreamBench();
});
after(() => bench.close());

const pathOf = (id: string) => `/.well-known/sallyport/streams/${id}`;

interface Asking {
  readonly who?: TestCaller;
  readonly claims?: TokenChanges;
  readonly system?: string;
  readonly body?: string;
  readonly method?: string;
  readonly path?: string;
}

async function refresh(id: string, asking: Asking = {}): Promise<Answer> {
  const { who = bench.orders, claims, system = "news", body, method = "POST", path = pathOf(id) } = asking;
  const url = `${bench.url}${path}`;
  if (who.nonce === undefined) await who.learnNonce(url);
  const token = who.token(system, claims);
  const headers = { authorization: `DPoP ${token}`, dpop: who.proof(method, url, token) };
  return call(url, { method, headers, ...(body === undefined ? {} : { body }) });
}

async function begun(claims: TokenChanges): Promise<Followed> {
  const one = await bench.follow(bench.orders, { claims });
  assert.equal(one.status, 200);
  return one;
}

async function goesOn(one: Followed): Promise<void> {
  const before = one.text();
  bench.providers.at(-1)?.response.write("data: 2\n\n");
  await until(() => one.text() === `${before}data: 2\n\n`, "another event");
}

test("a stream goes on under the token it is given: the former one may end or be revoked, the new one ends it", async () => {
  const one = await begun({ jti: "the-former", exp: Math.floor(bench.bed.clock.now() / 1000) + 60 });
  const reached = bench.upstream.seen.length;
  const answer = await refresh(one.id, { claims: { jti: "the-new-one" } });
  assert.equal(answer.status, 200, answer.text);
  const { crossing, expiresIn } = JSON.parse(answer.text);
  assert.equal(crossing, one.id);
  assert.ok(expiresIn > 290 && expiresIn <= 300, String(expiresIn));
  assert.equal(answer.headers["cache-control"], "no-store");
  assert.equal(bench.upstream.seen.length, reached, "no provider hears of it");
  const [leaf] = await bench.bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing");
  assert.deepEqual([leaf.operation, leaf.verdict, leaf.outcome], ["sallyport:stream.refresh", "allow", "success"]);

  bench.bed.feed.revoke("jti", "the-former");
  bench.bed.clock.shiftMs += 70_000;
  bench.bed.feed.heartbeat();
  bench.orders.nonce = undefined;
  const nowS = Math.floor(bench.bed.clock.now() / 1000);
  const witness = await begun({ jti: "expires-beside-it", iat: nowS - 100, exp: nowS + 5 });
  bench.bed.clock.shiftMs += 20_000;
  bench.bed.feed.heartbeat();
  assert.equal(await ended(witness), "cut", "by then whatever has expired was looked at");
  assert.equal(one.end(), null);
  bench.bed.feed.revoke("jti", "the-new-one");
  assert.equal(await ended(one), "cut");
  const outcome = { code: null, ...(await bench.outcome(one.id)) };
  assert.deepEqual([outcome.outcome, outcome.code], ["denied", "token-revoked"]);
});

test("attack: nobody refreshes the stream of somebody else, and the answer is that of a stream that never was", async () => {
  const one = await begun({ jti: "only-mine", sub: "usr_ana" });
  const thief = new TestCaller(bench.bed.feed, "orders", () => bench.bed.clock.now());
  const shapeOf = ({ status, text, id }: Answer) => ({ status, text: text.replaceAll(id, "<id>") });
  const never = shapeOf(await refresh(`gw-test-${"0".repeat(26)}`));
  assert.equal(never.status, 404);
  assert.match(never.text, /"code":"stream-unknown"/);
  const tries: [string, Asking][] = [
    ["another system", { who: bench.portal, claims: { sub: "usr_ana" } }],
    ["another user of the same client", { claims: { sub: "usr_ben" } }],
    ["the client for itself", {}],
    ["the same client and user with another key", { who: thief, claims: { sub: "usr_ana" } }],
    ["another method", { claims: { sub: "usr_ana" }, method: "PUT" }],
    ["a query", { claims: { sub: "usr_ana" }, path: `${pathOf(one.id)}?x=1` }],
    ["more of a path", { claims: { sub: "usr_ana" }, path: `${pathOf(one.id)}/x` }],
  ];
  for (const [what, asking] of tries) assert.deepEqual(shapeOf(await refresh(one.id, asking)), never, what);
  await goesOn(one);
  one.close();
});

test("a token that would not begin the stream does not refresh it, and the stream goes on under its own", async () => {
  const one = await begun({ jti: "goes-on" });
  const refused: [Asking, number, string][] = [
    [{ claims: { scope: "news:events.secret" } }, 403, "scope-missing"],
    [{ system: "orders" }, 401, "unauthenticated"],
    [
      { claims: { exp: Math.floor(Date.now() / 1000) - 60, iat: Math.floor(Date.now() / 1000) - 300 } },
      401,
      "unauthenticated",
    ],
    [{ claims: { signer: generateSigner("ES256").signer } }, 401, "unauthenticated"],
    [{ body: "{}" }, 413, "body-too-large"],
  ];
  for (const [asking, status, code] of refused) {
    const answer = await refresh(one.id, asking);
    assert.deepEqual([answer.status, answer.code], [status, code], answer.text);
    assert.equal((await bench.bed.leaves(answer.id)).length <= 1, true);
  }
  await goesOn(one);
  assert.equal((await refresh(one.id)).status, 200, "the nearest allow");
  one.close();
});

test("the token a stream was given is what it stands on from that moment: revoked at once it ends it", async () => {
  const one = await begun({ jti: "before-it" });
  assert.equal((await refresh(one.id, { claims: { jti: "revoked-at-once" } })).status, 200);
  bench.bed.feed.revoke("jti", "before-it");
  await goesOn(one);
  bench.bed.feed.revoke("jti", "revoked-at-once");
  assert.equal(await ended(one), "cut");
});

test("a stream that has ended is not there any more", async () => {
  const one = await begun({ jti: "over" });
  bench.providers.at(-1)?.response.end();
  assert.equal(await ended(one), "whole");
  assert.equal((await refresh(one.id)).code, "stream-unknown");
});
