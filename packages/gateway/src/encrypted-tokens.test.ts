// Encrypted tokens presented at a real gateway over real sockets (docs/identity/token-forms.md "Encrypted tokens"). The form itself: kernel/nested-token.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { encryptToken, makeEncryptionKey } from "@sallyport/kernel/nested-token.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { call, TestCaller, type TokenChanges } from "./testing/test-caller.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let invoice: string;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog });
  const url = bed.addresses[0]?.url ?? "";
  invoice = `${url}/billing/v1/invoices/1`;
  orders = new TestCaller(bed.feed, "orders");
  await orders.learnNonce(`${url}/`);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

/** A key that control has. */
function newKey() {
  const key = makeEncryptionKey();
  bed.feed.tokenKeys.set(key.kid, Buffer.from(key.privateKey).toString("base64url"));
  return key;
}
const encrypted = (key: ReturnType<typeof newKey>, changes: TokenChanges = {}) =>
  encryptToken(orders.token("billing", changes), key, random);
const present = (token: string) => orders.send(invoice, { token });

async function refused(code: ProblemCode, status: number, token: string): Promise<void> {
  const reached = upstream.seen.length;
  const answer = await present(token);
  assert.equal(answer.status, status, answer.text);
  const leaf = (await bed.leaves(answer.id))[0];
  assert.equal(leaf?.t === "crossing" ? leaf.code : undefined, code);
  assert.equal(upstream.seen.length, reached, "the provider was not reached");
}

test("an encrypted token stands for the token inside, with a proof over what was presented; its key is asked for once", async () => {
  const key = newKey();
  const token = encrypted(key);
  for (let n = 0; n < 2; n += 1) assert.equal((await present(token)).status, 200);
  assert.equal((await present(encrypted(key))).status, 200);
  assert.equal(bed.feed.asked.filter((kid) => kid === key.kid).length, 1);
  assert.equal(JSON.stringify(upstream.seen).includes(token), false);
  const bearer = await call(invoice, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(bearer.status, 401);
});

test("everything goes as for the token inside: another issuer, another audience, a revocation, an unbound one", async () => {
  const key = newKey();
  await refused("token-issuer", 401, encrypted(key, { iss: "https://id.example/main/staging" }));
  await refused("token-audience", 401, encrypted(key, { aud: "https://id.example/main/production/systems/ledger" }));
  const token = encrypted(key, { jti: "an-encrypted-token" });
  assert.equal((await present(token)).status, 200);
  bed.feed.revoke("jti", "an-encrypted-token");
  await refused("token-revoked", 401, token);
});

test("attack: a key of another environment or of the attacker's own, a changed text, another form: no entry, and noise costs no question", async () => {
  const key = newKey();
  await refused("token-key-unknown", 401, encryptToken(orders.token("billing"), makeEncryptionKey(), random));
  const asked = bed.feed.asked.length;
  const token = encrypted(key);
  const parts = token.split(".");
  const header = JSON.parse(Buffer.from(parts[0] ?? "", "base64url").toString());
  const under = (change: object) =>
    parts.with(0, Buffer.from(JSON.stringify({ ...header, ...change })).toString("base64url")).join(".");
  await refused("token-malformed", 401, under({ zip: "DEF" }));
  await refused("token-malformed", 401, under({ apu: "QWxpY2U" }));
  await refused("token-algorithm", 401, under({ alg: "dir" }));
  await refused("token-algorithm", 401, under({ enc: "A128GCM" }));
  await refused("token-malformed", 401, under({ epk: { ...header.epk, y: header.epk.x } }));
  assert.equal(bed.feed.asked.length, asked);
  await refused("token-signature", 401, under({ epk: makeEncryptionKey().jwk }));
  assert.equal((await present(token)).status, 200);
});

test("attack: what is inside is not signed by the ring: whoever knows the public key can encrypt anything", async () => {
  const key = newKey();
  const stranger = new TestCaller(bed.feed, "orders");
  await refused(
    "token-signature",
    401,
    encryptToken(orders.token("billing", { signer: signsAsRing(stranger) }), key, random),
  );
  await refused("token-malformed", 401, encryptToken("not a token", key, random));
  await refused("token-malformed", 401, encryptToken(encrypted(key), key, random));
});

/** The ring's key id over a signature of the attacker's own key. */
function signsAsRing({ key }: TestCaller) {
  const { ringSigner } = bed.feed;
  return { kid: ringSigner.kid, jwk: ringSigner.jwk, alg: ringSigner.alg, sign: (data: Uint8Array) => key.sign(data) };
}

test("without control a key that is new here opens nothing, and one that is known goes on", async () => {
  const known = newKey();
  const unknown = newKey();
  assert.equal((await present(encrypted(known))).status, 200);
  bed.feed.silent = true;
  try {
    await refused("token-unresolved", 503, encrypted(unknown));
    assert.equal((await present(encrypted(known))).status, 200);
  } finally {
    bed.feed.silent = false;
  }
  assert.equal((await present(encrypted(unknown))).status, 200);
});
