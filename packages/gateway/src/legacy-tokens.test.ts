// Tokens signed with RSA, presented at a real gateway over real sockets (docs/identity/keys.md "Audiences that know only RSA").
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { generateLegacySigner, type LegacySigner } from "@sallyport/kernel/legacy-keys.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import type { LegacyAlgorithm } from "@sallyport/protocol/token/claims.ts";
import type { AccessTokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let invoice: string;
let rs256: LegacySigner;
let ps256: LegacySigner;

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog });
  const url = bed.addresses[0]?.url ?? "";
  invoice = `${url}/billing/v1/invoices/1`;
  orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  await orders.learnNonce(`${url}/`);
  rs256 = (await generateLegacySigner("RS256")).signer;
  ps256 = (await generateLegacySigner("PS256")).signer;
  bed.feed.changeLegacy([entryOf(rs256), entryOf(ps256)]);
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

const entryOf = ({ kid, alg, jwk }: LegacySigner) => ({ kid, alg, jwk: { ...jwk }, state: "active" }) as const;

/** The estate with tokens for billing signed so; null: as everybody's. */
function estateWith(algorithm: LegacyAlgorithm | null, untilMs = bed.clock.now() + 86_400_000) {
  const estate = marketplace(upstream.url);
  const legacy = algorithm === null ? {} : { changes: { legacyTokens: { algorithm, untilMs } } };
  return { ...estate, systems: estate.systems.map((one) => (one.id === "billing" ? { ...one, ...legacy } : one)) };
}

/** Of denials alike the first eight in ten seconds have a record of their own. */
async function later(ms = 10_001): Promise<void> {
  bed.clock.shiftMs += ms;
  bed.feed.heartbeat();
  await orders.learnNonce(new URL("/", invoice).href);
}

const present = (signer?: AccessTokenSigner) =>
  orders.send(invoice, { token: orders.token("billing", signer === undefined ? {} : { signer }) });

async function refused(code: ProblemCode, signer?: AccessTokenSigner): Promise<void> {
  const reached = upstream.seen.length;
  const answer = await present(signer);
  assert.equal(answer.status, 401, answer.text);
  const leaf = (await bed.leaves(answer.id))[0];
  assert.equal(leaf?.t === "crossing" ? leaf.code : undefined, code);
  assert.equal(upstream.seen.length, reached, "the provider was not reached");
}

test("an audience of an algorithm takes tokens signed with it and with nothing else, also a token that was verified here before", async () => {
  assert.equal((await present()).status, 200);
  await refused("token-algorithm", rs256);
  await refused("token-algorithm", ps256);
  const own = orders.token("billing");
  assert.equal((await orders.send(invoice, { token: own })).status, 200);
  await bed.publish(estateWith("RS256"));
  assert.equal((await present(rs256)).status, 200);
  await refused("token-algorithm");
  await refused("token-algorithm", ps256);
  assert.equal((await orders.send(invoice, { token: own })).status, 401, "verified, but of the algorithm of before");
  await bed.publish(estateWith("PS256"));
  assert.equal((await present(ps256)).status, 200);
  await refused("token-algorithm", rs256);
  await bed.publish(estateWith(null));
  assert.equal((await present()).status, 200);
  await refused("token-algorithm", ps256);
});

test("attack: a key of one algorithm under the name of another, HMAC over a public key, a signature that is longer, a stranger's key, no key", async () => {
  await later();
  await bed.publish(estateWith("RS256"));
  const as = (signer: AccessTokenSigner, over: Partial<AccessTokenSigner> & { readonly alg?: string }) =>
    ({ ...signer, ...over }) as AccessTokenSigner;
  await refused("token-algorithm", as(ps256, { alg: "RS256" as const }));
  await refused("token-algorithm", as(rs256, { alg: "PS256" as const }));
  await refused("token-key-unknown", as(rs256, { alg: "ES256" as const }));
  await refused("token-key-unknown", as(bed.feed.ringSigner, { alg: "RS256" as const }));
  const secret = JSON.stringify(rs256.jwk);
  const hmac = (data: Uint8Array) => new Uint8Array(createHmac("sha256", secret).update(data).digest());
  await refused("token-signature", as(rs256, { sign: hmac }));
  await refused("token-algorithm", { ...rs256, alg: "HS256", sign: hmac } as unknown as AccessTokenSigner);
  await refused("token-signature", as(rs256, { sign: (data) => new Uint8Array([...rs256.sign(data), 0]) }));
  await refused("token-signature", as(rs256, { sign: (data) => new Uint8Array([0, ...rs256.sign(data)]) }));
  const stranger = (await generateLegacySigner("RS256")).signer;
  await refused("token-key-unknown", stranger);
  await refused("token-signature", as(stranger, { kid: rs256.kid }));
  assert.equal((await present(rs256)).status, 200);
});

test("a killed or retired key opens nothing; a ring with an RSA key that is not what its name says is refused whole", async () => {
  await bed.publish(estateWith("RS256"));
  const other = (await generateLegacySigner("RS256")).signer;
  bed.feed.changeLegacy([{ ...entryOf(rs256), kid: other.kid }, entryOf(ps256)]);
  assert.equal((await present(rs256)).status, 200, "the ring of before stands");
  bed.feed.changeLegacy([{ ...entryOf(rs256), jwk: { ...rs256.jwk, e: "Aw" } }]);
  assert.equal((await present(rs256)).status, 200, "an exponent of 3 is no key");
  bed.feed.changeLegacy([entryOf(rs256), entryOf(other)]);
  assert.equal((await present(other)).status, 200);
  bed.feed.revoke("kid", rs256.kid, bed.clock.now() + 1_000);
  await refused("token-revoked", rs256);
  bed.feed.changeLegacy([entryOf(other)]);
  await refused("token-key-unknown", rs256);
  bed.feed.changeLegacy([]);
  await refused("token-algorithm", other);
});

test("the end date needs no message: from then on the audience takes what everybody's take, and nothing signed with RSA", async () => {
  await later();
  bed.feed.changeLegacy([entryOf(ps256)]);
  await bed.publish(estateWith("PS256", bed.clock.now() + 60_000));
  assert.equal((await present(ps256)).status, 200);
  await refused("token-algorithm");
  await later(60_000);
  await refused("token-algorithm", ps256);
  assert.equal((await present()).status, 200);
});
