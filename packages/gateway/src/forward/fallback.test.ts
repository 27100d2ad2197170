// What stands in for a provider that failed, and what the record says of it (docs/resilience.md "Fallback").
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type FailingProvider, startFailingProvider } from "../testing/failing-provider.ts";
import { billing, marketplace } from "../testing/marketplace-estate.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "../testing/start-test-gateway.ts";
import { type Answer, TestCaller } from "../testing/test-caller.ts";
import type { TestEstate } from "../testing/test-estate.ts";

const fallback = { status: 200, contentType: "application/json", body: '{"amount":null}' };
const breaker = { failures: 3, requests: 20, openMs: 60_000, openMsMax: 60_000 };

let provider: FailingProvider;
let bed: TestGateway;
let url: string;

function estate(): TestEstate {
  const base = marketplace(provider.url);
  const [, ...others] = base.systems;
  const served = billing(provider.url);
  const operations =
    served.operations?.map((one) =>
      one.method === "GET" ? { ...one, changes: { ...one.changes, timeoutMs: 20_000, fallback } } : one,
    ) ?? [];
  const upstream = { url: provider.url, allowPrivate: true, resilience: { breaker } };
  return { ...base, systems: [{ ...served, operations, changes: { upstream } }, ...others] };
}

before(async () => {
  provider = await startFailingProvider();
  bed = await startTestGateway({ estate: estate(), openLog: openTestLog });
  url = `${bed.addresses[0]?.url}/billing/v1/invoices`;
});
after(async () => {
  await bed?.close();
  await provider?.close();
});

const recordOf = async (answer: Answer) => {
  const [leaf] = await bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing");
  const { verdict, code, outcome, status, upstreamStatus } = leaf;
  return { verdict, code, outcome, status, upstreamStatus };
};

test("a read that fails is answered with what its operation declares, says so, and its record says what the provider did; others and strangers get none", async () => {
  const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  const well = await orders.send(`${url}/1`);
  assert.deepEqual([well.text, well.headers["sallyport-fallback"]], ['{"from":"one"}', undefined]);
  const expected = { verdict: "allow", outcome: "system-error", status: 200 };
  provider.behaviour = 503;
  const failing = await orders.send(`${url}/1`);
  assert.deepEqual([failing.status, failing.text], [200, fallback.body]);
  assert.equal(failing.headers["sallyport-fallback"], "static; code=upstream-unreachable");
  assert.equal(failing.headers["cache-control"], "no-store");
  assert.deepEqual(await recordOf(failing), { ...expected, code: "upstream-unreachable", upstreamStatus: 503 });
  provider.behaviour = "reset";
  const cut = await orders.send(`${url}/1`);
  assert.equal(cut.text, fallback.body);
  assert.deepEqual(await recordOf(cut), { ...expected, code: "upstream-unreachable", upstreamStatus: 0 });
  const head = await orders.send(`${url}/1`, { method: "HEAD" });
  assert.deepEqual([head.status, head.text, head.headers["content-length"]], [200, "", "15"]);
  const reached = provider.seen.length;
  const left = await orders.send(`${url}/1`);
  assert.equal(left.headers["sallyport-fallback"], "static; code=upstream-open");
  assert.deepEqual(await recordOf(left), { ...expected, code: "upstream-open", upstreamStatus: 0 });
  assert.equal(provider.seen.length, reached, "it is left alone");
  const create = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"amount":5,"customer":"c-1"}',
  };
  assert.equal((await orders.send(url, create)).code, "upstream-open", "an effect has none");
  const analytics = new TestCaller(bed.feed, "analytics", () => bed.clock.now());
  assert.equal(
    (await analytics.send(`${url}/1`)).code,
    "not-granted",
    "whoever is not granted the read gets no fallback of it",
  );
});
