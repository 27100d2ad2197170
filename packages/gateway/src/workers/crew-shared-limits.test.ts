// Limits that gateways share in a Redis, where one of them is several worker threads: docs/limits.md "Across gateways", docs/workers.md.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { IntegrationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { debianProgram } from "../../../../tools/debian-packages.ts";
import { parseRedisUrl } from "../limit/redis-url.ts";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { marketplace } from "../testing/marketplace-estate.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { TestRedis } from "../testing/redis-server.ts";
import { startTestCrew, type TestCrew } from "../testing/start-test-crew.ts";
import { startTestGateway, type TestGateway, until } from "../testing/start-test-gateway.ts";
import { TestCaller } from "../testing/test-caller.ts";

const across = { onLoss: "local" } as const;
/** So slow that no test sees a permit come back. */
const slow = { per: "client", rate: 1, periodMs: 3_600_000, across } as const;
/** Begun at once while Redis is there, and while it is away. */
const [burst, lostBurst] = [12, 8];
const grants: Readonly<Record<string, Partial<IntegrationObject>>> = {
  "orders-to-billing": { limits: [{ ...slow, burst }] },
  "portal-to-billing": { limits: [{ ...slow, burst: lostBurst }] },
};

const dataKey = new Uint8Array(32).fill(7);
let redis: TestRedis;
let upstream: CountingUpstream;
let crew: TestCrew;
let other: TestGateway;

before(async () => {
  redis = await TestRedis.start({ program: debianProgram("redis-server") });
  upstream = await startCountingUpstream();
  const base = marketplace(upstream.url);
  const estate = { ...base, integrations: base.integrations.map((one) => ({ ...one, ...grants[one.id] })) };
  const url = `${redis.url}?wait=1000ms`;
  crew = await startTestCrew({ estate, dataKey, limitsStore: parseRedisUrl(url) });
  other = await startTestGateway({ estate, dataKey, openLog: openTestLog, changes: { limitsStore: redis.store() } });
  await until(() => standing().every(({ gateways }) => gateways === 2), "all have heard of two gateways");
});
after(async () => {
  await Promise.all([crew?.close(), other?.close(), redis?.close()]);
  await upstream?.close();
});

const standing = () => [...crew.crew.perWorker(), other.gateway.status()].map(({ sharedLimits }) => sharedLimits);

/** How many of `count` at once pass, each over a connection of its own. */
async function passed(client: string, at: "crew" | "other", count: number): Promise<number> {
  const [bed, url] = at === "crew" ? [crew.bed, crew.url] : [other, other.addresses[0]?.url ?? ""];
  const caller = new TestCaller(bed.feed, client);
  await caller.learnNonce(`${url}/`);
  const sent = Array.from({ length: count }, () => caller.send(`${url}/billing/v1/invoices/1`));
  return (await Promise.all(sent)).filter(({ status }) => status === 200).length;
}

test("two workers are one gateway there: with another beside them they are two, not three", () => {
  assert.deepEqual(new Set(standing().map(({ state, gateways }) => `${state} ${gateways}`)), new Set(["shared 2"]));
  assert.equal(crew.crew.status().sharedLimits.gateways, 2);
});

test("attack: one burst passes at both gateways together, however it is spread over the workers of one", async () => {
  const counts = [
    await passed("orders", "crew", 7),
    await passed("orders", "other", 3),
    await passed("orders", "crew", 20),
  ];
  assert.deepEqual(counts, [7, 3, burst - 10]);
  assert.equal(await passed("orders", "other", 3), 0);
});

test("attack: while Redis is away all workers together have the share of one gateway, and the node says that it counts alone", async () => {
  await redis.kill();
  await until(() => standing().every(({ state }) => state === "lost"), "the loss is known everywhere");
  assert.equal(crew.crew.status().sharedLimits.state, "lost");
  assert.ok(crew.crew.readiness().broken.some((one) => one.startsWith("limits across gateways cannot be shared at")));
  assert.equal(await passed("portal", "crew", 20), lostBurst / 2);
  assert.equal(await passed("portal", "other", 20), lostBurst / 2);
});
