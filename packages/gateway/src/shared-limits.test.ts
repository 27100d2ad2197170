// Limits that gateways share, at real gateways with a real Redis that is killed, frozen, emptied and started again: docs/limits.md "Across gateways".
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, describe, test } from "node:test";
import type { IntegrationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { debianProgram } from "../../../tools/debian-packages.ts";
import { limitsStoreAt } from "./limit/redis-counts.ts";
import { parseRedisUrl } from "./limit/redis-url.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { TestRedis } from "./testing/redis-server.ts";
import { until } from "./testing/start-test-gateway.ts";
import type { Answer } from "./testing/test-caller.ts";
import { issueTestLeaf, newTestCa } from "./testing/test-certificates.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const benches: Bench[] = [];
const servers: TestRedis[] = [];
after(async () => {
  await Promise.all(benches.map((bench) => bench.close()));
  await Promise.all(servers.map((redis) => redis.close()));
});

type Changes = Partial<IntegrationObject>;
const hourMs = 3_600_000;
const dataKey = new Uint8Array(randomBytes(32));
const across = { onLoss: "local" } as const;
/** So slow that no test sees a permit come back. */
const slow = (burst: number, onLoss: "local" | "deny" = "local"): Changes => ({
  limits: [{ per: "client", rate: 1, periodMs: hourMs, burst, across: { onLoss } }],
});

async function redis(options: Omit<Parameters<typeof TestRedis.start>[0], "program"> = {}): Promise<TestRedis> {
  const server = await TestRedis.start({ program: debianProgram("redis-server"), ...options });
  servers.push(server);
  return server;
}

async function gatewayAt(server: TestRedis | null, changes: Changes, wait?: string): Promise<Bench> {
  const bench = await openBench({
    dataKey,
    changes: server === null ? {} : { limitsStore: server.store(wait) },
    estate(url) {
      const base = marketplace(url);
      return { ...base, integrations: base.integrations.map((one) => ({ ...one, limits: [], ...changes })) };
    },
  });
  benches.push(bench);
  await until(() => bench.bed.gateway.readiness().ready, "readiness");
  if (server !== null) await shared(bench);
  return bench;
}

const stateOf = (bench: Bench) => bench.bed.gateway.status().sharedLimits;
/** Both know how many they are. */
async function two(server: TestRedis, changes: Changes): Promise<readonly [Bench, Bench]> {
  const one = await gatewayAt(server, changes);
  const other = await gatewayAt(server, changes);
  await waitFor(() => stateOf(one).gateways === 2 && stateOf(other).gateways === 2, "both are heard of");
  return [one, other];
}
async function waitFor(done: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 10 && !done(); i++) await until(done, what).catch(() => undefined);
  assert.ok(done(), what);
}
const shared = (bench: Bench) => waitFor(() => stateOf(bench).state === "shared", "limits are shared");
const lost = (bench: Bench) => waitFor(() => stateOf(bench).state === "lost", "the loss is known");

const send = (bench: Bench): Promise<Answer> => bench.orders.send(bench.invoice);
async function passedOf(bench: Bench, count: number): Promise<number> {
  let passed = 0;
  for (let i = 0; i < count; i++) if ((await send(bench)).status === 200) passed++;
  return passed;
}
const codeOf = ({ text }: Answer): string => JSON.parse(text).code;

function held(bench: Bench) {
  const waiting: (() => void)[] = [];
  bench.upstream.answer = (_request, response) => void waiting.push(() => response.end("{}"));
  return {
    waits: (count: number) => waitFor(() => waiting.length === count, `${count} at the provider`),
    release: () => {
      for (const answer of waiting.splice(0)) answer();
    },
  };
}

describe("limits across gateways", () => {
  test("two gateways let through one burst between them, and the refusal says that it is theirs together", async () => {
    const [one, other] = await two(await redis(), slow(10));
    let passed = 0;
    for (let i = 0; i < 20; i++) passed += await passedOf(i % 2 === 0 ? one : other, 1);
    assert.equal(passed, 10);
    const refused = await send(other);
    assert.equal(refused.status, 429);
    assert.equal(codeOf(refused), "rate-limited");
    assert.match(refused.text, /1 an hour, burst 10, per client, across gateways/);
    assert.match(String(refused.headers["ratelimit"]), /"default";r=0;t=\d+/);
    assert.ok(Number(refused.headers["retry-after"]) > 3_000);
    assert.equal((await other.portal.send(other.invoice)).status, 200, "another client has its own");
  });

  test("attack: a hundred at once at two gateways get one burst, not one each", async () => {
    const [one, other] = await two(await redis(), slow(25));
    await Promise.all([one.orders.learnNonce(one.invoice), other.orders.learnNonce(other.invoice)]);
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => send(i % 2 === 0 ? one : other)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 25);
  });

  test("what is under way is counted over both, and a place that one gives back the other can take", async () => {
    const changes: Changes = { concurrency: [{ per: "client", max: 2, across }] };
    const [one, other] = await two(await redis(), changes);
    const [first, second] = [held(one), held(other)];
    const underWay = [send(one), send(other)];
    await Promise.all([first.waits(1), second.waits(1)]);
    const refused = await send(other);
    assert.equal(codeOf(refused), "concurrency-limited");
    assert.match(refused.text, /2 at once per client, across gateways/);
    first.release();
    assert.equal((await underWay[0])?.status, 200);
    const late = send(other);
    await second.waits(2);
    second.release();
    assert.deepEqual([(await underWay[1])?.status, (await late).status], [200, 200]);
  });

  test("attack: callers that hang up free their places at the other gateway too", async () => {
    const [one, other] = await two(await redis(), { concurrency: [{ per: "client", max: 1, across }] });
    const provider = held(one);
    for (let i = 0; i < 3; i++) {
      const gone = new AbortController();
      const sent = one.orders.send(one.invoice, { signal: gone.signal }).catch(() => null);
      await provider.waits(i + 1);
      gone.abort();
      await sent;
      await waitFor(() => one.bed.gateway.status().inFlight === 0, "the crossing has ended");
    }
    assert.equal((await send(other)).status, 200);
  });

  test("a refusal by one limit costs the others nothing, the shared and the own", async () => {
    const server = await redis();
    const changes: Changes = {
      limits: [
        { per: "client", rate: 1, periodMs: hourMs, burst: 5, across },
        { per: "integration", rate: 1, periodMs: hourMs, burst: 2, across },
        { per: "client", rate: 1, periodMs: hourMs, burst: 9 },
      ],
      quotas: [{ per: "client", max: 10, period: "month", timeZone: "UTC" }],
    };
    const bench = await gatewayAt(server, changes);
    assert.equal(await passedOf(bench, 6), 2);
    await bench.bed.publish(
      {
        ...marketplace(bench.upstream.url),
        integrations: marketplace(bench.upstream.url).integrations.map((one) => ({
          ...one,
          ...changes,
          limits: changes.limits?.filter(({ per }) => per === "client") ?? [],
        })),
      },
      { version: 70 },
    );
    const last = await send(bench);
    assert.match(String(last.headers["ratelimit"]), /"default";r=2;.*"month";r=7;/);
  });

  test("kill -9 of Redis under load: no caller waits or fails; each gateway goes on with its share, and both share again once it is back", async () => {
    const server = await redis();
    const [one, other] = await two(server, slow(40));
    assert.equal((await passedOf(one, 2)) + (await passedOf(other, 2)), 4);
    const under = Promise.all(
      [one, other].map(async (bench) => {
        const seen = [];
        for (let i = 0; i < 60; i++) seen.push((await send(bench)).status);
        return seen;
      }),
    );
    await server.kill();
    const seen = await under;
    for (const statuses of seen)
      assert.ok(
        statuses.every((status) => status === 200 || status === 429),
        String(statuses),
      );
    const passed = seen.flat().filter((status) => status === 200).length;
    // What Redis had let through before it died is in nobody's share but as each gateway counted itself.
    assert.ok(passed >= 20 && passed <= 40, `${passed} passed`);
    await Promise.all([lost(one), lost(other)]);
    assert.match(one.bed.gateway.readiness().broken.join(), /cannot be shared at 127\.0\.0\.1:\d+/);
    assert.ok(one.bed.gateway.readiness().ready, "it serves on");
    await server.startAgain();
    await Promise.all([shared(one), shared(other)]);
    assert.equal(
      (await passedOf(one, 25)) + (await passedOf(other, 25)),
      40,
      "it came back empty: one burst, for both",
    );
  });

  test("a frozen Redis holds no crossing but the first few, each for the wait and no longer", async () => {
    const server = await redis();
    const bench = await gatewayAt(server, slow(100), "50ms");
    const counted = async (answer: "late" | "lost"): Promise<number> => {
      const text = await bench.bed.gateway.metricsText();
      return Number(new RegExp(`sallyport_shared_limits_total\\{answer="${answer}"\\} (\\d+)`).exec(text)?.[1]);
    };
    await passedOf(bench, 1);
    await shared(bench);
    // Where this machine was busy, a Redis that is well was late before.
    const [lateBefore, lostBefore] = [await counted("late"), await counted("lost")];
    server.freeze();
    assert.equal(await passedOf(bench, 3), 3);
    await lost(bench);
    const late = await counted("late");
    assert.ok(late - lateBefore >= 1 && late - lateBefore <= 3, `${late - lateBefore} waited`);
    assert.match(await bench.bed.gateway.metricsText(), /sallyport_shared_limits_up 0/);
    assert.equal(await passedOf(bench, 5), 5);
    assert.equal(await counted("late"), late, "nobody waits for it any more");
    const none = (await counted("lost")) - lostBefore;
    assert.ok(none >= 5 && none <= 7, `${none} were not asked about`);
    server.thaw();
    await shared(bench);
    assert.equal((await send(bench)).status, 200);
  });

  test("`onLoss: deny`: nothing passes while Redis is away, with the reason; another integration is not touched", async () => {
    const server = await redis();
    const bench = await gatewayAt(server, slow(100, "deny"));
    assert.equal(await passedOf(bench, 2), 2);
    await server.kill();
    await lost(bench);
    const reached = bench.upstream.seen.length;
    const refused = await send(bench);
    assert.equal(refused.status, 503);
    assert.equal(codeOf(refused), "limit-unavailable");
    assert.ok(refused.headers["retry-after"] !== undefined);
    assert.equal(bench.upstream.seen.length, reached);
  });

  test("the share that is left is warm: who had used the burst has no other one when Redis dies", async () => {
    const server = await redis();
    const [one, other] = await two(server, slow(8));
    assert.equal(await passedOf(one, 8), 8);
    await server.kill();
    await Promise.all([lost(one), lost(other)]);
    assert.equal(await passedOf(one, 5), 0);
    assert.equal(await passedOf(other, 6), 4, "the other has its half");
  });

  test("a Redis that was emptied counts anew and learns its scripts again", async () => {
    const server = await redis();
    const bench = await gatewayAt(server, slow(3));
    assert.equal(await passedOf(bench, 5), 3);
    server.ask("FLUSHALL");
    server.ask("SCRIPT", "FLUSH");
    assert.equal(await passedOf(bench, 5), 3, "one burst more, and no error");
  });

  test("a Redis that was emptied is told again of the places that are held", async () => {
    const server = await redis();
    const operations = [{ name: "invoice.read", timeoutMs: 60_000 }];
    const [one, other] = await two(server, { operations, concurrency: [{ per: "integration", max: 1, across }] });
    const provider = held(one);
    const underWay = send(one);
    await provider.waits(1);
    server.ask("FLUSHALL");
    await waitFor(() => server.ask("KEYS", "*").split("\n").length > 1, "the place is told again");
    assert.equal(codeOf(await send(other)), "concurrency-limited");
    provider.release();
    assert.equal((await underWay).status, 200);
  });

  test("a Redis that refuses to write (a replica) is lost, not free", async () => {
    const server = await redis();
    const bench = await gatewayAt(server, slow(50, "deny"));
    server.ask("CONFIG", "SET", "min-replicas-to-write", "1");
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(codeOf(await send(bench)));
    assert.deepEqual(new Set(answers), new Set(["limit-unavailable"]));
    await lost(bench);
    assert.match(stateOf(bench).why ?? "", /NOREPLICAS/);
  });

  test("over TLS with a password; Redis learns no name of ours", async () => {
    const ca = newTestCa("redis");
    const { cert, key } = issueTestLeaf(ca, { dns: ["localhost"] }, { usage: "server" });
    const server = await redis({ password: "correct-horse", tls: { cert, key, ca: ca.certificatePem } });
    const bench = await gatewayAt(server, slow(2));
    assert.equal(await passedOf(bench, 3), 2);

    const other = newTestCa("somebody");
    const stranger = await redis({ password: "correct-horse", tls: { cert, key, ca: other.certificatePem } });
    await assert.rejects(stranger.store().connect(), /certificate/, "a certificate of another CA ends it");
  });

  test("a wrong password is said, and is in no message; what lies there are hashes", async () => {
    const server = await redis({ password: "correct-horse" });
    const bench = await gatewayAt(server, slow(2));
    assert.equal(await passedOf(bench, 3), 2);
    const names = server.ask("KEYS", "*").split("\n");
    for (const name of names) assert.match(name, /^sallyport:\{[0-9a-f]{8}\}:[\w-]{22}$/);
    const wrong = limitsStoreAt(parseRedisUrl(server.url.replace("correct-horse", "wrong-horse")));
    await assert.rejects(
      wrong.connect(),
      (cause: Error) => /WRONGPASS/.test(cause.message) && !/horse/.test(cause.message),
    );
  });

  test("without a Redis such limits hold as they say for a loss, and /readyz says why", async () => {
    const bench = await gatewayAt(null, slow(3));
    assert.equal(await passedOf(bench, 5), 3);
    assert.match(bench.bed.gateway.readiness().broken.join(), /name a Redis with --limits-store/);
    const denying = await gatewayAt(null, slow(3, "deny"));
    assert.equal(codeOf(await send(denying)), "limit-unavailable");
  });

  test("a snapshot without such a limit connects to nothing", async () => {
    const server = await redis();
    const bench = await openBench({ dataKey, changes: { limitsStore: server.store() } });
    benches.push(bench);
    assert.equal((await send(bench)).status, 200);
    assert.equal(stateOf(bench).state, "unused");
    assert.match(server.ask("INFO", "clients"), /connected_clients:1\r?\n/, "only the one that asks");
  });
});
