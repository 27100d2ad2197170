// How several worker threads stop passing: a grant that is cut off, and a drain: docs/workers.md.
import assert from "node:assert/strict";
import type { Agent } from "node:http";
import { after, before, test } from "node:test";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { marketplace } from "../testing/marketplace-estate.ts";
import { connectionsToEach, startTestCrew, type TestCrew } from "../testing/start-test-crew.ts";
import { until } from "../testing/start-test-gateway.ts";
import { TestCaller } from "../testing/test-caller.ts";
import type { TestEstate } from "../testing/test-estate.ts";

let upstream: CountingUpstream;
let crew: TestCrew;
let agents: readonly Agent[];
let orders: TestCaller;
const invoice = () => `${crew.url}/billing/v1/invoices/1`;

before(async () => {
  upstream = await startCountingUpstream();
  crew = await startTestCrew({ estate: marketplace(upstream.url) });
  orders = new TestCaller(crew.bed.feed, "orders");
  agents = await connectionsToEach(crew, { upstream, url: invoice() });
});
after(async () => {
  for (const agent of agents ?? []) agent.destroy();
  await crew?.close();
  await upstream?.close();
});

test("attack: a cut-off grant is cut off at every worker, whichever of them was told first", async () => {
  const base = marketplace(upstream.url);
  const without: TestEstate = {
    ...base,
    integrations: base.integrations.filter(({ id }) => id !== "orders-to-billing"),
  };
  await crew.bed.publish(without);
  await until(() => crew.crew.perWorker().every(({ snapshot }) => snapshot?.version === 2), "in force in both");
  const before = upstream.seen.length;
  for (const agent of agents) {
    const refused = await orders.send(invoice(), { agent });
    assert.deepEqual([refused.status, refused.code], [403, "not-granted"]);
    const [leaf] = await crew.bed.leaves(refused.id);
    assert.ok(leaf?.t === "crossing" && leaf.code === "not-granted");
  }
  assert.equal(upstream.seen.length, before, "the provider's own count");
  await crew.bed.publish(base);
  await until(() => crew.crew.perWorker().every(({ snapshot }) => snapshot?.version === 3), "granted again in both");
  for (const agent of agents) assert.equal((await orders.send(invoice(), { agent })).status, 200);
});

test("attack: a drain holds at every worker: each says goodbye to its connections, and afterwards none takes new ones", async () => {
  const drained = crew.crew.drain(60_000);
  await until(() => crew.crew.perWorker().every(({ draining }) => draining), "both are draining");
  assert.equal(crew.crew.readiness().ready, false);
  for (const agent of agents) {
    const last = await orders.send(invoice(), { agent });
    assert.deepEqual([last.status, last.headers.connection], [200, "close"]);
  }
  await drained;
  const tries = Array.from({ length: 16 }, () =>
    orders.send(invoice()).then(
      ({ status }) => status,
      () => null,
    ),
  );
  assert.deepEqual(new Set(await Promise.all(tries)), new Set([null]));
});
