// A provider that is given less at once than its gateway has worker threads: docs/resilience.md "In flight", docs/workers.md.
import assert from "node:assert/strict";
import type { Agent } from "node:http";
import { after, before, beforeEach, test } from "node:test";
import { CountedRoom } from "../forward/counted-room.ts";
import { shareOfRoom } from "../forward/room-share.ts";
import { InFlight } from "../limit/in-flight.ts";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { connectionsToEach, startTestCrew, type TestCrew } from "../testing/start-test-crew.ts";
import { until } from "../testing/start-test-gateway.ts";
import { TestCaller } from "../testing/test-caller.ts";
import type { TestEstate } from "../testing/test-estate.ts";

const line = { waiting: 32, waitMs: 120_000 };
const rooms = { one: { total: 1, ...line }, none: { total: 1, waiting: 0, waitMs: 1_000 }, each: { each: 1, ...line } };
const read = { name: "thing.read", method: "GET", path: "/v1/thing" };

function estate(url: string): TestEstate {
  return {
    systems: [
      { id: "orders", clients: ["orders"] },
      { id: "billing", url, operations: [read] },
      ...Object.entries(rooms).map(([id, inFlight]) => ({
        id,
        operations: [read],
        changes: { upstream: { url, allowPrivate: true, resilience: { inFlight } } },
      })),
    ],
    integrations: ["billing", ...Object.keys(rooms)].map((to) => ({
      id: `orders-to-${to}`,
      from: "orders",
      to,
      operations: [{ name: read.name }],
    })),
  };
}

let upstream: CountingUpstream;
let crew: TestCrew;
let agents: readonly Agent[];
let orders: TestCaller;
const held: (() => void)[] = [];

before(async () => {
  upstream = await startCountingUpstream();
  crew = await startTestCrew({ estate: estate(upstream.url) });
  orders = new TestCaller(crew.bed.feed, "orders");
  agents = await connectionsToEach(crew, { upstream, url: `${crew.url}/billing/v1/thing` });
  await orders.learnNonce(`${crew.url}/`);
});
after(async () => {
  for (const agent of agents ?? []) agent.destroy();
  await crew?.close();
  await upstream?.close();
});
beforeEach(() => {
  upstream.answer = (_request, response) => void held.push(() => response.end("{}"));
});

const send = (system: string, agent?: Agent) =>
  orders.send(`${crew.url}/${system}/v1/thing`, agent === undefined ? {} : { agent });

for (const system of ["one", "each"])
  test(`attack: however callers spread over two workers, "${system}" never has two at once, and all that wait are served`, async () => {
    const all = [...agents, ...Array.from({ length: 8 }, () => undefined)].map((agent) => send(system, agent));
    const waiting = async () => {
      const text = await crew.crew.metricsText();
      return Number(new RegExp(`^sallyport_upstream_waiting\\{system="${system}"\\} (\\d+)$`, "m").exec(text)?.[1]);
    };
    let most = 0;
    for (let left = all.length; left > 0; left--) {
      await until(async () => held.length + (await waiting()) === left && held.length > 0, "the others are in line");
      most = Math.max(most, held.length);
      held.shift()?.();
    }
    assert.deepEqual(new Set((await Promise.all(all)).map(({ status }) => status)), new Set([200]));
    assert.equal(most, 1, "the provider's own count");
  });

test("without a line each worker has the one place as long as the other has it not, and is refused while it has", async () => {
  for (const [mine, others] of [agents, agents.toReversed()]) {
    const under = send("none", mine);
    await until(() => held.length === 1, "it is at the provider");
    assert.equal((await send("none", others)).code, "upstream-overloaded");
    held.shift()?.();
    assert.equal((await under).status, 200);
    await until(() => crew.crew.status().inFlight === 0, "it has ended");
  }
});

test("what is enough for all is divided, what is not is counted in common, and of a line each has a place", () => {
  const of = { number: 3, of: 4 };
  assert.deepEqual(shareOfRoom({ inFlight: { total: 7, each: 3, waiting: 2, waitMs: 1 } }, of).inFlight, {
    ...{ total: 1, each: 3, waiting: 1, waitMs: 1 },
  });
  const rules = { inFlight: { total: 2, each: 1, waiting: 0, waitMs: 1 } };
  const underWay = new InFlight();
  const [one, two] = [0, 1].map(
    (number) => new CountedRoom({ system: "s", rules, underWay, share: { number, of: 4 } }),
  );
  const first = one?.take("a");
  assert.ok(first);
  assert.equal(two?.take("a"), null, "one at each");
  const second = two?.take("b");
  assert.ok(second);
  assert.equal(one?.take("c"), null, "two in all");
  first.giveBack();
  first.giveBack();
  assert.ok(two?.take("a"), "what was refused gave back what it had taken");
  assert.equal(one?.take("c"), null);
});
