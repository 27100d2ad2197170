// What a source may take of a gateway before it says who it is, over real sockets: docs/gateway.md (listen).
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import type { GatewayOptions } from "./ports.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { until } from "./testing/start-test-gateway.ts";
import { newTestCa, tlsListener } from "./testing/test-certificates.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const benches: Bench[] = [];
const sockets: Socket[] = [];
after(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(benches.map((bench) => bench.close()));
});

async function bench(door: NonNullable<GatewayOptions["door"]>, more: Partial<Parameters<typeof openBench>[0]> = {}) {
  const opened = await openBench({ estate: marketplace, changes: { door }, ...more });
  benches.push(opened);
  return opened;
}

async function dial({ bed }: Bench): Promise<Socket> {
  const [at] = bed.addresses;
  const socket = connect(at?.port ?? 0, at?.address);
  sockets.push(socket);
  socket.on("error", () => undefined).resume();
  await once(socket, "connect");
  return socket;
}
const closed = (socket: Socket): Promise<unknown> => (socket.closed ? Promise.resolve() : once(socket, "close"));
const refusals = async ({ bed }: Bench, reason: string): Promise<number> =>
  Number(
    new RegExp(`connections_refused_total\\{reason="${reason}"\\} (\\d+)`).exec(await bed.gateway.metricsText())?.[1] ??
      0,
  );

test("attack: one source that opens connections and says nothing takes its share, is closed and counted beyond it, and others' requests go on", async () => {
  const at = await bench({ connectionsPerPrefixMax: 8 });
  const mine = await Promise.all([1, 2, 3, 4, 5].map(() => dial(at)));
  assert.equal((await at.orders.send(at.invoice)).status, 200, "a caller among them is served");
  const more = await Promise.all([1, 2, 3, 4, 5].map(() => dial(at)));
  await Promise.race(more.map(closed));
  await until(() => more.filter(({ destroyed }) => destroyed).length >= 2, "those beyond the bound are closed");
  assert.ok((await refusals(at, "source-connections")) >= 2);
  for (const socket of [...mine, ...more]) socket.destroy();
  let status = 0;
  for (let i = 0; i < 500 && status !== 200; i++)
    status = await at.orders.send(at.invoice).then(
      (one) => one.status,
      () => 0,
    );
  assert.equal(status, 200, "what is closed makes room");
});

test("attack: handshakes that are begun and never go on are few at once, and end in time", async () => {
  const ca = newTestCa("door");
  const at = await bench(
    { handshakesPerPrefixMax: 2 },
    {
      listeners: [tlsListener(ca)],
      // Long enough that the two are still there when the third comes, whatever else the machine does.
      changes: { door: { handshakesPerPrefixMax: 2 }, bounds: { headersTimeoutMs: 5_000 } },
    },
  );
  const hanging = await Promise.all([1, 2].map(() => dial(at)));
  for (const socket of hanging) socket.write(Buffer.from([0x16, 0x03, 0x01]));
  const third = await dial(at);
  await closed(third);
  assert.equal(await refusals(at, "handshakes"), 1);
  await Promise.all(hanging.map(closed));
  const next = await dial(at);
  await until(() => !next.destroyed, "there is room again");
  next.destroy();
});

test("attack: two networks that open all they can never fill a listener: a third network is served, and what is beyond is counted", async () => {
  // Every address of this machine is a network of its own.
  const prefixLengths = { v4: 32, v6: 128 };
  const [one, two, caller] = ["127.0.0.11", "127.0.0.12", "127.0.0.13"];
  const at = await bench(
    {},
    { changes: { bounds: { connectionsMax: 60 }, door: { connectionsPerPrefixMax: 30, prefixLengths } } },
  );
  const { port = 0, address } = at.bed.addresses[0] ?? {};
  const flood = (from: string): Promise<unknown> =>
    Promise.all(
      Array.from({ length: 40 }, async () => {
        const socket = connect({ port, host: address ?? "", localAddress: from });
        sockets.push(socket);
        socket.on("error", () => undefined).resume();
        await once(socket, "connect").catch(() => undefined);
      }),
    );
  await Promise.all([flood(one), flood(two)]);
  const refused = async () =>
    (await refusals(at, "source-share")) +
    (await refusals(at, "source-connections")) +
    (await refusals(at, "connections"));
  // Whoever comes first gets half, the next half of what is left: 30 and 15 of 80.
  await until(async () => (await refused()) >= 34, "those beyond the shares are closed");
  assert.equal((await at.orders.send(at.invoice, { from: caller })).status, 200, "whoever comes late is served");
  assert.ok((await refusals(at, "source-share")) > 0);
});
