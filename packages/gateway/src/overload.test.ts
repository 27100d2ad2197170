// A provider with all it is given, over real sockets: a greedy caller does not starve a modest one, and what is urgent survives (docs/resilience.md "Who
// comes first").
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { Priority } from "@sallyport/protocol/snapshot/limit-objects.ts";
import type { ResilienceObject } from "@sallyport/protocol/snapshot/objects.ts";
import { billing, marketplace } from "./testing/marketplace-estate.ts";
import { standingClock, until } from "./testing/start-test-gateway.ts";
import type { Answer } from "./testing/test-caller.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const benches: Bench[] = [];
after(() => Promise.all(benches.map((bench) => bench.close())));

type Bound = NonNullable<ResilienceObject["inFlight"]>;

/** `priorities`: of the integrations of these consumers. */
async function overloaded(inFlight: Bound, priorities: Readonly<Record<string, Priority>> = {}) {
  const bench = await openBench({
    // Who wants room is remembered for two seconds, in which a busy machine may do little.
    clock: standingClock(),
    estate(url) {
      const base = marketplace(url);
      const served = billing(url);
      const operations =
        served.operations?.map((one) => ({ ...one, changes: { ...one.changes, timeoutMs: 180_000 } })) ?? [];
      const upstream = { url, allowPrivate: true, resilience: { inFlight } };
      return {
        ...base,
        systems: [{ ...served, operations, changes: { upstream } }, ...base.systems.slice(1)],
        integrations: base.integrations.map((one) => {
          const priority = priorities[one.from];
          const granted = one.operations.map((each) => (priority === undefined ? each : { ...each, priority }));
          return { ...one, limits: [], operations: granted };
        }),
      };
    },
  });
  benches.push(bench);
  await until(() => bench.bed.gateway.readiness().ready, "readiness");
  for (const caller of [bench.orders, bench.portal]) await caller.learnNonce(bench.invoice);
  const held: { readonly by: string; end(): void }[] = [];
  bench.upstream.answer = (request, response) => {
    const by = JSON.parse(
      Buffer.from(String(request.headers["sallyport-identity"]).split(".")[1] ?? "", "base64url").toString(),
    );
    held.push({ by: by.sub ?? by.caller, end: () => response.end("{}") });
  };
  return {
    bench,
    held,
    reached: (count: number) => until(() => bench.upstream.seen.length >= count, `${count} at the provider`),
    endOne: () => held.shift()?.end(),
    endAll: () => {
      bench.upstream.answer = null;
      for (const one of held.splice(0)) one.end();
    },
  };
}

const codeOf = ({ text }: Answer): string => JSON.parse(text).code ?? "";
/** So many of them are in line: each has come as far as to where it waits. */
const waitingAt = (bench: Bench, count: number): Promise<void> =>
  until(async () => {
    const text = await bench.bed.gateway.metricsText();
    return text.includes(`sallyport_upstream_waiting{system="billing"} ${count}\n`);
  }, `${count} crossings in line`);

describe("a provider with all it is given", () => {
  test("without a line: what a greedy caller lets go is the modest one's, and the greedy one is told of its share", async () => {
    const { bench, reached, endOne, endAll } = await overloaded({ total: 6, waiting: 0, waitMs: 1_000 });
    const greedy = Array.from({ length: 6 }, () => bench.orders.send(bench.invoice));
    await reached(6);
    assert.equal(codeOf(await bench.portal.send(bench.invoice)), "upstream-overloaded");
    endOne();
    await Promise.race(greedy);
    const seen = bench.upstream.seen.length;
    const refused = await bench.orders.send(bench.invoice);
    assert.equal(refused.status, 503);
    assert.equal(codeOf(refused), "shed");
    assert.ok(Number(refused.headers["retry-after"]) >= 1);
    assert.match(refused.text, /this client has its share/);
    assert.equal(bench.upstream.seen.length, seen, "the provider is not asked");
    const leaves = await bench.bed.leaves(refused.id);
    assert.ok(leaves.some((leaf) => leaf.t === "crossing" && leaf.code === "shed" && leaf.stage === "forward"));
    const modest = bench.portal.send(bench.invoice);
    await reached(seen + 1);
    endAll();
    assert.equal((await modest).status, 200);
    assert.deepEqual(new Set((await Promise.all(greedy)).map(({ status }) => status)), new Set([200]));
  });

  test("with a line: a modest caller is served next, whatever a greedy one has before it in line", async () => {
    const { bench, held, reached, endOne, endAll } = await overloaded({ total: 4, waiting: 40, waitMs: 60_000 });
    const greedy = Array.from({ length: 24 }, () => bench.orders.send(bench.invoice));
    await reached(4);
    await waitingAt(bench, 20);
    const modest = Array.from({ length: 3 }, () => bench.portal.send(bench.invoice));
    await waitingAt(bench, 23);
    for (let n = 1; n <= 3; n++) {
      const before = bench.upstream.seen.length;
      endOne();
      await reached(before + 1);
    }
    const served = held.map(({ by }) => by);
    assert.ok(served.filter((by) => by === "portal").length >= 2, `of the next three: ${served.join()}`);
    endAll();
    const answers = await Promise.all([...modest, ...greedy]);
    assert.ok(answers.every(({ status }) => status === 200));
  });

  test("a full line: the greedy caller's last gives its place to a modest one", async () => {
    const { bench, reached, endAll } = await overloaded({ total: 2, waiting: 4, waitMs: 60_000 });
    const greedy = Array.from({ length: 6 }, () => bench.orders.send(bench.invoice));
    await reached(2);
    await waitingAt(bench, 4);
    const modest = bench.portal.send(bench.invoice);
    const first = await Promise.race(greedy);
    assert.equal(codeOf(first), "shed");
    endAll();
    assert.equal((await modest).status, 200);
    const codes = (await Promise.all(greedy)).map(({ status }) => status);
    assert.deepEqual(codes.filter((status) => status === 503).length, 1);
  });

  test("what is urgent survives: high goes before all that wait, and takes the place of low in a full line", async () => {
    const priorities = { orders: "low", portal: "high" } as const;
    const { bench, held, reached, endOne, endAll } = await overloaded(
      { total: 2, waiting: 3, waitMs: 60_000 },
      priorities,
    );
    const low = Array.from({ length: 5 }, () => bench.orders.send(bench.invoice));
    await reached(2);
    await waitingAt(bench, 3);
    const high = Array.from({ length: 3 }, () => bench.portal.send(bench.invoice));
    let gone = 0;
    for (const one of low) void one.then(() => gone++);
    await until(() => gone === 3, "three of low gave their places");
    for (let n = 3; n <= 5; n++) {
      endOne();
      await reached(n);
    }
    endAll();
    assert.ok(
      (await Promise.all(high)).every(({ status }) => status === 200),
      "every urgent one is served",
    );
    const lows = await Promise.all(low);
    assert.equal(lows.filter((one) => one.status === 503 && codeOf(one) === "shed").length, 3);
    assert.match(lows.map(({ text }) => text).join(), /a higher priority than low/);
    assert.equal(held.length, 0);
    assert.match(await bench.bed.gateway.metricsText(), /sallyport_upstream_shed_total\{system="billing"\} 3/);
  });

  test("attack: a caller with forty requests at once, again and again, takes none of forty from one with one at a time", async () => {
    const { bench, endAll } = await overloaded({ total: 4, waiting: 8, waitMs: 60_000 });
    endAll();
    bench.upstream.answer = (_request, response) => void setTimeout(() => response.end("{}"), 3);
    let isOver = false;
    const greedy = { served: 0, shed: 0, refused: 0 };
    const loops = Array.from({ length: 40 }, async () => {
      while (!isOver) {
        const answer = await bench.orders.send(bench.invoice);
        if (answer.status === 200) greedy.served++;
        else if (codeOf(answer) === "shed") greedy.shed++;
        else greedy.refused++;
      }
    });
    const modest = [];
    for (let i = 0; i < 40; i++) modest.push((await bench.portal.send(bench.invoice)).status);
    isOver = true;
    await Promise.all(loops);
    assert.deepEqual(
      modest.filter((status) => status !== 200),
      [],
      JSON.stringify(greedy),
    );
    assert.ok(greedy.served > 40 && greedy.refused + greedy.shed > 0, JSON.stringify(greedy));
  });

  test("where there is room nobody is asked for it: one caller may have it all", async () => {
    const { bench, reached, endAll } = await overloaded({ total: 20, waiting: 0, waitMs: 1_000 }, { orders: "low" });
    const all = Array.from({ length: 20 }, () => bench.orders.send(bench.invoice));
    await reached(20);
    endAll();
    assert.ok((await Promise.all(all)).every(({ status }) => status === 200));
  });
});
