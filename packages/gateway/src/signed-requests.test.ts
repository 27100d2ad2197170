// Requests that gateways sign for a provider (RFC 9421): the provider puts the base together from what it received and verifies it by itself (docs/identity/signed-requests.md).
import assert from "node:assert/strict";
import { createPublicKey, hash, verify } from "node:crypto";
import { after, before, test } from "node:test";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { billing } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import type { TestEstate } from "./testing/test-estate.ts";

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let base: string;

function estate(signed: boolean): TestEstate {
  const all = ["invoice.read", "invoice.create", "invoice.upload"].map((name) => ({ name }));
  const at = { url: `${upstream.url}/base`, allowPrivate: true, ...(signed ? { signed: true as const } : {}) };
  return {
    systems: [
      { ...billing(upstream.url), changes: { upstream: at } },
      { id: "orders", clients: ["orders"] },
    ],
    integrations: [{ id: "orders-to-billing", from: "orders", to: "billing", operations: all }],
  };
}

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({ estate: estate(true), openLog: openTestLog });
  orders = new TestCaller(bed.feed, "orders");
  base = bed.addresses[0]?.url ?? "";
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

/** What the provider received, verified as RFC 9421 §3.2 says; the components that are covered. */
function verified(): readonly string[] {
  const seen = upstream.seen.at(-1);
  assert.ok(seen !== undefined);
  const { headers } = seen;
  const input = String(headers["signature-input"]);
  const [, list = "", parameters = ""] = /^gateway=\(([^)]*)\)(.*)$/.exec(input) ?? [];
  const components = list.split(" ").map((one) => one.slice(1, -1));
  const [path, query] = [seen.url.split("?")[0], seen.url.includes("?") ? seen.url.slice(seen.url.indexOf("?")) : "?"];
  const values: Record<string, string | undefined> = {
    "@method": seen.method,
    "@authority": headers.host,
    "@path": path,
    "@query": query,
  };
  const lines = components.map((name) => `"${name}": ${values[name] ?? String(headers[name])}`);
  const text = [...lines, `"@signature-params": (${list})${parameters}`].join("\n");
  const octets = Buffer.from(/^gateway=:(.*):$/.exec(String(headers["signature"]))?.[1] ?? "", "base64");
  const key = createPublicKey({ key: { ...bed.hop.jwk }, format: "jwk" });
  assert.ok(verify("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }, octets), text);
  assert.match(parameters, new RegExp(`;nonce="${String(headers["sallyport-crossing"])}";alg="ecdsa-p256-sha256"`));
  assert.match(parameters, new RegExp(`;keyid="${bed.hop.kid}";tag="sallyport-hop"$`));
  const [, created, expires] = /^;created=(\d+);expires=(\d+)/.exec(parameters) ?? [];
  assert.equal(Number(expires) - Number(created), 60);
  return components;
}

const who = ["@method", "@authority", "@path", "@query", "sallyport-identity", "sallyport-crossing"];

test("a read is signed with its target as it is sent, its crossing and who called", async () => {
  const answer = await orders.send(`${base}/billing/v1/invoices/1?a=1&b=%3F`);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(upstream.seen.at(-1)?.url, "/base/v1/invoices/1?a=1&b=%3F");
  assert.deepEqual(verified(), who);
});

test("content that is held is signed by its bytes, whatever its caller said of them", async () => {
  const body = '{"amount":5,"customer":"acme"}';
  const answer = await orders.send(`${base}/billing/v1/invoices`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", "content-digest": "sha-256=:AAAA:" },
  });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(verified(), [...who, "content-type", "content-digest"]);
  const { headers, body: received = "" } = upstream.seen.at(-1) ?? {};
  assert.equal(headers?.["content-digest"], `sha-256=:${hash("sha256", received, "base64")}:`);
});

test("attack: on the way to the provider a payment gets another key, and so a second effect: the key is signed as it is sent", async () => {
  const { systems, ...rest } = estate(true);
  const rule = { key: "required", ttlMs: 3_600_000, provider: "honours" } as const;
  const keyed = systems.map(({ operations = [], ...system }) => ({
    ...system,
    operations: operations.map((one) =>
      one.name === "invoice.create" ? { ...one, changes: { ...one.changes, idempotency: rule } } : one,
    ),
  }));
  const pay = () =>
    orders.send(`${base}/billing/v1/invoices`, {
      method: "POST",
      body: '{"amount":5,"customer":"acme"}',
      headers: { "content-type": "application/json", "idempotency-key": '"theirs"' },
    });
  await pay();
  assert.deepEqual(verified(), [...who, "content-type", "content-digest", "idempotency-key"]);
  assert.equal(upstream.seen.at(-1)?.headers["idempotency-key"], '"theirs"');
  await bed.publish({ ...rest, systems: keyed });
  await until(async () => (await pay()).status === 200, "the store of keys");
  assert.deepEqual(verified(), [...who, "content-type", "content-digest", "idempotency-key"]);
  assert.notEqual(upstream.seen.at(-1)?.headers["idempotency-key"], '"theirs"');
  await bed.publish(estate(true));
});

test("of content that streams through the caller's digest is signed, and nothing where it said none", async () => {
  const body = Buffer.alloc(100_000, 1);
  const url = `${base}/billing/v1/invoices/1/scan`;
  const digest = `sha-256=:${hash("sha256", body, "base64")}:`;
  for (const said of [{}, { "content-digest": digest }]) {
    const headers = { "content-type": "application/pdf", ...said };
    const answer = await orders.send(url, { method: "PUT", body, headers });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(verified(), [...who, "content-type", ...Object.keys(said)]);
  }
});

test("attack: a caller's own signature does not reach a provider that reads ours, under our label or another", async () => {
  const headers = { "signature-input": 'gateway=("@method");tag="sallyport-hop"', signature: "gateway=:AAAA:" };
  const answer = await orders.send(`${base}/billing/v1/invoices/1`, { headers });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(verified(), who);
  const raw = upstream.seen.at(-1)?.rawHeaders.filter((_, index) => index % 2 === 0) ?? [];
  assert.equal(raw.filter((name) => name.toLowerCase() === "signature").length, 1);
});

test("a provider that does not ask for it gets no signature of ours, and the caller's as it is", async () => {
  await bed.publish(estate(false));
  const headers = { "signature-input": 'mine=("@method")', signature: "mine=:AAAA:" };
  const answer = await orders.send(`${base}/billing/v1/invoices/1`, { headers });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(upstream.seen.at(-1)?.headers["signature"], "mine=:AAAA:");
});
