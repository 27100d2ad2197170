// Who used this token? Every crossing with a token whose signature held names it by one pseudonym, also where it opened nothing.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let url: string;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog });
  url = `${bed.addresses[0]?.url ?? ""}/billing/v1/invoices/1`;
  orders = new TestCaller(bed.feed, "orders");
  await orders.learnNonce(url);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

async function leafOf({ id }: Answer) {
  const leaf = (await bed.leaves(id))[0];
  assert.ok(leaf?.t === "crossing" || leaf?.t === "intent", id);
  return leaf;
}

test("every crossing with one token names it by one pseudonym, another token by another, and nothing of either stands in the leaf", async () => {
  const jti = "jti-of-this-token-0123456789";
  const token = orders.token("billing", { jti });
  const first = await leafOf(await orders.send(url, { token }));
  const again = await leafOf(await orders.send(url, { token }));
  const other = await leafOf(await orders.send(url));
  assert.match(first.token ?? "", /^2026:[A-Za-z0-9_-]{22}$/);
  assert.equal(again.token, first.token);
  assert.notEqual(other.token, first.token);
  for (const part of [jti, ...token.split(".")]) assert.equal(JSON.stringify(first).includes(part), false);
});

test("leaked token attack: a thief without its key is refused, and the record still says which token it was", async () => {
  const token = orders.token("billing");
  const good = await leafOf(await orders.send(url, { token }));
  const thief = new TestCaller(bed.feed, "orders");
  thief.nonce = orders.nonce;
  const proof = thief.proof("GET", url, token);
  for (const headers of [{ authorization: `DPoP ${token}`, dpop: proof }, { authorization: `Bearer ${token}` }]) {
    const answer = await call(url, { headers });
    assert.equal(answer.status, 401);
    const leaf = await leafOf(answer);
    assert.deepEqual([leaf.verdict, leaf.caller, leaf.token], ["deny", null, good.token]);
  }
});

test("an expired token is named too", async () => {
  const iat = Math.floor(Date.now() / 1000) - 900;
  const jti = "expired-token-0123456789";
  const token = orders.token("billing", { jti, iat, exp: iat + 300 });
  const late = await leafOf(await orders.send(url, { token }));
  const fresh = await leafOf(await orders.send(url, { token: orders.token("billing", { jti }) }));
  assert.deepEqual([late.code, late.token], ["token-expired", fresh.token]);
});

test("framing attack: a forged token that borrows another's id is not recorded as that token", async () => {
  const jti = "borrowed-0123456789";
  const real = await leafOf(await orders.send(url, { token: orders.token("billing", { jti }) }));
  const forged = orders.token("billing", { jti, signer: generateSigner("ES256").signer });
  const leaf = await leafOf(await orders.send(url, { token: forged }));
  assert.notEqual(real.token, undefined);
  assert.equal("token" in leaf, false);
});
