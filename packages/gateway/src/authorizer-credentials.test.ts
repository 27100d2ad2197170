// Signatures and API keys where a proxy only asks: what the gateway does not send on itself must not reach a provider past it (docs/authorizer.md).
import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { printApiKey } from "@sallyport/protocol/token/api-key.ts";
import { ask, askFor, askingEstate, kinds, proxyUrl } from "./testing/asking-bench.ts";
import { movableClock } from "./testing/start-test-gateway.ts";
import type { TestEstate } from "./testing/test-estate.ts";
import { TestSigner } from "./testing/test-signer.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const clock = movableClock();
const signer = new TestSigner("orders-2026", "ed25519", () => clock.now());
const key = printApiKey("0000000001", randomBytes(32));
let bench: Bench;

function estate(url: string): TestEstate {
  const { systems, integrations, ...rest } = askingEstate(url);
  const signatures = { keys: [signer.key], covers: [] };
  const digest = hash("sha256", key, "base64url");
  const made = { id: "0000000001", digest, system: "orders", integrations: ["orders-to-billing"] };
  return {
    ...rest,
    systems: systems.map((one) => (one.id === "orders" ? { ...one, changes: { signatures } } : one)),
    integrations: integrations.map((one) =>
      one.from === "orders" ? { ...one, proof: ["signature", "api-key", "dpop"] as const } : one,
    ),
    apiKeys: { headers: ["x-vendor-key"], keys: [{ ...made, notAfterMs: clock.now() + 3_600_000 }] },
  };
}

before(async () => {
  const listener = (name: string) => ({ name, host: "127.0.0.1", port: 0 });
  bench = await openBench({ estate, clock, listeners: [listener("public"), ...kinds.map(listener)] });
  clock.shiftMs += 10_000;
  bench.bed.feed.heartbeat();
});
after(() => bench?.close());

const at = (kind: string): string =>
  `http://127.0.0.1:${bench.bed.addresses.find(({ name }) => name === kind)?.port ?? 0}`;
const target = "/billing/v1/invoices/1";
let sent = 0;
const signed = (method: string, path: string, body?: string): Record<string, string> =>
  signer.fields(
    { url: proxyUrl + path, method, ...(body === undefined ? {} : { body }) },
    { parameters: `;nonce="${++sent}"` },
  );

for (const kind of kinds) {
  test(`${kind}: a signed read and a key in Authorization are allowed`, async () => {
    const read = await ask(at(kind), kind, { target, fields: signed("GET", target) });
    assert.equal(read.status, 200, read.text);
    const keyed = await ask(at(kind), kind, { target, fields: { authorization: `ApiKey ${key}` } });
    assert.equal(keyed.status, 200, keyed.text);
  });

  test(`attack: ${kind}: a key in a field of its own, which the proxy would send on, is refused`, async () => {
    const answer = await ask(at(kind), kind, { target, fields: { "x-vendor-key": key } });
    assert.equal(answer.status, 401, answer.text);
  });
}

for (const kind of kinds)
  test(`attack: ${kind}: a key of ours beside a token that proves the caller would go on to the provider all the same`, async () => {
    const leaked = await askFor(bench.orders, at(kind), kind, { fields: { "x-vendor-key": key } });
    assert.equal(leaked.status, 401, leaked.text);
    assert.equal(leaked.headers["sallyport-identity"], undefined);
    const [leaf] = await bench.bed.leaves(leaked.id);
    assert.ok(leaf?.t === "crossing" && leaf.code === "api-key-unknown");
    const theirs = await askFor(bench.orders, at(kind), kind, { fields: { "x-vendor-key": "of another" } });
    assert.equal(theirs.status, 200, theirs.text);
  });

test("attack: a signed request of an operation that takes content is refused: nobody would hold it against its digest", async () => {
  const path = "/billing/v1/notes";
  for (const fields of [signed("POST", path), signed("POST", path, '{"a":1}')]) {
    const answer = await ask(at("nginx"), "nginx", { method: "POST", target: path, fields });
    assert.equal(answer.status, 401, answer.text);
  }
  // The same operation, by a proof that says nothing of content.
  const keyed = { authorization: `ApiKey ${key}`, "content-type": "application/json" };
  const answer = await ask(at("nginx"), "nginx", { method: "POST", target: path, fields: keyed });
  assert.equal(answer.status, 200, answer.text);
});
